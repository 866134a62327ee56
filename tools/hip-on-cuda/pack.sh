#!/bin/sh
# Pack all that a machine with an NVIDIA GPU needs, which may lack cargo and the network:
#
#   tools/hip-on-cuda/pack.sh OUT [TEST..]
#
#   OUT/hip.tar.xz      what build.sh makes: the HIP runtime over CUDA, every kernel
#   OUT/bin/            rocmforge, bench-peer, synth, and the test programs named (parity, state, ..)
#   OUT/llama.cpp.tgz   the sources of the reference peer, for its CUDA backend
#   OUT/*.sh            run.sh, bench.sh: run them there
#
# PROFILE (release) is cargo's; dev builds faster. CUDA_HOME as for build.sh. A second run does only what has
# changed since.
set -eu

[ $# -ge 1 ] || {
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 2
}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1/bin"
out=$(cd "$1" && pwd)
shift
profile=${PROFILE:-release}
cd "$root"

# Kernels for the machine that they are packed for alone: those in the library would not be used.
export ROCMFORGE_EMBED_KERNELS=0
tests=
for t in "$@"; do tests="$tests --test $t"; done
built=$(mktemp)
trap 'rm -f "$built"' EXIT
cargo build --locked --profile "$profile" -p rocmforge-cli -p rocmforge-testkit --bins --message-format=json >"$built"
# shellcheck disable=SC2086 # a list of words
[ -z "$tests" ] || cargo test --locked --profile "$profile" -p rocmforge $tests --no-run --message-format=json >>"$built"
sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' "$built" | sort -u | while read -r program; do
    name=$(basename "$program" | sed 's/-[0-9a-f]\{16\}$//')
    case $name in
    bench-tokenizer) ;;
    *) strip -o "$out/bin/$name" "$program" ;;
    esac
done

"$here/build.sh" "$out/hip"
tar cJf "$out/hip.tar.xz" -C "$out" --exclude=hip/cache hip

[ -e "$out/llama.cpp.tgz" ] || {
    tmp=$(mktemp -d "$out/peer.XXXXXX")
    tools/peer/fetch.sh --sources "$tmp"
    (cd "$tmp/llama.cpp" && tar czf "$out/llama.cpp.tgz" --exclude=./ggml/src/ggml-vulkan --exclude=./ggml/src/ggml-sycl \
        --exclude=./ggml/src/ggml-opencl --exclude=./ggml/src/ggml-cann --exclude=./ggml/src/ggml-hexagon \
        --exclude=./ggml/src/ggml-webgpu --exclude=./models --exclude=./docs --exclude=./media .)
    rm -rf "$tmp"
}
cp "$here/run.sh" "$here/bench.sh" "$out/"
du -sh "$out"/* | sed '/\/hip$/d'
