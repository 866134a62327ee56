#!/bin/bash
# A test program in two processes beside each other, half of its tests each: tools/gfx1100/parts.sh NAME
set -euo pipefail
pids=()
for i in 0 1; do
    ROCMFORGE_TEST_PART=$i/2 "${CARGO:-cargo}" test --quiet --locked --workspace --test "$1" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
