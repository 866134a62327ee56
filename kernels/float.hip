// Products and rows of matrices in F32, F16 and BF16 (RF_FLOAT f32, f16, bf16), with columns of f32.
//
// matvec_C: y[c][r] = sum over k of w[r][k] * x[c][k] + bias + residual. Grid: (rows / WAVES, columns / C); a wave to a row.
// matvec_id: y[p][r] for sorted rows p of x, by the matrix of the expert they belong to. Grid: (rows / WAVES, pairs).
// get_rows: y[i][:] = w[ids[i]][:], exact. Grid: (n_ids, k / 8192 rounded up).
// Bytes moved: the matrix once for each C columns. Error: f32 sums of k / WAVE products.
// Called by src/backend/hip/lower.
#include "types.h"

constexpr int THREADS = 256;
constexpr int WAVES = THREADS / WAVE;

struct f32 {
    static constexpr int BYTES = 4;
    DEVICE float at(const u8 *p, long i) { return ((const float *)p)[i]; }
};
struct f16 {
    static constexpr int BYTES = 2;
    DEVICE float at(const u8 *p, long i) { return f16_to_f32(((const u16 *)p)[i]); }
};
struct bf16 {
    static constexpr int BYTES = 2;
    DEVICE float at(const u8 *p, long i) { return bf16_to_f32(((const u16 *)p)[i]); }
};
typedef RF_FLOAT T;

// Eight elements from a multiple of 8 on, of a row that begins at a multiple of 16 bytes.
DEVICE void eight(const u8 *p, int i, float (&v)[8]) {
    if constexpr (T::BYTES == 4) {
        F4 a = load<F4>(p + i * 4), b = load<F4>(p + i * 4 + 16);
        v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    } else {
        U4 q = load<U4>(p + i * 2);
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = T::at((const u8 *)&q, j);
    }
}

struct MatVec {
    Weight w;
    const float *x, *bias, *residual; // residual as y
    float *y;
    const int *offsets; // [n_expert + 1]: for matvec_id
    int x_stride, y_stride;
    int n_rows, n_expert; // rows of one expert
    int extent, capacity; // columns
    const Run *run;
};

template <int C> DEVICE void products(const MatVec &a, long row, int column, float (&acc)[C]) {
    const u8 *w = a.w.data + row * a.w.k * T::BYTES;
    const float *x = a.x + (long)column * a.x_stride;
#pragma unroll
    for (int c = 0; c < C; c++) acc[c] = 0;
    int k = a.w.k;
    if (k % 8 == 0 && a.x_stride % 4 == 0) {
#pragma unroll 2
        for (int i = lane() * 8; i < k; i += WAVE * 8) {
            float v[8];
            eight(w, i, v);
#pragma unroll
            for (int c = 0; c < C; c++) {
                F4 p = load<F4>(x + (long)c * a.x_stride + i), q = load<F4>(x + (long)c * a.x_stride + i + 4);
                acc[c] += v[0] * p.x + v[1] * p.y + v[2] * p.z + v[3] * p.w + v[4] * q.x + v[5] * q.y + v[6] * q.z + v[7] * q.w;
            }
        }
    } else {
        for (int i = lane(); i < k; i += WAVE) {
            float v = T::at(w, i);
#pragma unroll
            for (int c = 0; c < C; c++) acc[c] += v * x[(long)c * a.x_stride + i];
        }
    }
#pragma unroll
    for (int c = 0; c < C; c++) acc[c] = reduce<Sum, WAVE>(acc[c]);
}

template <int C> DEVICE void matvec(const MatVec &a) {
    int row = block_x() * WAVES + wave(), column = block_y() * C;
    if (row >= a.n_rows || column >= live(a.run, a.extent, a.capacity)) return;
    float acc[C];
    products<C>(a, row, column, acc);
    if (lane() != 0) return;
#pragma unroll
    for (int c = 0; c < C; c++) {
        float v = acc[c];
        if (a.bias) v += a.bias[row];
        if (a.residual) v += a.residual[(long)(column + c) * a.y_stride + row];
        a.y[(long)(column + c) * a.y_stride + row] = v;
    }
}
KERNEL(THREADS) matvec_1(MatVec a) { matvec<1>(a); }
KERNEL(THREADS) matvec_2(MatVec a) { matvec<2>(a); }
KERNEL(THREADS) matvec_4(MatVec a) { matvec<4>(a); }
KERNEL(THREADS) matvec_8(MatVec a) { matvec<8>(a); }

KERNEL(THREADS) matvec_id(MatVec a) {
    int row = block_x() * WAVES + wave(), pair = block_y();
    if (row >= a.n_rows || pair >= a.offsets[a.n_expert]) return;
    int e = 0;
    while (a.offsets[e + 1] <= pair) e++;
    float acc[1];
    products<1>(a, (long)e * a.n_rows + row, pair, acc);
    if (lane() == 0) a.y[(long)pair * a.y_stride + row] = acc[0];
}

struct GetRows {
    Weight w;
    float *y; // [n_ids][k]
    const int *ids;
    const Run *run;
    int extent, capacity;
};
KERNEL(THREADS) get_rows(GetRows a) {
    int i = block_x();
    if (i >= live(a.run, a.extent, a.capacity)) return;
    const u8 *w = a.w.data + (long)a.ids[i] * a.w.k * T::BYTES;
    int begin = block_y() * 8192, end = begin + 8192 < a.w.k ? begin + 8192 : a.w.k;
    for (int j = begin + thread(); j < end; j += THREADS) a.y[(long)i * a.w.k + j] = T::at(w, j);
}
