// Products of a quantised matrix and a few columns: y[c][r] = sum over k of w[r][k] * x[c][k], compiled once
// for each weight type (RF_TYPE).
//
// x is packed (args.h): bytes with a scale for each 32, so a product of groups is eight dot4. Columns may be
// normed lazily: then they are x * weight and end in sums of squares, of which the factor 1 / sqrt(mean + eps) is
// made here, while the weights are on their way.
//
// Grid: (tiles of TILE rows of all matrices, columns / C). Block: THREADS, or NORM_THREADS for matvec_norm_1; each wave
// makes ROWS rows of the tile, or parts of them.
// Bytes moved: the matrix once, and x once a block (from L2).
// What can be done with the sums:
//   matvec_C         + bias + residual -> y
//   matvec_norm_C    the same, and the result * norm -> packed, lazily normed: what the next product reads
//   matvec_swiglu_C  matrices 0 and 1 are gate and up; silu(gate) * up -> packed
//   matvec_id        column p by the matrix of the expert that the sorted row p belongs to -> y    (grid y: pairs)
// Error: that of x in 8 bits (half a step of each group's scale), and of f32 sums of k / 32 products.
// Called by src/backend/hip/lower.
// budget: b128 dot4
#include "pack.h"
#include "types.h"

typedef RF_TYPE T;

constexpr int TILE = 32;
constexpr int THREADS = 256;
// A norm has as many tiles as a row has groups, which are few for the compute units there are.
constexpr int NORM_THREADS = 512;
// Waves that share a row of a product with one column, each taking a part of k. Groups of some types take more
// registers than others while they are on their way: two waves with half of the groups each have more of them there.
template <int C, int WAVES> constexpr int PARTS = C > 1 ? 1 : (WAVE == 32 && T::BLOCK > 32 ? 2 : 1) * WAVES * WAVE / THREADS;
template <int C, int WAVES> constexpr int ROWS = TILE * PARTS<C, WAVES> / WAVES;
// Rows of each of M matrices that a wave makes at a time: no more than fit the registers with the columns, or of one
// column with all that is on its way.
template <int M> constexpr int MOST = M == 2 && T::BLOCK == 32 && sizeof(T::Raw) > 32 ? 2 : 8 / M;
template <int C, int M, int WAVES> constexpr int PASS =
    C == 8 ? (T::BLOCK > 32 ? 1 : 2) : C == 1 && ROWS<C, WAVES> > MOST<M> ? MOST<M> : ROWS<C, WAVES>;
// Blocks to a multiprocessor, see KERNEL_AT.
#define BLOCKS (T::BLOCK > 32 ? 2 : 3)

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

// The sums of a tile, and of the squares of lazily normed columns, by the part of k they are over.
template <int C, int WAVES> struct Sums {
    float products[PARTS<C, WAVES>][C][TILE];
    float squares[PARTS<C, WAVES>][C];
};

// Row r of column c, all told.
template <int C, int WAVES> DEVICE float total(const MatVec &a, const Sums<C, WAVES> &s, int c, int r) {
    float sum = 0, squares = 0;
#pragma unroll
    for (int p = 0; p < PARTS<C, WAVES>; p++) {
        sum += s.products[p][c][r];
        squares += s.squares[p][c];
    }
    return a.lazy ? sum * inverse_root(squares * inverse((float)a.w[0].k) + a.eps) : sum;
}

// A group of a column.
struct Column {
    U4 lo, hi;
    Scale s;
    float squares;
};
DEVICE Column column_at(const u8 *x, int k, int g, int lazy) {
    return Column{load<U4>(x + g * 32), load<U4>(x + g * 32 + 16), load<Scale>(x + k + g * 8),
        lazy ? load<float>(x + k + k / 4 + g * 4) : 0};
}

