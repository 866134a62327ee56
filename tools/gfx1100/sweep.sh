#!/bin/bash
# The brief sweep of every operation in so many processes beside each other, each on the device that the environment names.
set -euo pipefail
n=$1
pids=()
for ((i = 0; i < n; i++)); do
    ROCMFORGE_SWEEP=brief ROCMFORGE_SWEEP_PART=$i/$n "${CARGO:-cargo}" test --quiet --locked --workspace --test sweep &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
