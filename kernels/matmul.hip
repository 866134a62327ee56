// Products of a quantised matrix and many columns: y[c][r] = sum over k of w[r][k] * x[c][k] + bias + residual, compiled
// once for each weight type (RF_TYPE).
//
// x is packed (args.h). A block makes ROWS by C sums, DEPTH elements of k at a time: its threads unpack a group of
// weights each into bytes in LDS, and copy the columns' bytes there; its waves multiply tiles of 16 by 16 by integer
// matrix instructions, a group at a time, and add the integers up in f32 by the scales of row and column. What the next
// step needs is fetched before, and written to the other half of LDS after.
// Where there are fewer tiles than the device has room for, each is split over k: the block of a tile that comes last
// adds the parts up, in their order, so that the result does not depend on which that is.
//
// Grid: (tiles of ROWS rows of all matrices, columns / C, splits), rounded up. Block: THREADS. Blocks beyond the live
// columns end at once.
//   matmul_32, matmul_64   C is 32 or 64
// Bytes moved: the matrices once for each C columns, x once for each ROWS rows.
// Error: as matvec.hip. Called by src/backend/hip/lower.
// budget: b128 wmma
#include "types.h"

constexpr int THREADS = 256;
constexpr int ROWS = 128, DEPTH = 64;
constexpr int WAVES = THREADS / WAVE;
constexpr int GROUPS = DEPTH / 32;
// 16 bytes more than needed keep rows apart in the banks.
constexpr int STRIDE = DEPTH + 16;
static_assert(ROWS * GROUPS == THREADS, "a thread loads one group");

struct MatMul {
    Weight w[3];
    const float *bias[3];
    float *y[3];
    int tiles[3];  // end of each matrix's tiles in grid x
    int stride[3]; // of y, in elements
    const u8 *x;
    const float *residual; // as y[0]
    float *partial;        // [grid y][grid x][splits][ROWS * C]
    int *counters;         // [grid y][grid x], zero before and after
    int splits;
    int extent, capacity, unused;
    const Run *run;
    Grids grids;
};

template <class T, int C> struct alignas(16) Stage {
    u8 a[ROWS * STRIDE];
    u8 b[C * STRIDE];
    float d[GROUPS][1 + T::HALVES][ROWS];
    float m[GROUPS][1 + T::HALVES][T::MIN ? ROWS : 1];
    float scale[GROUPS][C];
    // The columns' scale times the sums of their bytes, or of each half.
    float sum[GROUPS][1 + T::HALVES][T::MIN ? C : 1];
};

