#!/bin/sh
# On the machine with an NVIDIA GPU, from what pack.sh made: build the CUDA backend of the reference peer,
# write models of real shapes, and measure both beside each other.
#
#   PACK/bench.sh WORK [MODEL:TYPE ..]    (default: llama2-7b:Q4_0 llama3-8b:Q4_K_M llama2-7b:Q8_0 qwen2-0.5b:Q4_0)
#
# Needs nvcc (CUDA_HOME), cmake and ninja for the peer: about three minutes on 16 cores. With SAVE=DIR the peer
# is also kept there in parts of 15 MiB; put these beside this script as PACK/peer/ and it is not built again.
# BENCH: options for bench-peer (--pp 512 --tg 128 --pairs 3 --sequences 32).
set -eu

[ $# -ge 1 ] || {
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    exit 2
}
pack=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- llama2-7b:Q4_0 llama3-8b:Q4_K_M llama2-7b:Q8_0 qwen2-0.5b:Q4_0
CUDA_HOME=${CUDA_HOME:-/usr/local/cuda}
export CUDA_HOME PATH="$CUDA_HOME/bin:$PATH"
log=$work/peer.log

build_peer() {
    if [ -d "$pack/peer" ]; then
        cat "$pack"/peer/peer.tar.xz.* | tar xJ -C "$work" && return
    fi
    mkdir -p "$work/src" "$work/build" "$work/peer/lib"
    tar xzf "$pack/llama.cpp.tgz" -C "$work/src"
    (cd "$work/build" && cmake "$work/src" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_CUDA=ON -DGGML_NATIVE=ON \
        -DCMAKE_CUDA_ARCHITECTURES=native -DBUILD_SHARED_LIBS=ON -DCMAKE_BUILD_RPATH_USE_ORIGIN=ON -DLLAMA_BUILD_TESTS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF \
        -DLLAMA_BUILD_UI=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF && ninja llama ggml-cuda ggml-cpu) || return 1
    cp -L "$work"/build/bin/lib*.so.[0-9] "$work"/build/bin/lib*.so "$work/peer/lib/"
    # The name under which it is looked for.
    mv "$work/peer/lib/libllama.so" "$work/peer/lib/libllama.v0.5.0.so"
}
save_peer() { # DIR
    mkdir -p "$1"
    strip --strip-unneeded "$work"/peer/lib/*.so* || true
    tar c -C "$work" peer | xz -T0 -3 | split -b 15m - "$1/peer.tar.xz."
}

started=$(date +%s)
[ -e "$work/peer/lib/libllama.v0.5.0.so" ] || build_peer >"$log" 2>&1 &
peer=$!
[ -d "$work/hip" ] || tar xJf "$pack/hip.tar.xz" -C "$work"
writers= files=
for m in "$@"; do
    file=$work/${m%%:*}-${m##*:}.gguf
    files=$files${files:+,}$file
    [ -s "$file" ] && continue
    "$pack/bin/synth" "$file.part" --model "${m%%:*}" --type "${m##*:}" && mv "$file.part" "$file" &
    writers="$writers $!"
done
for w in $writers; do wait "$w"; done
wait "$peer" || {
    tail -20 "$log" >&2
    exit 1
}
echo "prepared in $(($(date +%s) - started)) s"
[ -z "${SAVE:-}" ] || save_peer "$SAVE"

nvidia-smi --query-gpu=name,clocks.sm,clocks.mem,driver_version --format=csv,noheader || true
# shellcheck disable=SC2086 # a list of words
LD_LIBRARY_PATH="$work/peer/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" ROCMFORGE_PEER="$work/peer" \
    "$pack/run.sh" "$work/hip" "$pack/bin/bench-peer" --device hip0 --files "$files" --oversubscribed 0 \
    ${BENCH:---pp 512 --tg 128 --pairs 3 --sequences 32}