// Products of the rows `begin`.. of each of M matrices of one shape, up to TILE and to `end`, into LDS. A barrier has to
// follow.
template <int C, int M, int WAVES>
DEVICE void products(const MatVec &a, const Weight *w, long begin, long end, int column, Sums<C, WAVES> *out) {
    constexpr int R = PASS<C, M, WAVES>, P = PARTS<C, WAVES>, N = ROWS<C, WAVES>;
    const int part = wave() / (WAVES / P);
    const int k = w[0].k, groups = k / 32;
    const long stride = packed_row(k);
    const u8 *x = a.x + column * stride;
#pragma unroll 1
    for (int pass = 0; pass < N / R; pass++) {
        const int row = wave() % (WAVES / P) * N + pass * R;
        Row rows[M][R];
        float acc[M][R][C], squares[C];
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int r = 0; r < R; r++) {
                // The last row in place of those beyond.
                rows[m][r] = row_of<T>(w[m], begin + row + r < end ? begin + row + r : end - 1);
#pragma unroll
                for (int c = 0; c < C; c++) acc[m][r][c] = 0;
            }
#pragma unroll
        for (int c = 0; c < C; c++) squares[c] = 0;
#pragma unroll 1
        for (int g = part * WAVE + lane(); g < groups; g += WAVE * P) {
            // Everything is on its way before the first of it is used, of many columns but the columns.
            typename T::Raw raw[M][R];
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int r = 0; r < R; r++) T::fetch(raw[m][r], rows[m][r], g);
            Column first;
            if constexpr (C == 1) first = column_at(x, k, g, a.lazy);
            Group o[M][R];
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int r = 0; r < R; r++) T::unpack(o[m][r], raw[m][r], g, a.grids);
#pragma unroll
            for (int c = 0; c < C; c++) {
                const Column y = C == 1 ? first : column_at(x + c * stride, k, g, a.lazy);
                const U4 lo = y.lo, hi = y.hi;
                const Scale s = y.s;
                squares[c] += y.squares;
#pragma unroll
                for (int m = 0; m < M; m++)
#pragma unroll
                    for (int r = 0; r < R; r++) {
                        const int *q = o[m][r].q;
                        const float *d = o[m][r].d, *least = o[m][r].m;
                        int head = dot4(q[3], lo.w, dot4(q[2], lo.z, dot4(q[1], lo.y, dot4(q[0], lo.x, 0))));
                        int tail = dot4(q[7], hi.w, dot4(q[6], hi.z, dot4(q[5], hi.y, dot4(q[4], hi.x, 0))));
                        float v;
                        if constexpr (T::HALVES) {
                            v = d[0] * head + d[1] * tail;
                            if constexpr (T::MIN) v -= least[0] * s.s0 + least[1] * s.s1;
                        } else {
                            v = d[0] * (head + tail);
                            if constexpr (T::MIN) v -= least[0] * (s.s0 + s.s1);
                        }
                        acc[m][r][c] += s.d * v;
                    }
            }
        }
#pragma unroll
        for (int c = 0; c < C; c++) {
            squares[c] = reduce<Sum, WAVE>(squares[c]);
#pragma unroll
            for (int m = 0; m < M; m++) {
                if (row == 0 && lane() == 0) out[m].squares[part][c] = squares[c];
#pragma unroll
                for (int r = 0; r < R; r++) {
                    float v = reduce<Sum, WAVE>(acc[m][r][c]);
                    if (lane() == 0) out[m].products[part][c][row + r] = v;
                }
            }
        }
    }
}

// Columns that a wave finishes, a lane to each row.
template <int C, int WAVES> constexpr int TURNS = (C + WAVES - 1) / WAVES;

template <int C> DEVICE void plain(const MatVec &a) {
    constexpr int WAVES = THREADS / WAVE;
    LDS Sums<C, WAVES> sums;
    const int tile = block_x(), m = tile < a.tiles[0] ? 0 : tile < a.tiles[1] ? 1 : 2, column = block_y() * C;
    if (column >= live(a.run, a.extent, a.capacity)) return;
    const Weight &w = a.w[m];
    const int first = (tile - (m > 0 ? a.tiles[m - 1] : 0)) * TILE, row = first + lane() % 32;
    const bool writes = lane() < 32 && row < w.n_rows;
    // What is added in the end is fetched first.
    float extra[TURNS<C, WAVES>];
#pragma unroll
    for (int i = 0; i < TURNS<C, WAVES>; i++) {
        const int c = wave() + i * WAVES;
        extra[i] = c < C && writes && a.bias[m] ? a.bias[m][row] : 0;
        if (c < C && writes && a.residual) extra[i] += a.residual[(long)(column + c) * a.stride[m] + row];
    }
    products<C, 1, WAVES>(a, &w, first, w.n_rows, column, &sums);
    barrier();
#pragma unroll
    for (int i = 0; i < TURNS<C, WAVES>; i++) {
        const int c = wave() + i * WAVES;
        if (c < C && writes) a.y[m][(long)(column + c) * a.stride[m] + row] = total(a, sums, c, lane() % 32) + extra[i];
    }
}

