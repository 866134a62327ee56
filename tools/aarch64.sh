#!/bin/bash
# Test the library for 64-bit Arm: build it for that target and run the tests of everything that
# depends on the processor under emulation (qemu-user).
#
#   tools/aarch64.sh                   the suites of CI
#   tools/aarch64.sh test --lib rope   cargo with these arguments instead
#
# Installs a cross compiler and the emulator with apt-get where they are missing. The target's
# standard library is the toolchain's; where rustup has none and cannot fetch it, it is built once
# from the source package of the very same version.
#
# Where any of this cannot be had, says `ignored` and why. ROCMFORGE_REQUIRE_AARCH64=1 turns that
# into a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
cache=$PWD/target/aarch64
libc=/usr/aarch64-linux-gnu

give_up() { # REASON
    if [ "${ROCMFORGE_REQUIRE_AARCH64:-}" = 1 ]; then
        echo "aarch64.sh: $1" >&2
        exit 1
    fi
    echo "ignored: $1"
    exit 0
}

# The linker, the C library and the emulator.
install_tools() {
    local missing=
    command -v aarch64-linux-gnu-gcc >/dev/null || missing="$missing gcc-aarch64-linux-gnu"
    [ -e "$libc/lib/crt1.o" ] || missing="$missing libc6-dev-arm64-cross"
    command -v qemu-aarch64 >/dev/null || missing="$missing qemu-user"
    [ -n "$missing" ] || return 0
    local sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    command -v apt-get >/dev/null || give_up "please install:$missing (this script knows apt-get only)"
    echo "aarch64.sh: installing$missing"
    # shellcheck disable=SC2086 # a list of words
    { $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends $missing >/dev/null; } ||
        give_up "cannot install:$missing"
}

has_std() { # SYSROOT
    compgen -G "$1/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null
}

# Leaves the source of the standard library of this compiler in $cache/source.
fetch_source() {
    [ -e "$cache/source/Cargo.lock" ] && return
    local version site suite package apt=$cache/apt
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg
    version=$(rustc -vV | sed -n 's/^release: //p')
    command -v apt-get >/dev/null || return 1
    # A mirror of Debian that this machine uses.
    # shellcheck disable=SC2016 # apt-get's variables
    site=$(apt-get indextargets --format '$(ORIGIN) $(SITE)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 !~ /security/ && !found++ { print $2 }')
    [ -n "$site" ] && [ -e "$keys" ] || return 1
    for suite in stable-backports trixie-backports unstable; do
        rm -rf "$apt" && mkdir -p "$apt/lists/partial" "$apt/archives/partial"
        echo "deb [signed-by=$keys] $site $suite main" >"$apt/sources.list"
        local options=(-qq -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
            -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt" -o APT::Sandbox::User=)
        apt-get "${options[@]}" update 2>/dev/null || continue
        package=$(apt-cache "${options[@]}" madison rust-src |
            awk -v version="$version" '$3 ~ "^" version "[+-]" { print $3; exit }')
        [ -n "$package" ] || continue
        (cd "$apt" && apt-get "${options[@]}" download "rust-src=$package") || continue
        mkdir -p "$apt/unpacked"
        dpkg --fsys-tarfile "$apt"/rust-src_*.deb |
            tar -x -C "$apt/unpacked" --strip-components=4 --wildcards './usr/src/*/library' || return 1
        rm -rf "$cache/source"
        mv "$apt/unpacked/library" "$cache/source"
        rm -rf "$apt"
        return 0
    done
    return 1
}

# Makes $1 a sysroot with nothing but the target's standard library.
build_std() { # SYSROOT
    local crate=$cache/std
    mkdir -p "$crate/src" "$1.new/lib/rustlib/$target/lib"
    touch "$crate/src/lib.rs"
    printf '[package]\nname = "nothing"\nedition = "2024"\n[workspace]\n' >"$crate/Cargo.toml"
    # The two variables let a stable compiler build its own library, and say where that is.
    RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT=$cache/source CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        CARGO_TARGET_DIR=$crate/target cargo build --release --quiet --manifest-path "$crate/Cargo.toml" \
        -Zbuild-std=std,panic_unwind,test --target $target || return 1
    rm -f "$crate/target/$target/release/deps"/libnothing-*
    cp "$crate/target/$target/release/deps"/*.rlib "$1.new/lib/rustlib/$target/lib/"
    mv "$1.new" "$1"
    rm -rf "$crate"
}

find_std() {
    has_std "$(rustc --print sysroot)" && return
    if command -v rustup >/dev/null && timeout 120 rustup --quiet target add $target 2>/dev/null; then
        has_std "$(rustc --print sysroot)" && return
    fi
    local sysroot
    sysroot=$cache/sysroot-$(rustc -vV | sed -n 's/^commit-hash: //p')
    if ! has_std "$sysroot"; then
        echo "aarch64.sh: rustup has no standard library for $target; building it"
        fetch_source || give_up "no standard library for $target, and no source of this compiler's to build it from"
        build_std "$sysroot" || give_up "the standard library does not build for $target"
    fi
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="--sysroot $sysroot"
}

[ "$(uname -m)" != aarch64 ] || give_up "this machine is one: plain cargo test runs these suites"
install_tools
find_std

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CARGO_INCREMENTAL=0
emulate="qemu-aarch64 -L $libc"
run() { # CPU CARGO-COMMAND ARGUMENTS...
    local cpu=$1 command=$2
    shift 2
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$emulate -cpu $cpu" \
        "${CARGO:-cargo}" "$command" --locked --target $target "$@"
}

if [ $# -gt 0 ]; then
    run "${ROCMFORGE_AARCH64_CPU:-max}" "$@"
    exit
fi
# All that has code for an instruction set, then the whole way from a prompt to logits.
run max test -p rocmforge --lib -- matmul ops:: isa:: scan pool
run max test -p rocmforge --test determinism
# A processor without dot products; its kernels ran above, among the sets of the other.
run cortex-a53 test -p rocmforge --lib -- isa:: matmul::tests::only
run cortex-a53 test -p rocmforge --test determinism every_instruction_set
