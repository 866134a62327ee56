#!/bin/sh
# Install what a fresh Debian or Ubuntu machine needs beyond a Rust toolchain.
#
#   tools/setup.sh [story|test]      (default: story)
#
#   story   build the library and the program, and print a story
#   test    also run every test: the C and C++ example, the reference peer, the GPU kernels' machine code
#
# Says nothing and changes nothing when all is there.
set -eu

want=${1:-story}
case $want in
story | test) ;;
*)
    echo "usage: tools/setup.sh [story|test]" >&2
    exit 2
    ;;
esac

missing=
have() { # COMMAND PACKAGE
    command -v "$1" >/dev/null || missing="$missing $2"
}
have cc gcc
have make make
[ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
if [ "$want" = test ]; then
    have c++ g++
    have nm binutils
    have tar tar
    have npm npm
    have python3 python3
    python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
fi

# The compiler of the GPU kernels: not every release has it, and the tests say `ignored` without it.
if [ "$want" = test ] && ! command -v clang++-19 >/dev/null && command -v apt-cache >/dev/null; then
    apt-cache show clang-19 >/dev/null 2>&1 || { [ "$(id -u)" = 0 ] && apt-get update -qq; } || true
    if apt-cache show clang-19 >/dev/null 2>&1; then
        missing="$missing clang-19 lld-19 llvm-19"
    else
        echo "setup.sh: no package clang-19 here: the tests of the GPU kernels will be ignored"
    fi
fi

# The disassembler beside the newer compiler: what an older one misprints is not compared.
if [ "$want" = test ] && ! command -v llvm-objdump-22 >/dev/null && command -v apt-cache >/dev/null; then
    ! apt-cache show llvm-22 >/dev/null 2>&1 || missing="$missing llvm-22"
fi

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "setup.sh: please install:$missing (this script knows apt-get only)" >&2
        exit 1
    fi
    sudo=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || {
            echo "setup.sh: as root, please run: apt-get install$missing" >&2
            exit 1
        }
        sudo=sudo
    fi
    echo "setup.sh: installing$missing"
    $sudo apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

if ! command -v cargo >/dev/null; then
    echo "setup.sh: a Rust toolchain is missing (1.89 or later; rustup installs one)" >&2
    exit 1
fi

# The headers that the bindings to HIP are compared with, where they can be had.
if [ "$want" = test ] && ! "$(dirname "$0")/hip-headers.sh" --no-download >/dev/null 2>&1; then
    echo "setup.sh: fetching the HIP headers"
    "$(dirname "$0")/hip-headers.sh" >/dev/null ||
        echo "setup.sh: without them, the test of the bindings will be ignored" >&2
fi
