// Attention of many tokens over the KV cache (flash attention): softmax of scale * q . k over the cells that the mask
// shows, times v, by matrix instructions in f16 with sums in f32.
//
// Grid: (rows of queries / ROWS, n_head_kv). Block: THREADS. The rows of one kv head are its query heads of each token,
// token by token. A block takes ROWS of them, and the cells in blocks of CELLS, a word of the mask each, without those
// that none of its rows sees: their keys and values come to LDS as f16, the values transposed. A wave has 16 rows, as
// columns of its tiles: products with the keys (cells by rows), a running maximum, sum and result (elements by rows),
// and products of the values with the exponentials, which pass through LDS.
// Heads of up to D elements. Keys and values are of the type RF_FLASH. Called by src/backend/hip/lower.
// Bytes moved: keys and values that any of the ROWS rows sees once for these, queries and results once.
// Error: queries, values and exponentials are rounded to f16, sums are f32. Values that f16 cannot hold become the
// largest that it can, so that no cell matters to a row that does not see it.
// budget: b128 wmma
#include "attention.h"
#include "pack.h"

constexpr int WAVES = 4, THREADS = WAVES * WAVE;
// A wave looks at STEP of the CELLS at a time: results of more do not fit the registers.
constexpr int ROWS = WAVES * 16, CELLS = 64, STEP = 32;
// Eight elements more than needed keep rows apart in the banks.
template <int D> constexpr int KEY = D + 8;
constexpr int VALUE = CELLS + 8, WEIGHT = STEP + 8;

DEVICE u32 two_halves(float a, float b) { return f32_to_f16(a) | (u32)f32_to_f16(b) << 16; }
DEVICE U4 eight_halves(const float (&v)[8]) {
    return U4{two_halves(v[0], v[1]), two_halves(v[2], v[3]), two_halves(v[4], v[5]), two_halves(v[6], v[7])};
}
DEVICE float finite(float v) { return v < -65504.0f ? -65504.0f : v < 65504.0f ? v : 65504.0f; }

