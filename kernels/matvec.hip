// Products of a quantised matrix and a few columns: y[c][r] = sum over k of w[r][k] * x[c][k], compiled once
// for each weight type (RF_TYPE).
//
// x is packed (args.h): bytes with a scale for each 32, so a product of groups is eight dot4. Columns may be
// normed lazily: then they are x * weight and end in sums of squares, of which the factor 1 / sqrt(mean + eps) is
// made here, while the weights are on their way.
//
// Grid: (tiles of TILE rows of all matrices, columns / C). Block: THREADS; each wave makes ROWS rows of the tile.
// Bytes moved: the matrix once, and x once a block (from L2).
// What can be done with the sums:
//   matvec_C         + bias + residual -> y
//   matvec_norm_C    the same, and the result * norm -> packed, lazily normed: what the next product reads
//   matvec_swiglu_C  matrices 0 and 1 are gate and up; silu(gate) * up -> packed
//   matvec_id        column p by the matrix of the expert that the sorted row p belongs to -> y    (grid y: pairs)
// Error: that of x in 8 bits (half a step of each group's scale), and of f32 sums of k / 32 products.
// Called by src/backend/hip/launch.rs.
// budget: b128 dot4
#include "pack.h"
#include "types.h"

constexpr int TILE = 32;
constexpr int THREADS = 512;
constexpr int WAVES = THREADS / WAVE;
constexpr int ROWS = TILE / WAVES;

struct MatVec {
    Weight w[3];
    const float *bias[3];
    float *y[3];
    int tiles[3]; // end of each matrix's tiles in grid x
    int stride[3]; // of y, in elements
    const u8 *x;
    const float *residual; // as y[0]
    const float *norm;     // [n_rows]
    u8 *packed;
    const int *offsets; // [n_expert + 1]: for matvec_id
    const Run *run;
    float eps;
    int lazy; // whether x is normed lazily
    int n_expert;
    int extent, capacity; // columns
    int unused;
    Grids grids;
};

// The products of ROWS rows and C columns, summed over the wave's lanes.
template <class T, int C> DEVICE void products(const MatVec &a, const Weight &w, long row, int column, float (&acc)[ROWS][C]) {
    Row rows[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        rows[r] = row_of<T>(w, row + r < w.n_rows ? row + r : w.n_rows - 1);
#pragma unroll
        for (int c = 0; c < C; c++) acc[r][c] = 0;
    }
    const long stride = packed_row(w.k);
    const u8 *x = a.x + column * stride;
    const int groups = w.k / 32;
#pragma unroll(C < 8 ? 2 : 1) // of eight columns, one group keeps enough loads on their way
    for (int g = lane(); g < groups; g += WAVE) {
        typename T::Raw raw[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++) T::fetch(raw[r], rows[r], g);
        Group o[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++) T::unpack(o[r], raw[r], g, a.grids);
#pragma unroll
        for (int c = 0; c < C; c++) {
            U4 lo = load<U4>(x + c * stride + g * 32), hi = load<U4>(x + c * stride + g * 32 + 16);
            Scale s = load<Scale>(x + c * stride + w.k + g * 8);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                const int *q = o[r].q;
                int first = dot4(q[3], lo.w, dot4(q[2], lo.z, dot4(q[1], lo.y, dot4(q[0], lo.x, 0))));
                int last = dot4(q[7], hi.w, dot4(q[6], hi.z, dot4(q[5], hi.y, dot4(q[4], hi.x, 0))));
                float v;
                if constexpr (T::HALVES) {
                    v = o[r].d[0] * first + o[r].d[1] * last;
                    if constexpr (T::MIN) v -= o[r].m[0] * s.s0 + o[r].m[1] * s.s1;
                } else {
                    v = o[r].d[0] * (first + last);
                    if constexpr (T::MIN) v -= o[r].m[0] * (s.s0 + s.s1);
                }
                acc[r][c] += s.d * v;
            }
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int c = 0; c < C; c++) acc[r][c] = reduce<Sum, WAVE>(acc[r][c]);
}

// The factor of a lazily normed column.
DEVICE float norm_factor(const MatVec &a, int column) {
    if (!a.lazy) return 1;
    int k = a.w[0].k;
    const float *sums = (const float *)(a.x + column * packed_row(k) + k + k / 4);
    float sum = 0;
    for (int i = lane(); i < k / 32; i += WAVE) sum += sums[i];
    return 1 / square_root(reduce<Sum, WAVE>(sum) / k + a.eps);
}

