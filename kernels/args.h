// The arguments of kernels. Each takes one of these by value; src/backend/hip/args.rs has the same.
#pragma once
#include "device.h"

// How much of its capacity a run uses. In device memory, so that it can change under a captured graph.
struct Run {
    int n_tokens;
    int n_outputs;
    int n_kv; // cells up to the last in use
    int unused;
};

// Which count of a run bounds the rows of a tensor.
enum Extent { FIXED = 0, TOKENS = 1, OUTPUTS = 2 };
DEVICE int live(const Run *run, int extent, int capacity) {
    return extent == TOKENS ? run->n_tokens : extent == OUTPUTS ? run->n_outputs : capacity;
}

// A matrix [n_rows][k] as rows.hip lays it out; see types.h.
struct Weight {
    const u8 *data;
    int n_rows; // of all experts together
    int k;
};

// Rows in 8 bits, for products: k bytes, then for each 32 of them a Scale, then for each 32 the sum of the squares of
// what they were made of, which only lazily normed rows have (matvec.hip), then up to 16 bytes.
struct Scale {
    float d; // value = d * byte
    i16 s0;  // sum of the first 16 bytes
    i16 s1;  // sum of the last 16
};
DEVICE long packed_row(int k) { return ((long)k + k / 4 + k / 8 + 15) / 16 * 16; }
