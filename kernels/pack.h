// Making packed rows (args.h): 8 bits with a scale for each 32.
#pragma once
#include "args.h"

// Packs a group of 32 values of a row of k, one to each of 32 lanes in a row.
DEVICE void pack_group(float v, u8 *row, int k, int group) {
    float most = reduce<Max, 32>(absolute(v));
    // What is smaller has no inverse.
    float d = most * (1.0f / 127), scale = most > 1e-30f ? 127 * inverse(most) : 0;
    int q = (int)nearest(v * scale);
    int half = reduce<Sum, 16>(q), other = swap_lanes<16>(half);
    global(row)[group * 32 + lane() % 32] = (u8)q;
    if (lane() % 32 == 0) {
        Scale s;
        s.d = d;
        s.s0 = half;
        s.s1 = other;
        u64 bits;
        __builtin_memcpy(&bits, &s, sizeof(bits));
        *global((u64 *)(row + k + group * 8)) = bits;
    }
}

// Sums over a block of WAVES waves. `room` is LDS of WAVES floats; all threads get the sum.
template <int WAVES> DEVICE float block_sum(float v, float *room) {
    v = reduce<Sum, WAVE>(v);
    if (lane() == 0) room[wave()] = v;
    barrier();
    float sum = 0;
#pragma unroll
    for (int i = 0; i < WAVES; i++) sum += room[i];
    return sum;
}
