#!/bin/bash
# Runs a command with the gfx1100 kernels of a compiler, executed by the interpreter:
#   tools/gfx1100/run.sh clang|zig COMMAND...
# in which ROCMFORGE_TEST_DEVICE is hip0, so that tests which can take any device take this one.
set -euo pipefail
cd "$(dirname "$0")/../.."
compiler=$1
shift
cargo=${CARGO:-cargo}
kernels=$PWD/target/testkit/kernels-$compiler
$cargo run --quiet --locked -p rocmforge-kernels -- "$kernels" --compiler "$compiler" --target gfx1100
$cargo build --quiet --locked -p rocmforge-fake-hip
export ROCMFORGE_HIP_LIBRARY=$PWD/target/debug/libfake_hip.so ROCMFORGE_KERNELS=$kernels
export ROCMFORGE_TEST_DEVICE=hip0 FAKE_HIP_EXECUTE=1
exec "$@"
