#!/bin/sh
# Print the folder that has `hip/hip_runtime_api.h`: ROCm's or the system's, else target/hip-headers, where Debian's
# package of the headers alone is unpacked (some 200 KB; installed as a package it would bring the runtime along),
# unless --no-download forbids to fetch it.
set -eu
cd "$(dirname "$0")/.."

own=target/hip-headers
for dir in "${ROCM_PATH:-/opt/rocm}/include" /usr/include "$own/usr/include"; do
    if [ -e "$dir/hip/hip_runtime_api.h" ]; then
        echo "$dir"
        exit 0
    fi
done
if [ "${1:-}" = --no-download ]; then
    echo "there are no HIP headers: tools/hip-headers.sh fetches them" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "hip-headers.sh: please install the HIP headers (this script knows apt-get only)" >&2
    exit 1
fi
mkdir -p "$own"
(cd "$own" && apt-get -qq -o APT::Sandbox::User=root download libamdhip64-dev >&2 && dpkg -x libamdhip64-dev_*.deb .)
echo "$own/usr/include"