template <class T, int C> DEVICE void plain(const MatVec &a) {
    int tile = block_x(), m = tile < a.tiles[0] ? 0 : tile < a.tiles[1] ? 1 : 2;
    const Weight &w = a.w[m];
    int row = (tile - (m > 0 ? a.tiles[m - 1] : 0)) * TILE + wave() * ROWS, column = block_y() * C;
    if (column >= live(a.run, a.extent, a.capacity)) return;
    float acc[ROWS][C];
    products<T, C>(a, w, row, column, acc);
#pragma unroll
    for (int c = 0; c < C; c++) {
        float factor = norm_factor(a, column + c);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (lane() != 0 || row + r >= w.n_rows) continue;
            float v = acc[r][c] * factor;
            long at = (long)(column + c) * a.stride[m] + row + r;
            if (a.bias[m]) v += a.bias[m][row + r];
            if (a.residual) v += a.residual[at];
            a.y[m][at] = v;
        }
    }
}

template <class T, int C> DEVICE void then_norm(const MatVec &a) {
    LDS float tile[C][TILE];
    int first = block_x() * TILE, row = wave() * ROWS, column = block_y() * C;
    const Weight &w = a.w[0];
    float acc[ROWS][C];
    products<T, C>(a, w, first + row, column, acc);
#pragma unroll
    for (int c = 0; c < C; c++) {
        float factor = norm_factor(a, column + c);
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            if (lane() == 0) tile[c][row + r] = acc[r][c] * factor;
    }
    barrier();
    for (int c = wave(); c < C; c += WAVES) {
        int i = lane() % 32, r = first + i;
        long at = (long)(column + c) * a.stride[0] + r;
        float v = tile[c][i];
        if (a.bias[0]) v += a.bias[0][r];
        if (a.residual) v += a.residual[at];
        if (lane() < 32) a.y[0][at] = v;
        float squares = reduce<Sum, 32>(v * v);
        u8 *packed = a.packed + (column + c) * packed_row(w.n_rows);
        if (lane() == 0) *(float *)(packed + w.n_rows + w.n_rows / 4 + block_x() * 4) = squares;
        if (lane() < 32) pack_group(v * a.norm[r], packed, w.n_rows, block_x());
    }
}

template <class T, int C> DEVICE void swiglu(const MatVec &a) {
    LDS float tile[2][C][TILE];
    int first = block_x() * TILE, row = wave() * ROWS, column = block_y() * C;
    const Weight &w = a.w[0];
#pragma unroll
    for (int m = 0; m < 2; m++) {
        float acc[ROWS][C];
        products<T, C>(a, a.w[m], first + row, column, acc);
#pragma unroll
        for (int c = 0; c < C; c++) {
            float factor = norm_factor(a, column + c);
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                if (lane() == 0) tile[m][c][row + r] = acc[r][c] * factor;
        }
    }
    barrier();
    for (int c = wave(); c < C; c += WAVES) {
        int i = lane() % 32;
        float gate = tile[0][c][i], up = tile[1][c][i];
        if (a.bias[0]) gate += a.bias[0][first + i];
        if (a.bias[1]) up += a.bias[1][first + i];
        float v = gate / (1 + exponential(-gate)) * up;
        if (lane() < 32) pack_group(v, a.packed + (column + c) * packed_row(w.n_rows), w.n_rows, block_x());
    }
}

KERNEL(THREADS) matvec_id(MatVec a) {
    int pair = block_y(), e = 0, n_rows = a.w[0].n_rows / a.n_expert;
    if (pair >= a.offsets[a.n_expert]) return;
    while (a.offsets[e + 1] <= pair) e++;
    int row = block_x() * TILE + wave() * ROWS;
    float acc[ROWS][1];
    products<RF_TYPE, 1>(a, a.w[0], (long)e * n_rows + row, pair, acc);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        if (lane() == 0 && row + r < n_rows) a.y[0][(long)pair * a.stride[0] + row + r] = acc[r][0];
}

#define MATVEC(C)                                                                                           \
    KERNEL(THREADS) matvec_##C(MatVec a) { plain<RF_TYPE, C>(a); }                                          \
    KERNEL(THREADS) matvec_norm_##C(MatVec a) { then_norm<RF_TYPE, C>(a); }                                 \
    KERNEL(THREADS) matvec_swiglu_##C(MatVec a) { swiglu<RF_TYPE, C>(a); }
MATVEC(1)
MATVEC(2)
MATVEC(4)
MATVEC(8)
