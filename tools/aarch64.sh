#!/bin/bash
# Test the library for 64-bit Arm: build it for that target and run the tests of everything that
# depends on the processor under emulation (qemu-user).
#
#   tools/aarch64.sh                   the suites of CI
#   tools/aarch64.sh test --lib rope   cargo with these arguments instead
#
# Installs a cross compiler and the emulator with apt-get and the target's standard library with
# rustup, where they are missing.
#
# Where any of this cannot be had, says `ignored` and why. ROCMFORGE_REQUIRE_AARCH64=1 turns that
# into a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
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

has_std() {
    compgen -G "$(rustc --print sysroot)/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null
}

install_std() {
    has_std && return
    command -v rustup >/dev/null || give_up "this toolchain has no standard library for $target, nor rustup to add it"
    rustup --quiet target add $target && has_std || give_up "rustup cannot add $target"
}

if [ "$(uname -m)" = aarch64 ]; then
    echo "this machine is one: plain cargo test runs these suites"
    exit 0
fi
install_tools
install_std

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
# All that has code for an instruction set.
run max test -p rocmforge --lib -- matmul ops:: isa:: scan pool
# Whole models: the same bits again, and the text that every instruction set writes.
run max test -p rocmforge --test determinism
# A processor without dot products; its kernels ran above, among the sets of the other.
run cortex-a53 test -p rocmforge --lib -- isa:: matmul::tests::only pool
run cortex-a53 test -p rocmforge --test determinism every_instruction_set
