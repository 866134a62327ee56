#!/bin/bash
# Runs a command with the gfx1100 kernels of a compiler, executed by the interpreter:
#   tools/gfx1100/run.sh clang|zig COMMAND...
# in which ROCMFORGE_TEST_DEVICE is hip0, so that tests which can take any device take this one, and in fewer sizes unless
# ROCMFORGE_TEST_BRIEF says otherwise. The kernels and the runtime are those that tests/gfx1100.rs makes and takes.
set -euo pipefail
cd "$(dirname "$0")/../.."
compiler=$1
shift
ROCMFORGE_REQUIRE_CLANG=1 "${CARGO:-cargo}" test --quiet --locked --workspace --test gfx1100 -- "$compiler"
export ROCMFORGE_HIP_LIBRARY=$PWD/target/debug/deps/libfake_hip.so
export ROCMFORGE_KERNELS=$PWD/target/testkit/kernels-$compiler
export ROCMFORGE_TEST_DEVICE=hip0 FAKE_HIP_EXECUTE=1 ROCMFORGE_TEST_BRIEF=${ROCMFORGE_TEST_BRIEF-1}
exec "$@"
