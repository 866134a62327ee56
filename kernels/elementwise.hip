// Norms, activations and sums over rows of f32, with or without packing the result for a product.
//
// All take rows [n_entries][n_mid][n]: `mid` rows (heads, or 1) for each token or output, at strides in elements.
// Grid: (n_entries * n_mid, n / CHUNK rounded up) for what is done element by element, (n_entries * n_mid) for
// norms. Blocks beyond the live rows end at once. Bytes moved: each operand once.
//   norm:     x / sqrt(mean(x^2) + eps) * weight   error 1e-6 of the result: f32 sums over NORM_THREADS partial sums
//   binary:   a + b, a * b (b may be one row), silu(a), silu(a) * b
// Packed results are rounded to half a step of each group's scale.
// Called by src/backend/hip/lower.
#include "pack.h"

constexpr int THREADS = 256;
// More for a norm: there may be one row only.
constexpr int NORM_THREADS = 1024;
constexpr int CHUNK = 1024;

struct Rows {
    float *p;
    int entry, mid; // strides in elements
};

struct Norm {
    Rows x, y;
    const float *weight; // [n] or null
    u8 *packed;          // in place of y
    int n, n_mid;
    float eps;
    int extent, capacity;
    const Run *run;
};

DEVICE const float *row_of(const Rows &x, int row, int n_mid) {
    return x.p + (long)(row / n_mid) * x.entry + (long)(row % n_mid) * x.mid;
}

template <bool PACK> DEVICE void norm(const Norm &a) {
    LDS float room[NORM_THREADS / WAVE];
    int row = block_x();
    if (row >= live(a.run, a.extent, a.capacity) * a.n_mid) return;
    const float *x = row_of(a.x, row, a.n_mid);
    float sum = 0;
    for (int i = thread(); i < a.n; i += NORM_THREADS) sum += x[i] * x[i];
    float factor = 1 / square_root(block_sum<NORM_THREADS / WAVE>(sum, room) / a.n + a.eps);
    float *y = (float *)row_of(a.y, row, a.n_mid);
    u8 *packed = a.packed + row * packed_row(a.n);
    for (int i = thread(); i < a.n; i += NORM_THREADS) {
        float v = x[i] * factor;
        if (a.weight) v *= a.weight[i];
        if constexpr (PACK) pack_group(v, packed, a.n, i / 32);
        else y[i] = v;
    }
}
KERNEL(NORM_THREADS) rms_norm(Norm a) { norm<false>(a); }
KERNEL(NORM_THREADS) rms_norm_pack(Norm a) { norm<true>(a); }

struct Binary {
    Rows a, b, y; // strides of b are 0 where it is one row
    u8 *packed;   // in place of y
    int n, n_mid;
    int extent, capacity;
    const Run *run;
};

enum What { PACK, ADD, MUL, SILU, SWIGLU };

template <What what, bool PACKED> DEVICE void binary(const Binary &a) {
    int row = block_x();
    if (row >= live(a.run, a.extent, a.capacity) * a.n_mid) return;
    const float *x = row_of(a.a, row, a.n_mid), *z = row_of(a.b, row, a.n_mid);
    float *y = (float *)row_of(a.y, row, a.n_mid);
    u8 *packed = a.packed + row * packed_row(a.n);
    int begin = block_y() * CHUNK, end = begin + CHUNK < a.n ? begin + CHUNK : a.n;
    for (int i = begin + thread(); i < end; i += THREADS) {
        float v = x[i];
        if constexpr (what == ADD) v += z[i];
        if constexpr (what == MUL) v *= z[i];
        if constexpr (what == SILU || what == SWIGLU) v = v / (1 + exponential(-v));
        if constexpr (what == SWIGLU) v *= z[i];
        if constexpr (PACKED) pack_group(v, packed, a.n, i / 32);
        else y[i] = v;
    }
}
KERNEL(THREADS) pack(Binary a) { binary<PACK, true>(a); }
KERNEL(THREADS) add(Binary a) { binary<ADD, false>(a); }
KERNEL(THREADS) mul(Binary a) { binary<MUL, false>(a); }
KERNEL(THREADS) silu(Binary a) { binary<SILU, false>(a); }
KERNEL(THREADS) swiglu(Binary a) { binary<SWIGLU, false>(a); }
KERNEL(THREADS) swiglu_pack(Binary a) { binary<SWIGLU, true>(a); }

// Rows by id: y[i] = x[ids[i]], rows of `bytes`, a multiple of 4. Grid: (n_ids).
struct CopyRows {
    const u8 *x;
    u8 *y;
    const int *ids;
    long x_stride, y_stride;
    int bytes, extent, capacity, per_entry;
    const Run *run;
};
KERNEL(THREADS) copy_rows(CopyRows a) {
    int row = block_x();
    if (row >= live(a.run, a.extent, a.capacity) * a.per_entry) return;
    const u32 *x = (const u32 *)(a.x + a.ids[row] * a.x_stride);
    u32 *y = (u32 *)(a.y + row * a.y_stride);
    for (int i = thread(); i < a.bytes / 4; i += THREADS) y[i] = x[i];
}