template <class T, int C> DEVICE void matmul(const MatMul &a) {
    static_assert(C * DEPTH <= THREADS * 16, "a thread loads 16 bytes of the columns at most");
    // Waves lie in rows and columns; tiles of 16 by 16 of each.
    constexpr int WAVE_COLUMNS = C < 64 ? 1 : WAVES / 4, WAVE_ROWS = WAVES / WAVE_COLUMNS;
    constexpr int TILE_ROWS = ROWS / 16 / WAVE_ROWS, TILE_COLUMNS = C / 16 / WAVE_COLUMNS;
    LDS Stage<T, C> stages[2];
    LDS int last;
    const int tile = block_x(), m = tile < a.tiles[0] ? 0 : tile < a.tiles[1] ? 1 : 2;
    const Weight &w = a.w[m];
    const int row0 = (tile - (m > 0 ? a.tiles[m - 1] : 0)) * ROWS, column0 = block_y() * C;
    const int n = live(a.run, a.extent, a.capacity);
    if (column0 >= n) return;
    // Whole steps to each split; the last may have fewer.
    const int steps = (w.k / 32 + GROUPS - 1) / GROUPS, each = (steps + a.splits - 1) / a.splits * GROUPS;
    const int start = block_z() * each, groups = start + each < w.k / 32 ? start + each : w.k / 32;

    // What this thread loads: a group of a row, and if it has a column 16 bytes of it and the scale.
    const int group = thread() % GROUPS, row = thread() / GROUPS;
    const Row from = row_of<T>(w, row0 + row < w.n_rows ? row0 + row : w.n_rows - 1);
    const int piece = thread() % (DEPTH / 16), column = thread() / (DEPTH / 16);
    const long stride = packed_row(w.k);
    const u8 *x = a.x + (column0 + column < n ? column0 + column : n - 1) * stride;

    typename T::Raw raw;
    U4 bytes;
    Scale scale;
    auto fetch = [&](int g) {
        // The last group in place of those beyond.
        T::fetch(raw, from, g + group < groups ? g + group : groups - 1);
        if (column < C) {
            const int at = g + piece / 2 < groups ? g + piece / 2 : groups - 1;
            bytes = load<U4>(x + at * 32 + piece % 2 * 16);
            scale = load<Scale>(x + w.k + at * 8);
        }
    };
    auto put = [&](Stage<T, C> &s, int g) {
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
        if (column >= C) return;
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
    const int tile_row0 = wave() % WAVE_ROWS * TILE_ROWS * 16, tile_column0 = wave() / WAVE_ROWS * TILE_COLUMNS * 16;

    fetch(start);
    put(stages[0], start);
    barrier();
    for (int g = start, now = 0; g < groups; g += GROUPS, now ^= 1) {
        const Stage<T, C> &s = stages[now];
        const bool more = g + GROUPS < groups;
        if (more) fetch(g + GROUPS);
        // Of many columns all groups at once do not fit the registers.
#pragma unroll(C < 64 ? GROUPS : 1)
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

    if (a.splits > 1) {
        const long at = (long)block_y() * a.tiles[2] + tile;
        float *part = a.partial + at * a.splits * (ROWS * C) + thread();
#pragma unroll
        for (int r = 0; r < TILE_ROWS; r++)
#pragma unroll
            for (int c = 0; c < TILE_COLUMNS; c++)
#pragma unroll
                for (int i = 0; i < TILE_LANE; i++) {
                    const int e = ((r * TILE_COLUMNS + c) * TILE_LANE + i) * THREADS;
                    part[(long)block_z() * (ROWS * C) + e] = acc[r][c][i];
                    acc[r][c][i] = 0;
                }
        barrier_memory();
        if (thread() == 0) last = arrive(a.counters + at) == a.splits - 1;
        barrier();
        if (!last) return;
        acquire();
        for (int s = 0; s < a.splits; s++)
#pragma unroll
            for (int r = 0; r < TILE_ROWS; r++)
#pragma unroll
                for (int c = 0; c < TILE_COLUMNS; c++)
#pragma unroll
                    for (int i = 0; i < TILE_LANE; i++) {
                        const int e = ((r * TILE_COLUMNS + c) * TILE_LANE + i) * THREADS;
                        acc[r][c][i] += part[(long)s * (ROWS * C) + e];
                    }
        if (thread() == 0) a.counters[at] = 0;
    }

    const float *bias = a.bias[m];
    float *y = a.y[m];
#pragma unroll
    for (int r = 0; r < TILE_ROWS; r++)
#pragma unroll
        for (int c = 0; c < TILE_COLUMNS; c++)
#pragma unroll
            for (int i = 0; i < TILE_LANE; i++) {
                const int row = row0 + tile_row0 + r * 16 + tile_row(i);
                const int column = column0 + tile_column0 + c * 16 + tile_column(i);
                if (row >= w.n_rows || column >= n) continue;
                const long at = (long)column * a.stride[m] + row;
                float v = acc[r][c][i];
                if (bias) v += bias[row];
                if (a.residual) v += a.residual[at];
                y[at] = v;
            }
}

KERNEL_AT(THREADS, 3) matmul_32(MatMul a) { matmul<RF_TYPE, 32>(a); }
KERNEL(THREADS) matmul_64(MatMul a) { matmul<RF_TYPE, 64>(a); }
