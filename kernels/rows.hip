// Rows of a matrix by id, as f32, and the change from a file's blocks to the planes of types.h; compiled once for
// each weight type (RF_TYPE).
//
// get_rows: y[i][:] = w[ids[i]][:]. Grid: (n_ids, k / 8192 rounded up). Exact but for one rounding.
// repack: groups first.. of the matrix from `blocks` to the planes of `w`. Grid: groups / THREADS rounded up.
//   Bytes moved: the blocks in, the same out. Called while a model is loaded, src/backend/hip/upload.rs.
#include "types.h"

constexpr int THREADS = 256;

struct GetRows {
    Weight w;
    float *y; // [n_ids][k]
    const int *ids;
    const Run *run;
    int extent, capacity;
    Grids grids;
};

KERNEL(THREADS) get_rows(GetRows a) {
    typedef RF_TYPE T;
    int i = block_x(), g = block_y() * THREADS + thread();
    if (i >= live(a.run, a.extent, a.capacity) || g >= a.w.k / 32) return;
    typename T::Raw raw;
    Group o;
    T::fetch(raw, row_of<T>(a.w, a.ids[i]), g);
    T::unpack(o, raw, g, a.grids);
    float *y = a.y + (long)i * a.w.k + g * 32;
#pragma unroll
    for (int w = 0; w < 8; w++) {
        constexpr int last = T::HALVES;
        float d = o.d[w / 4 * last], m = T::MIN ? o.m[w / 4 * last] : 0;
        F4 v = {d * (i8)o.q[w] - m, d * (i8)(o.q[w] >> 8) - m, d * (i8)(o.q[w] >> 16) - m, d * (o.q[w] >> 24) - m};
        *(F4 *)(y + 4 * w) = v;
    }
}

struct Repack {
    Weight w;
    const u8 *blocks; // those that hold the groups
    long first;       // a multiple of a block's groups
    long n;
};

KERNEL(THREADS) repack(Repack a) {
    typedef RF_TYPE T;
    long i = (long)block_x() * THREADS + thread();
    if (i >= a.n) return;
    constexpr int groups = T::BLOCK / 32;
    long block = (a.first + i) / groups;
    u8 *to[4];
#pragma unroll
    for (int p = 0; p < T::PLANES; p++) to[p] = (u8 *)plane<T>(a.w, p, 0) + block * T::bytes(p);
    T::repack(to, a.blocks + i / groups * T::FILE, i % groups);
}
