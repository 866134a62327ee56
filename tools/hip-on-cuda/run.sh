#!/bin/sh
# Run a program (a test, the benchmark, rocmforge itself) on an NVIDIA GPU, by what build.sh made:
#
#   tools/hip-on-cuda/run.sh OUT PROGRAM [ARGUMENT..]
#
# WITHOUT_KERNELS=1: no kernels compiled ahead, so that hipRTC (NVRTC here) compiles them.
set -eu

[ $# -ge 2 ] || {
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    exit 2
}
out=$(cd "$1" && pwd)
shift
export ROCMFORGE_HIP_LIBRARY="$out/libamdhip64.so" ROCMFORGE_HIPRTC_LIBRARY="$out/libhiprtc.so"
export LD_LIBRARY_PATH="${CUDA_HOME:-/usr/local/cuda}/lib64:/usr/local/nvidia/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
[ -n "${WITHOUT_KERNELS:-}" ] || export ROCMFORGE_KERNELS="$out"
exec "$@"
