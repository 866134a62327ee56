// Products of a quantised matrix and many columns: y[c][r] = sum over k of w[r][k] * x[c][k] + bias + residual, compiled
// once for each weight type (RF_TYPE).
//
// x is packed (args.h). A block makes ROWS by COLUMNS sums, DEPTH elements of k at a time: its threads unpack a group of
// weights each into bytes in LDS, and copy the columns' bytes there; its waves multiply tiles of 16 by 16 by integer
// matrix instructions, a group at a time, and add the integers up in f32 by the scales of row and column. What the next
// step needs is fetched before, and written to the other half of LDS after.
//
// Grid: (rows / ROWS, columns / COLUMNS), rounded up. Block: THREADS. Blocks beyond the live columns end at once.
// Bytes moved: the matrix once for each COLUMNS columns, x once for each ROWS rows.
// Error: as matvec.hip. Called by src/backend/hip/lower.rs.
// budget: b128 wmma
#include "types.h"

constexpr int THREADS = 256;
constexpr int ROWS = 128, COLUMNS = 64, DEPTH = 64;
constexpr int WAVES = THREADS / WAVE;
// Tiles of a wave: waves lie in 4 rows and WAVES / 4 columns.
constexpr int TILE_ROWS = ROWS / 16 / 4, TILE_COLUMNS = COLUMNS / 16 / (WAVES / 4);
constexpr int GROUPS = DEPTH / 32;
// 16 bytes more than needed keep rows apart in the banks.
constexpr int STRIDE = DEPTH + 16;
static_assert(ROWS * GROUPS == THREADS && COLUMNS * DEPTH == THREADS * 16, "a thread loads one group and 16 bytes");

struct MatMul {
    Weight w;
    const u8 *x;
    const float *bias, *residual; // residual as y
    float *y;
    int stride; // of y, in elements
    int extent, capacity, unused;
    const Run *run;
    Grids grids;
};

template <class T> struct Stage {
    u8 a[ROWS * STRIDE];
    u8 b[COLUMNS * STRIDE];
    float d[GROUPS][1 + T::HALVES][ROWS];
    float m[GROUPS][1 + T::HALVES][T::MIN ? ROWS : 1];
    float scale[GROUPS][COLUMNS];
    // The columns' scale times the sums of their bytes, or of each half.
    float sum[GROUPS][1 + T::HALVES][T::MIN ? COLUMNS : 1];
};

