#!/bin/sh
# Fuzz, or run the tests of hostile input, under AddressSanitizer, with the stable toolchain.
#
#   fuzz/run.sh test                   the tests named in fuzz/Cargo.toml
#   fuzz/run.sh fuzz [TARGET...]       each target (default: all) for FUZZ_SECONDS (default 120)
#   fuzz/run.sh seeds                  write the corpus's seeds anew
#
# Both share one build, in target/asan. What a run learns stays in target/fuzz; what it breaks is in
# fuzz/artifacts, to be kept under fuzz/corpus once it is mended.
set -eu
cd "$(dirname "$0")/.."

# What `cargo fuzz` passes. The sanitizer and its runtime come with the stable toolchain; only the
# flags that ask for them are not stable yet.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=address --cfg fuzzing -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
-Cllvm-args=-simplifycfg-branch-fold-threshold=0"
export CARGO_TARGET_DIR="$PWD/target/asan"
# What the library leaks on purpose is nothing; what a test leaks is no concern here.
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0:allocator_may_return_null=1}"
host=$(rustc -vV | sed -n 's/^host: //p')
cargo() { # COMMAND ARGS...
    command="$1"
    shift
    env "${CARGO:-cargo}" "$command" --manifest-path fuzz/Cargo.toml --locked --release --target "$host" "$@"
}

what=${1:-}
[ $# = 0 ] || shift
case $what in
test)
    cargo test --tests "$@"
    ;;
seeds)
    cargo run --bin seeds
    ;;
fuzz)
    [ $# != 0 ] || set -- gguf tokenizer chat state capi
    cargo build --bins
    for target; do
        mkdir -p "target/fuzz/$target" "fuzz/artifacts/$target"
        echo "fuzzing $target for ${FUZZ_SECONDS:-120} s"
        dict=
        [ ! -e "fuzz/$target.dict" ] || dict="-dict=fuzz/$target.dict"
        # The first folder takes what is new; the kept corpus is read only.
        # shellcheck disable=SC2086 # one word or none
        "target/asan/$host/release/$target" "target/fuzz/$target" "fuzz/corpus/$target" $dict \
            -max_total_time="${FUZZ_SECONDS:-120}" -timeout=25 -rss_limit_mb=4096 -max_len=65536 \
            -artifact_prefix="fuzz/artifacts/$target/" -print_final_stats=1 -verbosity=0
    done
    ;;
*)
    sed -n '2,/^set/{s/^# \{0,1\}//p;}' "$0" >&2
    exit 2
    ;;
esac
