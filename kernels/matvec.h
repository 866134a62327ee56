// Products of a quantised matrix and a few columns, for matvec.hip and matvec_mixed.hip: how a block makes a tile of rows.
#pragma once
#include "pack.h"
#include "types.h"

constexpr int TILE = 32;
constexpr int THREADS = 256;
// A norm has as many tiles as a row has groups, which are few for the compute units there are.
constexpr int NORM_THREADS = 512;
// Waves that share a row of a product with one column, each taking a part of k. Groups of some types take more
// registers than others while they are on their way: two waves with half of the groups each have more of them there.
template <class T, int C, int WAVES> constexpr int PARTS = C > 1 ? 1 : (WAVE == 32 && T::BLOCK > 32 ? 2 : 1) * WAVES * WAVE / THREADS;
template <class T, int C, int WAVES> constexpr int ROWS = TILE * PARTS<T, C, WAVES> / WAVES;
// Rows of each of M matrices that a wave makes at a time: no more than fit the registers with the columns, or of one
// column with all that is on its way.
template <class T, int M> constexpr int MOST = M == 2 && T::BLOCK == 32 && sizeof(typename T::Raw) > 32 ? 2 : 8 / M;
template <> constexpr int MOST<iq3_s, 2> = 2;
template <class T, int C, int M, int WAVES> constexpr int PASS = C == 8 ? (T::BLOCK > 32 ? 1 : 2)
    : C == 1 && ROWS<T, C, WAVES> > MOST<T, M> ? MOST<T, M> : ROWS<T, C, WAVES>;

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
    int types[3]; // of the matrices, by GGUF's numbers: for matvec_mixed.hip
    Grids grids;
};

// The sums of a tile, and of the squares of lazily normed columns, by the part of k they are over.
template <class T, int C, int WAVES> struct Sums {
    float products[PARTS<T, C, WAVES>][C][TILE];
    float squares[PARTS<T, C, WAVES>][C];
};

// Row r of column c, all told.
template <class T, int C, int WAVES> DEVICE float total(const MatVec &a, const Sums<T, C, WAVES> &s, int c, int r) {
    float sum = 0, squares = 0;
#pragma unroll
    for (int p = 0; p < PARTS<T, C, WAVES>; p++) {
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
template <int M, class T, int C, int WAVES>
DEVICE void products(const MatVec &a, const Weight *w, long begin, long end, int column, Sums<T, C, WAVES> *out) {
    constexpr int R = PASS<T, C, M, WAVES>, P = PARTS<T, C, WAVES>, N = ROWS<T, C, WAVES>;
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
        // A lane has each sum.
#pragma unroll
        for (int m = 0; m < M; m++) {
            float sums[R * C];
#pragma unroll
            for (int r = 0; r < R; r++)
#pragma unroll
                for (int c = 0; c < C; c++) sums[r * C + c] = acc[m][r][c];
            const float sum = reduce_each<R * C>(sums);
            if (lane() < R * C) out[m].products[part][lane() % C][row + lane() / C] = sum;
        }
        const float sum = reduce_each<C>(squares);
        if (row == 0 && lane() < C) {
#pragma unroll
            for (int m = 0; m < M; m++) out[m].squares[part][lane()] = sum;
        }
    }
}

// Columns that a wave finishes, a lane to each row.
template <int C, int WAVES> constexpr int TURNS = (C + WAVES - 1) / WAVES;

// What a tile is part of: a matrix, and where it goes.
struct Piece {
    Weight w;
    const float *bias;
    float *y;
    int stride, type;
    int first; // row of the tile
};
DEVICE Piece piece_of(const MatVec &a, int tile) {
    const int m = tile < a.tiles[0] ? 0 : tile < a.tiles[1] ? 1 : 2;
    return {a.w[m], a.bias[m], a.y[m], a.stride[m], a.types[m], (tile - (m > 0 ? a.tiles[m - 1] : 0)) * TILE};
}

template <class T, int C> DEVICE void plain(const MatVec &a, const Piece &piece) {
    constexpr int WAVES = THREADS / WAVE;
    LDS Sums<T, C, WAVES> sums;
    const int column = block_y() * C, row = piece.first + lane() % 32;
    if (column >= live(a.run, a.extent, a.capacity)) return;
    const bool writes = lane() < 32 && row < piece.w.n_rows;
    // What is added in the end is fetched first.
    float extra[TURNS<C, WAVES>];
#pragma unroll
    for (int i = 0; i < TURNS<C, WAVES>; i++) {
        const int c = wave() + i * WAVES;
        extra[i] = c < C && writes && piece.bias ? piece.bias[row] : 0;
        if (c < C && writes && a.residual) extra[i] += a.residual[(long)(column + c) * piece.stride + row];
    }
    products<1>(a, &piece.w, piece.first, piece.w.n_rows, column, &sums);
    barrier();
#pragma unroll
    for (int i = 0; i < TURNS<C, WAVES>; i++) {
        const int c = wave() + i * WAVES;
        if (c < C && writes) piece.y[(long)(column + c) * piece.stride + row] = total(a, sums, c, lane() % 32) + extra[i];
    }
}

template <class T, int C> DEVICE void then_norm(const MatVec &a) {
    constexpr int WAVES = (C == 1 ? NORM_THREADS : THREADS) / WAVE;
    LDS Sums<T, C, WAVES> sums;
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
    products<1>(a, &w, first, w.n_rows, column, &sums);
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

template <class T, int C> DEVICE void swiglu(const MatVec &a) {
    constexpr int WAVES = THREADS / WAVE;
    LDS Sums<T, C, WAVES> sums[2];
    const int first = block_x() * TILE, row = first + lane() % 32, column = block_y() * C;
    const int n = a.w[0].n_rows;
    if constexpr (C == 1) {
        products<2>(a, a.w, first, n, column, sums);
    } else {
        products<1>(a, a.w, first, n, column, sums);
        products<1>(a, a.w + 1, first, n, column, sums + 1);
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