template <class T> DEVICE void matmul(const MatMul &a) {
    LDS Stage<T> stages[2];
    const int row0 = block_x() * ROWS, column0 = block_y() * COLUMNS;
    const int n = live(a.run, a.extent, a.capacity);
    if (column0 >= n) return;
    const int groups = a.w.k / 32;

    // What this thread loads: a group of a row, 16 bytes of a column, and the scale of one.
    const int group = thread() % GROUPS, row = thread() / GROUPS;
    const Row from = row_of<T>(a.w, row0 + row < a.w.n_rows ? row0 + row : a.w.n_rows - 1);
    const int piece = thread() % (DEPTH / 16), column = thread() / (DEPTH / 16);
    const long stride = packed_row(a.w.k);
    const u8 *x = a.x + (column0 + column < n ? column0 + column : n - 1) * stride;

    typename T::Raw raw;
    U4 bytes;
    Scale scale;
    auto fetch = [&](int g) {
        if (g + group < groups) T::fetch(raw, from, g + group);
        if (g + piece / 2 < groups) {
            bytes = load<U4>(x + g * 32 + piece * 16);
            scale = load<Scale>(x + a.w.k + (g + piece / 2) * 8);
        }
    };
    auto put = [&](Stage<T> &s, int g) {
        Group o;
        bool inside = g + group < groups;
        T::unpack(o, raw, g + group, a.grids);
        U4 first = {(u32)o.q[0], (u32)o.q[1], (u32)o.q[2], (u32)o.q[3]};
        U4 last = {(u32)o.q[4], (u32)o.q[5], (u32)o.q[6], (u32)o.q[7]};
        *(U4 *)(s.a + row * STRIDE + group * 32) = first;
        *(U4 *)(s.a + row * STRIDE + group * 32 + 16) = last;
#pragma unroll
        for (int h = 0; h <= T::HALVES; h++) {
            s.d[group][h][row] = inside ? o.d[h] : 0;
            if constexpr (T::MIN) s.m[group][h][row] = inside ? o.m[h] : 0;
        }
        *(U4 *)(s.b + column * STRIDE + piece * 16) = bytes;
        inside = g + piece / 2 < groups;
        if (piece % 2 == 0) {
            s.scale[piece / 2][column] = inside ? scale.d : 0;
            if constexpr (T::MIN) {
                if constexpr (T::HALVES) {
                    s.sum[piece / 2][0][column] = inside ? scale.d * scale.s0 : 0;
                    s.sum[piece / 2][T::HALVES][column] = inside ? scale.d * scale.s1 : 0;
                } else {
                    s.sum[piece / 2][0][column] = inside ? scale.d * (scale.s0 + scale.s1) : 0;
                }
            }
        }
    };

    float acc[TILE_ROWS][TILE_COLUMNS][TILE_LANE];
#pragma unroll
    for (int r = 0; r < TILE_ROWS; r++)
#pragma unroll
        for (int c = 0; c < TILE_COLUMNS; c++)
#pragma unroll
            for (int i = 0; i < TILE_LANE; i++) acc[r][c][i] = 0;
    const int tile_row0 = wave() % 4 * TILE_ROWS * 16, tile_column0 = wave() / 4 * TILE_COLUMNS * 16;

    fetch(0);
    put(stages[0], 0);
    barrier();
    for (int g = 0, now = 0; g < groups; g += GROUPS, now ^= 1) {
        const Stage<T> &s = stages[now];
        const bool more = g + GROUPS < groups;
        if (more) fetch(g + GROUPS);
        // Not unrolled: all at once does not fit the registers.
#pragma unroll 1
        for (int j = 0; j < GROUPS; j++) {
            Part b[TILE_COLUMNS][2];
#pragma unroll
            for (int c = 0; c < TILE_COLUMNS; c++)
#pragma unroll
                for (int h = 0; h < 2; h++) b[c][h] = load_part(s.b + (tile_column0 + c * 16) * STRIDE + j * 32 + h * 16, STRIDE);
#pragma unroll
            for (int r = 0; r < TILE_ROWS; r++) {
                const int row = tile_row0 + r * 16;
                Part p[2];
#pragma unroll
                for (int h = 0; h < 2; h++) p[h] = load_part(s.a + row * STRIDE + j * 32 + h * 16, STRIDE);
#pragma unroll
                for (int c = 0; c < TILE_COLUMNS; c++) {
                    const int column = tile_column0 + c * 16;
                    Tile t[1 + T::HALVES];
#pragma unroll
                    for (int h = 0; h <= T::HALVES; h++)
#pragma unroll
                        for (int i = 0; i < TILE_LANE; i++) t[h].c[i] = 0;
                    if constexpr (T::HALVES) {
                        multiply(t[0], p[0], b[c][0]);
                        multiply(t[T::HALVES], p[1], b[c][1]);
                    } else {
                        multiply(t[0], p, b[c]);
                    }
#pragma unroll
                    for (int i = 0; i < TILE_LANE; i++) {
                        const int at = row + tile_row(i), to = column + tile_column(i);
                        float v = s.d[j][0][at] * t[0].c[i];
                        if constexpr (T::HALVES) v += s.d[j][T::HALVES][at] * t[T::HALVES].c[i];
                        float sum = acc[r][c][i] + s.scale[j][to] * v;
                        if constexpr (T::MIN) {
                            sum -= s.m[j][0][at] * s.sum[j][0][to];
                            if constexpr (T::HALVES) sum -= s.m[j][T::HALVES][at] * s.sum[j][T::HALVES][to];
                        }
                        acc[r][c][i] = sum;
                    }
                }
            }
        }
        if (more) put(stages[now ^ 1], g + GROUPS);
        barrier();
    }

#pragma unroll
    for (int r = 0; r < TILE_ROWS; r++)
#pragma unroll
        for (int c = 0; c < TILE_COLUMNS; c++)
#pragma unroll
            for (int i = 0; i < TILE_LANE; i++) {
                const int row = row0 + tile_row0 + r * 16 + tile_row(i);
                const int column = column0 + tile_column0 + c * 16 + tile_column(i);
                if (row >= a.w.n_rows || column >= n) continue;
                const long at = (long)column * a.stride + row;
                float v = acc[r][c][i];
                if (a.bias) v += a.bias[row];
                if (a.residual) v += a.residual[at];
                a.y[at] = v;
            }
}

KERNEL(THREADS) matmul(MatMul a) { matmul<RF_TYPE>(a); }