template <int TYPE, int D> DEVICE void flash(const Attention &a) {
    constexpr int BLOCK = CELLS * KEY<D> + D * VALUE + ROWS * WEIGHT;
    struct alignas(16) Room { u16 e[BLOCK + (PARTS_POINT ? ROWS * KEY<D> : 0)]; };
    LDS Room room;
    LDS int seen[2][WAVES];
    static_assert(ROWS * (D + 4) * sizeof(float) <= sizeof(room), "results leave through the same room");
    u16 *queries = PARTS_POINT ? room.e + BLOCK : room.e;
    u16 *keys = room.e, *values = room.e + CELLS * KEY<D>, *weights = values + D * VALUE + wave() * 16 * WEIGHT;

    const int kv = block_y(), row0 = block_x() * ROWS;
    const Run run = *a.run;
    const int n_rows = run.n_tokens * a.per_kv;
    if (row0 >= n_rows) return;

    for (int e = thread(); e < ROWS * (D / 8); e += THREADS) {
        const int row = e / (D / 8), i = e % (D / 8) * 8, token = (row0 + row) / a.per_kv;
        const int head = kv * a.per_kv + (row0 + row) - token * a.per_kv;
        float q[8];
#pragma unroll
        for (int j = 0; j < 8; j++) q[j] = 0;
        if (row0 + row < n_rows && i < a.k.dim) load_8(a.q + (long)token * a.q_token + (long)head * a.q_head + i, q);
        // In units of 2^x.
#pragma unroll
        for (int j = 0; j < 8; j++) q[j] *= a.scale * LOG2_E;
        *(U4 *)(queries + row * KEY<D> + i) = eight_halves(q);
    }
    barrier();
    HalfPart q[D / 16];
#pragma unroll
    for (int i = 0; i < D / 16; i++) q[i] = load_half_part(queries + wave() * 16 * KEY<D> + i * 16, KEY<D>);

    // What this lane has of each column: its token's mask, the largest product, the sum of the exponentials.
    const u64 *mask[TILE_SLOTS];
    float most[TILE_SLOTS], sum[TILE_SLOTS];
#pragma unroll
    for (int s = 0; s < TILE_SLOTS; s++) {
        const int row = row0 + wave() * 16 + slot_column(s);
        mask[s] = row < n_rows ? a.mask + (long)(row / a.per_kv) * a.mask_words : nullptr;
        most[s] = -1e30f;
        sum[s] = 0;
    }
    FloatTile out[D / 16];
#pragma unroll
    for (int d = 0; d < D / 16; d++)
#pragma unroll
        for (int i = 0; i < TILE_LANE; i++) out[d].c[i] = 0;
    const u8 *k_head = head_of<TYPE>(a.k, kv), *v_head = head_of<TYPE>(a.v, kv);

    const int words = (run.n_kv + 63) / 64;
    for (int word = 0; word < words; word++) {
        u64 sees[TILE_SLOTS];
        int any = 0;
#pragma unroll
        for (int s = 0; s < TILE_SLOTS; s++) {
            sees[s] = mask[s] ? global(mask[s])[word] : 0;
            any |= sees[s] != 0;
        }
        any = reduce<Sum, WAVE>(any);
        if (lane() == 0) seen[word & 1][wave()] = any;
        // Every wave is done with what is in LDS.
        barrier();
        any = 0;
#pragma unroll
        for (int w = 0; w < WAVES; w++) any |= seen[word & 1][w];
        if (!any) continue;

        for (int e = thread(); e < CELLS * (D / 8); e += THREADS) {
            const int cell = e / (D / 8), i = e % (D / 8) * 8;
            float k[8];
#pragma unroll
            for (int j = 0; j < 8; j++) k[j] = 0;
            if (i < a.k.dim) fetch_8<TYPE>(k_head, a.k, word * CELLS + cell, i, k);
            *(U4 *)(keys + cell * KEY<D> + i) = eight_halves(k);
        }
        // Two cells a thread, so that neighbours in a row are written together.
        for (int e = thread(); e < CELLS / 2 * (D / 8); e += THREADS) {
            const int cell = e % (CELLS / 2) * 2, i = e / (CELLS / 2) * 8;
            float v[8], w[8];
#pragma unroll
            for (int j = 0; j < 8; j++) v[j] = w[j] = 0;
            if (i < a.v.dim) {
                fetch_8<TYPE>(v_head, a.v, word * CELLS + cell, i, v);
                fetch_8<TYPE>(v_head, a.v, word * CELLS + cell + 1, i, w);
            }
#pragma unroll
            for (int j = 0; j < 8; j++) *(u32 *)(values + (i + j) * VALUE + cell) = two_halves(finite(v[j]), finite(w[j]));
        }
        barrier();

#pragma unroll 1
        for (int step = 0; step < CELLS; step += STEP) {
            FloatTile score[STEP / 16];
            float top[TILE_SLOTS], shrink[TILE_SLOTS];
#pragma unroll
            for (int s = 0; s < TILE_SLOTS; s++) top[s] = most[s];
#pragma unroll
            for (int t = 0; t < STEP / 16; t++) {
                const u16 *key = keys + (step + t * 16) * KEY<D>;
#pragma unroll
                for (int i = 0; i < TILE_LANE; i++) score[t].c[i] = 0;
#pragma unroll
                for (int i = 0; i < D / 16; i++) multiply(score[t], load_half_part(key + i * 16, KEY<D>), q[i]);
#pragma unroll
                for (int i = 0; i < TILE_LANE; i++) {
                    const int s = tile_slot(i);
                    if (!(sees[s] >> (step + t * 16 + tile_row(i)) & 1)) score[t].c[i] = -1e30f;
                    top[s] = larger(top[s], score[t].c[i]);
                }
            }
#pragma unroll
            for (int s = 0; s < TILE_SLOTS; s++) {
                top[s] = reduce_column<Max>(top[s]);
                shrink[s] = exponential_2(most[s] - top[s]);
                most[s] = top[s];
                sum[s] *= shrink[s];
            }
            // The step before is done with the weights.
            wave_barrier();
#pragma unroll
            for (int t = 0; t < STEP / 16; t++)
#pragma unroll
                for (int i = 0; i < TILE_LANE; i++) {
                    const int s = tile_slot(i);
                    float p = score[t].c[i] > -1e29f ? exponential_2(score[t].c[i] - top[s]) : 0;
                    sum[s] += p;
                    weights[tile_column(i) * WEIGHT + t * 16 + tile_row(i)] = f32_to_f16(p);
                }
#pragma unroll
            for (int d = 0; d < D / 16; d++)
#pragma unroll
                for (int i = 0; i < TILE_LANE; i++) out[d].c[i] *= shrink[tile_slot(i)];
            wave_barrier();
#pragma unroll
            for (int c = 0; c < STEP / 16; c++) {
                HalfPart p = load_half_part(weights + c * 16, WEIGHT);
#pragma unroll
                for (int d = 0; d < D / 16; d++)
                    multiply(out[d], load_half_part(values + d * 16 * VALUE + step + c * 16, VALUE), p);
            }
        }
    }

    barrier();
    float *result = (float *)room.e + wave() * 16 * (D + 4);
#pragma unroll
    for (int s = 0; s < TILE_SLOTS; s++) sum[s] = inverse(reduce_column<Sum>(sum[s]));
#pragma unroll
    for (int d = 0; d < D / 16; d++)
#pragma unroll
        for (int i = 0; i < TILE_LANE; i++)
            result[tile_column(i) * (D + 4) + d * 16 + tile_row(i)] = out[d].c[i] * sum[tile_slot(i)];
    wave_barrier();
    const int dim = a.v.dim;
    for (int r = 0; r < 16; r++) {
        const int row = row0 + wave() * 16 + r, token = row / a.per_kv;
        if (row >= n_rows) break;
        const long head = (long)token * a.n_head + kv * a.per_kv + (row - token * a.per_kv);
        for (int e = lane(); e < dim; e += WAVE) {
            const float v = result[r * (D + 4) + e];
            if (a.y) {
                a.y[head * dim + e] = v;
            } else {
                const int n = a.n_head * dim;
                pack_group(v, a.packed + token * packed_row(n), n, (int)(head * dim + e - (long)token * n) / 32);
            }
        }
    }
}

KERNEL(THREADS) flash_64(Attention a) { flash<RF_FLASH, 64>(a); }
KERNEL(THREADS) flash_128(Attention a) { flash<RF_FLASH, 128>(a); }
