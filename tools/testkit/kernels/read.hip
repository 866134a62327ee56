// What a GPU reads at most: the roof that generation is measured against.
//
// read: loads n words of 16 bytes once, four of a thread on their way at a time, and writes nothing in effect.
// Grid: any number of blocks, told in `blocks`. Bytes moved: 16 n. Called by tools/testkit/src/limits.rs.
// budget: b128
#include "../../../kernels/device.h"

constexpr int THREADS = 512;

struct Read {
    const U4 *words;
    u64 n;
    u32 *never; // written if all words have one unlikely sum, so that none may be left out
    u64 blocks;
};

KERNEL(THREADS) read(Read a) {
    const u64 step = a.blocks * THREADS;
    u32 sum = 0;
    u64 i = (u64)block_x() * THREADS + thread();
    for (; i + 3 * step < a.n; i += 4 * step) {
        U4 w[4];
#pragma unroll
        for (int j = 0; j < 4; j++) w[j] = load<U4>(a.words + i + j * step);
#pragma unroll
        for (int j = 0; j < 4; j++) sum += w[j].x ^ w[j].y ^ w[j].z ^ w[j].w;
    }
    for (; i < a.n; i += step) {
        U4 w = load<U4>(a.words + i);
        sum += w.x ^ w.y ^ w.z ^ w.w;
    }
    if (sum == 0x9e3779b9) *a.never = sum;
}
