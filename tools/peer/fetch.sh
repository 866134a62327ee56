#!/bin/sh
# Fetch the reference peer: llama.cpp's libllama 0.5.0 as prebuilt CPU libraries, and the
# vocabulary files of its own tokenizer tests, and a few of its sources to read.
#
#   tools/peer/fetch.sh [DIR]             (default: target/peer)
#   tools/peer/fetch.sh --sources DIR     all its sources, to build it: DIR/llama.cpp
#
# Afterwards DIR holds
#   lib/      libllama, libggml and one libggml-cpu-<variant>.so a processor family
#   llama.cpp/models/
#             ggml-vocab-*.gguf, most with test strings (.inp) and their token ids (.out)
#   llama.cpp/src/, llama.cpp/ggml/src/
#             the names of the pre-tokenizers, and source code as text to tokenize
# Both archives are checked against the SHA-256 sums below. A folder appears under its final
# name only when complete, and one that is there is left alone: a second run does nothing.
set -eu

libraries=@node-llama-cpp/linux-x64@3.22.1
libraries_sha256=0d953e1503d5ab4608d8ed5b739132308c81ac05ffeb760d2a7f30e08a9f90e0
sources=llama-cpp-python==0.3.36
sources_sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

die() {
    echo "fetch.sh: $*" >&2
    exit 1
}
need() {
    command -v "$1" >/dev/null || die "$1 is missing; install it with: tools/setup.sh test"
}
verify() { # FILE SHA256
    echo "$2  $1" | sha256sum -c --status - || die "$1 is not the file expected (SHA-256 differs)"
}

fetch_sources() { # leaves their archive here
    need python3
    python3 -m pip --version >/dev/null 2>&1 || die "pip is missing; install it with: tools/setup.sh test"
    python3 -m pip download --quiet --no-deps --no-binary llama-cpp-python "$sources" >pip.log 2>&1 ||
        die "pip download $sources: $(cat pip.log)"
    verify llama_cpp_python-*.tar.gz "$sources_sha256"
}

if [ "${1:-}" = --sources ]; then
    cd "${2:?a folder}"
    fetch_sources
    tar xzf llama_cpp_python-*.tar.gz --strip-components=2 --wildcards --no-wildcards-match-slash \
        '*/vendor/llama.cpp'
    rm -f llama_cpp_python-*.tar.gz pip.log
    exit 0
fi

[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || die "the peer is prebuilt for Linux on x86_64 only"
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=${1:-$root/target/peer}
[ -d "$dir/lib" ] && [ -e "$dir/llama.cpp/src/llama-vocab.cpp" ] && exit 0

need tar
need sha256sum
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
tmp=$(mktemp -d "$dir/fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
cd "$tmp"

# A second fetch may have finished meanwhile: then mv finds the place taken, which is as good.
install() { # NAME
    mv -T "$1" "$dir/$1" 2>/dev/null || [ -d "$dir/$1" ] || die "cannot write $dir/$1"
}

if [ ! -d "$dir/lib" ]; then
    need npm
    npm pack --silent "$libraries" >npm.log 2>&1 || die "npm pack $libraries: $(cat npm.log)"
    verify node-llama-cpp-linux-x64-*.tgz "$libraries_sha256"
    tar xzf node-llama-cpp-linux-x64-*.tgz
    mkdir lib
    mv package/bins/linux-x64/libllama.v*.so package/bins/linux-x64/libggml*.so lib/
    install lib
fi

if [ ! -e "$dir/llama.cpp/src/llama-vocab.cpp" ]; then
    fetch_sources
    tar xzf llama_cpp_python-*.tar.gz --strip-components=2 --wildcards '*/vendor/llama.cpp/models/ggml-vocab-*' \
        '*/vendor/llama.cpp/src/llama-vocab.cpp' '*/vendor/llama.cpp/src/unicode.cpp' \
        '*/vendor/llama.cpp/ggml/src/ggml.c' '*/vendor/llama.cpp/convert_hf_to_gguf.py'
    rm -rf "$dir/llama.cpp"
    install llama.cpp
fi
echo "peer: $dir"
