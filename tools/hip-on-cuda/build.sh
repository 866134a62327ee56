#!/bin/sh
# Build what librocmforge needs on a machine with an NVIDIA GPU in place of ROCm:
#
#   tools/hip-on-cuda/build.sh OUT [ARCH]      (default ARCH: sm_90)
#
#   OUT/libamdhip64.so, OUT/libhiprtc.so       the HIP runtime and hipRTC over CUDA's driver and NVRTC
#   OUT/{unit}.{ARCH}.co                       every kernel, by nvcc
#
# Reads the toolkit of CUDA_HOME (default /usr/local/cuda). Neither a GPU nor its driver is needed here:
# all of OUT can be built elsewhere and carried. Without the toolkit installed, PyPI has what is read:
#
#   pip install --target DIR nvidia-cuda-runtime nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt \
#       nvidia-cuda-nvrtc nvidia-cuda-cccl         (one version of all; CUDA_HOME=DIR/nvidia/cu13)
#
# The kernels are compiled by the program `kernels` of this repository (KERNELS names a built one).
set -eu

[ $# -ge 1 ] || {
    sed -n '2,17s/^# \{0,1\}//p' "$0"
    exit 2
}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
arch=${2:-sm_90}
CUDA_HOME=${CUDA_HOME:-/usr/local/cuda}
export CUDA_HOME PATH="$CUDA_HOME/bin:$PATH"
[ -e "$CUDA_HOME/include/cuda.h" ] || {
    echo "build.sh: no CUDA toolkit in $CUDA_HOME (set CUDA_HOME)" >&2
    exit 1
}

# What is linked is the names of the driver's and NVRTC's libraries alone: empty ones will do.
stubs=$(mktemp -d)
trap 'rm -rf "$stubs"' EXIT
major=$(sed -n 's/^#define CUDA_VERSION \([0-9]*\)[0-9]\{3\}$/\1/p' "$CUDA_HOME/include/cuda.h")
library() { # NAME SOURCE NEEDED..
    name=$1 source=$2
    shift 2
    needed=
    for n in "$@"; do
        echo | ${CC:-cc} -shared -Wl,-soname,"$n" -o "$stubs/$n" -x c -
        needed="$needed $stubs/$n"
    done
    # shellcheck disable=SC2086 # a list of words
    ${CC:-cc} -std=gnu11 -O2 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden -pthread -I"$CUDA_HOME/include" \
        -o "$out/$name" "$here/$source" -Wl,-soname,"$name" -Wl,--no-as-needed $needed \
        -Wl,-rpath,"$CUDA_HOME/lib64:/usr/local/cuda/lib64"
}
library libamdhip64.so hip_on_cuda.c libcuda.so.1
library libhiprtc.so hiprtc_on_nvrtc.c "libnvrtc.so.$major"

# The library's kernels, and the one that measures what a GPU reads.
for sources in kernels tools/testkit/kernels; do
    if [ -n "${KERNELS:-}" ]; then
        "$KERNELS" "$out" --compiler nvcc --target "$arch" --sources "$here/../../$sources"
    else
        (cd "$here/../.." && cargo run -q --locked -p rocmforge-kernels -- "$out" --compiler nvcc --target "$arch" \
            --sources "$sources")
    fi
done