template <int C> DEVICE void then_norm(const MatVec &a) {
    constexpr int WAVES = (C == 1 ? NORM_THREADS : THREADS) / WAVE;
    LDS Sums<C, WAVES> sums;
    const int first = block_x() * TILE, row = first + lane() % 32, column = block_y() * C;
    const Weight &w = a.w[0];
    const float norm = a.norm[row];
    float extra[TURNS<C, WAVES>];
#pragma unroll
    for (int i = 0; i < TURNS<C, WAVES>; i++) {
        const int c = wave() + i * WAVES;
        extra[i] = c < C && a.bias[0] ? a.bias[0][row] : 0;
        if (c < C && a.residual) extra[i] += a.residual[(long)(column + c) * a.stride[0] + row];
    }
    products<C, 1, WAVES>(a, &w, first, w.n_rows, column, &sums);
    barrier();
#pragma unroll
    for (int i = 0; i < TURNS<C, WAVES>; i++) {
        const int c = wave() + i * WAVES;
        if (c >= C) break;
        float v = total(a, sums, c, lane() % 32) + extra[i];
        if (lane() < 32) a.y[0][(long)(column + c) * a.stride[0] + row] = v;
        float squares = reduce<Sum, 32>(v * v);
        u8 *packed = a.packed + (column + c) * packed_row(w.n_rows);
        if (lane() == 0) *(float *)(packed + w.n_rows + w.n_rows / 4 + block_x() * 4) = squares;
        if (lane() < 32) pack_group(v * norm, packed, w.n_rows, block_x());
    }
}

template <int C> DEVICE void swiglu(const MatVec &a) {
    constexpr int WAVES = THREADS / WAVE;
    LDS Sums<C, WAVES> sums[2];
    const int first = block_x() * TILE, row = first + lane() % 32, column = block_y() * C;
    const int n = a.w[0].n_rows;
    if constexpr (C == 1) {
        products<C, 2, WAVES>(a, a.w, first, n, column, sums);
    } else {
        products<C, 1, WAVES>(a, a.w, first, n, column, sums);
        products<C, 1, WAVES>(a, a.w + 1, first, n, column, sums + 1);
    }
    barrier();
    for (int c = wave(); c < C; c += WAVES) {
        float gate = total(a, sums[0], c, lane() % 32), up = total(a, sums[1], c, lane() % 32);
        if (a.bias[0]) gate += a.bias[0][row];
        if (a.bias[1]) up += a.bias[1][row];
        float v = silu(gate) * up;
        if (lane() < 32) pack_group(v, a.packed + (column + c) * packed_row(n), n, block_x());
    }
}

KERNEL(THREADS) matvec_id(MatVec a) {
    LDS Sums<1, THREADS / WAVE> sums;
    const int pair = block_y(), n_rows = a.w[0].n_rows / a.n_expert, first = block_x() * TILE, row = first + lane();
    if (pair >= a.offsets[a.n_expert]) return;
    int e = 0;
    while (a.offsets[e + 1] <= pair) e++;
    const long start = (long)e * n_rows;
    products<1, 1, THREADS / WAVE>(a, a.w, start + first, start + n_rows, pair, &sums);
    barrier();
    if (thread() < TILE && row < n_rows) a.y[0][(long)pair * a.stride[0] + row] = total(a, sums, 0, lane());
}

KERNEL_AT(THREADS, BLOCKS) matvec_1(MatVec a) { plain<1>(a); }
KERNEL_AT(NORM_THREADS, 1) matvec_norm_1(MatVec a) { then_norm<1>(a); }
KERNEL_AT(THREADS, 2) matvec_swiglu_1(MatVec a) { swiglu<1>(a); }

#define MATVEC(C)                                                                                           \
    KERNEL(THREADS) matvec_##C(MatVec a) { plain<C>(a); }                                                   \
    KERNEL(THREADS) matvec_norm_##C(MatVec a) { then_norm<C>(a); }                                          \
    KERNEL(THREADS) matvec_swiglu_##C(MatVec a) { swiglu<C>(a); }
MATVEC(2)
MATVEC(4)
MATVEC(8)
