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
constexpr int THREADS = 256;
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

// The products of N rows and C columns, summed over the wave's lanes, times the factors of lazily normed columns.
template <class T, int N, int C, int AHEAD>
DEVICE void products(const MatVec &a, const Row (&rows)[N], int column, float (&acc)[N][C]) {
    const int k = a.w[0].k, groups = k / 32;
    const long stride = packed_row(k);
    const u8 *x = a.x + column * stride;
    float squares[C];
#pragma unroll
    for (int c = 0; c < C; c++) {
        squares[c] = 0;
#pragma unroll
        for (int r = 0; r < N; r++) acc[r][c] = 0;
    }
    for (int first = lane(); first < groups; first += WAVE * AHEAD) {
        // Everything is on its way before the first of it is used.
        typename T::Raw raw[AHEAD][N];
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            int g = first + u * WAVE < groups ? first + u * WAVE : groups - 1;
#pragma unroll
            for (int r = 0; r < N; r++) T::fetch(raw[u][r], rows[r], g);
        }
        if (a.lazy) {
#pragma unroll
            for (int c = 0; c < C; c++) {
                const float *sums = (const float *)(x + c * stride + k + k / 4);
#pragma unroll
                for (int u = 0; u < AHEAD; u++) squares[c] += first + u * WAVE < groups ? sums[first + u * WAVE] : 0;
            }
        }
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            bool inside = first + u * WAVE < groups;
            int g = inside ? first + u * WAVE : groups - 1;
            Group o[N];
#pragma unroll
            for (int r = 0; r < N; r++) T::unpack(o[r], raw[u][r], g, a.grids);
#pragma unroll
            for (int c = 0; c < C; c++) {
                U4 lo = load<U4>(x + c * stride + g * 32), hi = load<U4>(x + c * stride + g * 32 + 16);
                Scale s = load<Scale>(x + c * stride + k + g * 8);
                if (!inside) s.d = 0;
#pragma unroll
                for (int r = 0; r < N; r++) {
                    const int *q = o[r].q;
                    int head = dot4(q[3], lo.w, dot4(q[2], lo.z, dot4(q[1], lo.y, dot4(q[0], lo.x, 0))));
                    int tail = dot4(q[7], hi.w, dot4(q[6], hi.z, dot4(q[5], hi.y, dot4(q[4], hi.x, 0))));
                    float v;
                    if constexpr (T::HALVES) {
                        v = o[r].d[0] * head + o[r].d[1] * tail;
                        if constexpr (T::MIN) v -= o[r].m[0] * s.s0 + o[r].m[1] * s.s1;
                    } else {
                        v = o[r].d[0] * (head + tail);
                        if constexpr (T::MIN) v -= o[r].m[0] * (s.s0 + s.s1);
                    }
                    acc[r][c] += s.d * v;
                }
            }
        }
    }
#pragma unroll
    for (int c = 0; c < C; c++) {
        float factor = a.lazy ? 1 / square_root(reduce<Sum, WAVE>(squares[c]) / k + a.eps) : 1;
#pragma unroll
        for (int r = 0; r < N; r++) acc[r][c] = reduce<Sum, WAVE>(acc[r][c]) * factor;
    }
}

// The same with as many groups on their way as pay.
template <class T, int N, int C> DEVICE void products(const MatVec &a, const Row (&rows)[N], int column, float (&acc)[N][C]) {
    constexpr int AHEAD = C > 1 || N >= 8 ? 1 : 8 / N;
    if (AHEAD > 1 && a.w[0].k / 32 > WAVE) products<T, N, C, AHEAD>(a, rows, column, acc);
    else products<T, N, C, 1>(a, rows, column, acc);
}

// Rows `row`.. of a matrix that ends at `end`; its last row in place of those beyond.
template <class T, int N> DEVICE void rows_from(const Weight &w, long row, long end, Row *rows) {
#pragma unroll
    for (int r = 0; r < N; r++) rows[r] = row_of<T>(w, row + r < end ? row + r : end - 1);
}

// The element of an array that lives in registers.
template <int N, int C> DEVICE float pick(const float (&v)[N][C], int r, int c) {
    float x = 0;
#pragma unroll
    for (int i = 0; i < N; i++) x = i == r ? v[i][c] : x;
    return x;
}

template <class T, int C> DEVICE void plain(const MatVec &a) {
    const int tile = block_x(), m = tile < a.tiles[0] ? 0 : tile < a.tiles[1] ? 1 : 2;
    const Weight &w = a.w[m];
    const int row = (tile - (m > 0 ? a.tiles[m - 1] : 0)) * TILE + wave() * ROWS, column = block_y() * C;
    if (column >= live(a.run, a.extent, a.capacity)) return;
    // A lane to each row at the end; what it adds is fetched first.
    const int mine = row + lane();
    const bool writes = lane() < ROWS && mine < w.n_rows;
    float extra[C];
#pragma unroll
    for (int c = 0; c < C; c++) {
        extra[c] = writes && a.bias[m] ? a.bias[m][mine] : 0;
        if (writes && a.residual) extra[c] += a.residual[(long)(column + c) * a.stride[m] + mine];
    }
    Row rows[ROWS];
    rows_from<T, ROWS>(w, row, w.n_rows, rows);
    float acc[ROWS][C];
    products<T>(a, rows, column, acc);
#pragma unroll
    for (int c = 0; c < C; c++) {
        float v = pick(acc, lane(), c) + extra[c];
        if (writes) a.y[m][(long)(column + c) * a.stride[m] + mine] = v;
    }
}

template <class T, int C> DEVICE void then_norm(const MatVec &a) {
    LDS float tile[C][TILE];
    const int first = block_x() * TILE, row = wave() * ROWS, column = block_y() * C;
    const Weight &w = a.w[0];
    // In the end waves pack a column each, a lane to each row; what they add is fetched first.
    constexpr int TURNS = (C + WAVES - 1) / WAVES;
    const int mine = first + lane() % 32;
    const float norm = a.norm[mine];
    float extra[TURNS];
#pragma unroll
    for (int i = 0; i < TURNS; i++) {
        int c = wave() + i * WAVES;
        extra[i] = c < C && a.bias[0] ? a.bias[0][mine] : 0;
        if (c < C && a.residual) extra[i] += a.residual[(long)(column + c) * a.stride[0] + mine];
    }
    Row rows[ROWS];
    rows_from<T, ROWS>(w, first + row, w.n_rows, rows);
    float acc[ROWS][C];
    products<T>(a, rows, column, acc);
#pragma unroll
    for (int c = 0; c < C; c++) {
        float v = pick(acc, lane(), c);
        if (lane() < ROWS) tile[c][row + lane()] = v;
    }
    barrier();
#pragma unroll
    for (int i = 0; i < TURNS; i++) {
        const int c = wave() + i * WAVES;
        if (c >= C) break;
        float v = tile[c][lane() % 32] + extra[i];
        if (lane() < 32) a.y[0][(long)(column + c) * a.stride[0] + mine] = v;
        float squares = reduce<Sum, 32>(v * v);
        u8 *packed = a.packed + (column + c) * packed_row(w.n_rows);
        if (lane() == 0) *(float *)(packed + w.n_rows + w.n_rows / 4 + block_x() * 4) = squares;
        if (lane() < 32) pack_group(v * norm, packed, w.n_rows, block_x());
    }
}

template <class T, int C> DEVICE void swiglu(const MatVec &a) {
    LDS float tile[2][C][TILE];
    const int first = block_x() * TILE, row = wave() * ROWS, column = block_y() * C;
    const Weight &w = a.w[0];
    if constexpr (C == 1) {
        Row rows[2 * ROWS];
        rows_from<T, ROWS>(w, first + row, w.n_rows, rows);
        rows_from<T, ROWS>(a.w[1], first + row, w.n_rows, rows + ROWS);
        float acc[2 * ROWS][1];
        products<T>(a, rows, column, acc);
        float v = pick(acc, lane(), 0);
        if (lane() < 2 * ROWS) tile[lane() / ROWS][0][row + lane() % ROWS] = v;
    } else {
#pragma unroll
        for (int m = 0; m < 2; m++) {
            Row rows[ROWS];
            rows_from<T, ROWS>(a.w[m], first + row, w.n_rows, rows);
            float acc[ROWS][C];
            products<T>(a, rows, column, acc);
#pragma unroll
            for (int c = 0; c < C; c++) {
                float v = pick(acc, lane(), c);
                if (lane() < ROWS) tile[m][c][row + lane()] = v;
            }
        }
    }
    barrier();
    for (int c = wave(); c < C; c += WAVES) {
        const int i = lane() % 32;
        float gate = tile[0][c][i], up = tile[1][c][i];
        if (a.bias[0]) gate += a.bias[0][first + i];
        if (a.bias[1]) up += a.bias[1][first + i];
        float v = gate / (1 + exponential(-gate)) * up;
        if (lane() < 32) pack_group(v, a.packed + (column + c) * packed_row(w.n_rows), w.n_rows, block_x());
    }
}

KERNEL(THREADS) matvec_id(MatVec a) {
    typedef RF_TYPE T;
    const int pair = block_y(), n_rows = a.w[0].n_rows / a.n_expert;
    if (pair >= a.offsets[a.n_expert]) return;
    int e = 0;
    while (a.offsets[e + 1] <= pair) e++;
    const int row = block_x() * TILE + wave() * ROWS;
    const long start = (long)e * n_rows;
    Row rows[ROWS];
    rows_from<T, ROWS>(a.w[0], start + row, start + n_rows, rows);
    float acc[ROWS][1];
    products<T>(a, rows, pair, acc);
    float v = pick(acc, lane(), 0);
    if (lane() < ROWS && row + lane() < n_rows) a.y[0][(long)pair * a.stride[0] + row + lane()] = v;
}

#define MATVEC(C)                                                                                           \
    KERNEL(THREADS) matvec_##C(MatVec a) { plain<RF_TYPE, C>(a); }                                          \
    KERNEL(THREADS) matvec_norm_##C(MatVec a) { then_norm<RF_TYPE, C>(a); }                                 \
    KERNEL(THREADS) matvec_swiglu_##C(MatVec a) { swiglu<RF_TYPE, C>(a); }
MATVEC(1)
MATVEC(2)
MATVEC(4)
MATVEC(8)
