// Attention of a few tokens over the KV cache, split over the cells (flash decoding): softmax of scale * q . k over
// the cells that the mask shows, times v.
//
// Grid: (n_head_kv * ceil(heads per kv head / G), splits, n_tokens). Block: THREADS. A block takes up to G query
// heads of one kv head and a range of cells, of which it lists those that are seen, so that what the sequences of a
// batch have between each other costs nothing; its waves take chunks of the list in turn; in a wave, L lanes share a
// cell with 8 elements each. Each keeps a running maximum, sum and accumulator, merged in LDS and written as a partial
// result; the block that arrives last at the counter of its heads merges the splits in their order, so that the
// result does not depend on which that is.
// How many cells there are is read from device memory; splits beyond them end at once.
// Heads of up to 8 * L elements. Keys and values are of the type RF_KV; L and G are chosen by the host.
// Bytes moved: each visible cell's keys and values once for each G heads.
// Error: f32 sums; exponentials to 2 units. Called by src/backend/hip/lower.rs.
// budget f16: b128
#include "kv.h"
#include "pack.h"

constexpr int THREADS = 256;
constexpr int WAVES = THREADS / WAVE;
// The least words of the mask, 64 cells each, that are worth a split.
constexpr int WORDS = 2;

struct Attention {
    const float *q; // element strides: q_token, q_head
    Cache k, v;
    const u64 *mask; // [n_tokens][mask_words]
    float *y;        // [n_tokens][n_head * dim_v], or null
    u8 *packed;      // the same packed, or null
    float *partial;  // [n_tokens][n_head][splits][dim_v + 2]
    int *counters;   // [n_tokens][blocks in x], zero before and after
    int q_token, q_head;
    int n_head, n_head_kv, splits, mask_words;
    float scale;
    const Run *run;
    // What a step of one token does here besides; null table: q is ready and the cache is written.
    const float *table; // angles, [n_rot]
    const float *new_k, *new_v; // [n_head_kv][dim]
    const float *q_norm, *k_norm; // [dim] or null
    const int *cell;
    float eps;
    int n_rot, neox;
};

DEVICE void load_8(const float *p, float (&v)[8]) {
    F4 a = load<F4>(p), b = load<F4>(p + 4);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

// Eight elements of a head at `i`, normed and turned. Everything is loaded before anything is used, and whether it is
// of use or not: a step waits for memory here, not for arithmetic. n_rot is a multiple of 16.
template <int L> DEVICE void ready(const Attention &a, const float *x, const float *norm, int i, float (&v)[8]) {
    const bool inside = i < a.k.dim, turns = i < a.n_rot;
    const int at = inside ? i : 0, half = a.n_rot / 2;
    const int other = !turns || !a.neox ? at : at < half ? at + half : at - half;
    const float *angles = a.table + (turns ? a.neox ? 2 * (at % half) : at : 0);
    float y[8], t[2][8], n[8], m[8];
    load_8(x + at, v);
    load_8(x + other, y);
    load_8(angles, t[0]);
    load_8(angles + (a.neox && turns ? 8 : 0), t[1]);
    if (norm) {
        load_8(norm + at, n);
        load_8(norm + other, m);
        float sum = 0;
#pragma unroll
        for (int j = 0; j < 8; j++) sum += inside ? v[j] * v[j] : 0;
        float factor = 1 / square_root(reduce<Sum, L>(sum) / a.k.dim + a.eps);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            v[j] *= n[j] * factor;
            y[j] *= m[j] * factor;
        }
    }
    float w[8];
#pragma unroll
    for (int j = 0; j < 8; j++) {
        float c = a.neox ? t[j / 4][j % 4 * 2] : t[0][j / 2 * 2], s = a.neox ? t[j / 4][j % 4 * 2 + 1] : t[0][j / 2 * 2 + 1];
        float p = a.neox ? y[j] : v[j ^ 1];
        bool second = a.neox ? at >= half : j & 1;
        w[j] = second ? v[j] * c + p * s : v[j] * c - p * s;
    }
#pragma unroll
    for (int j = 0; j < 8; j++) v[j] = !inside ? 0 : turns ? w[j] : v[j];
}

// Cells that a lane has on their way at a time. A step waits for memory, with few blocks that could do anything else.
template <int L, int G, bool FUSED> constexpr int UNROLL = 16 * L / WAVE < (G > 2 || !FUSED ? 4 : 8) ? 16 * L / WAVE : G > 2 || !FUSED ? 4 : 8;

// Lists the cells from `at` to `end` that `mask` shows, in order, until the block's threads have one each, and gives
// their number. `at` moves to the first cell that was not looked at. A barrier has to follow.
DEVICE int gather(const u64 *mask, int &at, int end, int *list) {
    constexpr int WINDOW = THREADS / 64;
    int count = 0;
    for (; at < end && count < THREADS; at += THREADS) {
        const int word = thread() / 64, bit = thread() % 64;
        const u64 mine = at + word * 64 < end ? mask[at / 64 + word] : 0;
        int before = count;
#pragma unroll
        for (int i = 0; i < WINDOW; i++) {
            const int n = count_bits(at + i * 64 < end ? mask[at / 64 + i] : 0);
            count += n;
            if (i < word) before += n;
        }
        if (mine >> bit & 1) list[before + count_bits(mine & ((1ull << bit) - 1))] = at + thread();
    }
    return count;
}

template <int TYPE, int L, int G, bool FUSED> DEVICE void attention(const Attention &a) {
    constexpr int SUB = WAVE / L; // cells of a wave beside each other
    constexpr int CHUNK = SUB * UNROLL<L, G, FUSED>;
    LDS int list[2 * THREADS];
    LDS float merged_acc[WAVES][G][L * 8];
    LDS float merged_max[WAVES][G], merged_sum[WAVES][G];
    LDS int last;

    const int per_kv = a.n_head / a.n_head_kv, chunks = (per_kv + G - 1) / G;
    const int kv = block_x() / chunks, first = block_x() % chunks * G;
    const int heads = per_kv - first < G ? per_kv - first : G;
    const int token = block_z(), split = block_y();
    // What memory is asked for is asked before it is known whether this block has something to do.
    const Run run = *a.run;
    const int sub = lane() / L, i = lane() % L * 8;
    const bool key = i < a.k.dim, value = i < a.v.dim;
    const float *q0 = a.q + (long)token * a.q_token + (long)(kv * per_kv + first) * a.q_head;
    float q[G][8], new_k[8], new_v[8];
    int new_cell = -1;
#pragma unroll
    for (int g = 0; g < G; g++) {
        const float *qg = q0 + (g < heads ? g : 0) * a.q_head;
        if constexpr (FUSED) ready<L>(a, qg, a.q_norm, i, q[g]);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            if constexpr (!FUSED) q[g][j] = key ? qg[i + j] : 0;
            q[g][j] *= a.scale;
        }
    }
    if constexpr (FUSED) {
        new_cell = a.cell[0];
        ready<L>(a, a.new_k + (long)kv * a.k.dim, a.k_norm, i, new_k);
        load_8(a.new_v + (long)kv * a.v.dim + (value ? i : 0), new_v);
    }

    if (token >= run.n_tokens) return;
    // Whole words of the mask to each split, and at least WORDS: merging splits costs as much as reading them.
    const int words = (run.n_kv + 63) / 64, even = (words + a.splits - 1) / a.splits;
    const int each = even > WORDS ? even : WORDS, active = (words + each - 1) / each;
    if (split >= active) return;
    const int begin = split * each * 64, end = begin + each * 64 < words * 64 ? begin + each * 64 : words * 64;

    u8 *keys = head_of<TYPE>(a.k, kv), *values = head_of<TYPE>(a.v, kv);
    if constexpr (FUSED) {
        // The split that has the token's cell writes it; who reads it has it at hand. Two chunks of one kv head write
        // the same.
        const bool writes = wave() == 0 && sub == 0 && new_cell >= begin && new_cell < end;
        store_8<TYPE>(keys, a.k, new_cell, i, new_k, key && writes);
        store_8<TYPE>(values, a.v, new_cell, i, new_v, value && writes);
    }

    const u64 *mask = a.mask + (long)token * a.mask_words;
    float most[G], sum[G], acc[G][8];
#pragma unroll
    for (int g = 0; g < G; g++) {
        most[g] = -1e30f;
        sum[g] = 0;
#pragma unroll
        for (int j = 0; j < 8; j++) acc[g][j] = 0;
    }
    for (int at = begin; at < end;) {
        if (at != begin) barrier();
        const int count = gather(mask, at, end, list);
        barrier();
        for (int base = wave() * CHUNK; base < count; base += WAVES * CHUNK) {
            float k[UNROLL<L, G, FUSED>][8], v[UNROLL<L, G, FUSED>][8], s[UNROLL<L, G, FUSED>][G];
            int cell[UNROLL<L, G, FUSED>];
#pragma unroll
            for (int u = 0; u < UNROLL<L, G, FUSED>; u++) {
                // In place of what is beyond the list's end, its first.
                const int n = base + u * SUB + sub;
                cell[u] = list[n < count ? n : 0];
#pragma unroll
                for (int j = 0; j < 8; j++) k[u][j] = v[u][j] = 0;
                if (key) fetch_8<TYPE>(keys, a.k, cell[u], i, k[u]);
            }
#pragma unroll
            for (int u = 0; u < UNROLL<L, G, FUSED>; u++)
                if (value) fetch_8<TYPE>(values, a.v, cell[u], i, v[u]);
#pragma unroll
            for (int u = 0; u < UNROLL<L, G, FUSED>; u++) {
                if (FUSED && cell[u] == new_cell) {
#pragma unroll
                    for (int j = 0; j < 8; j++) {
                        k[u][j] = new_k[j];
                        v[u][j] = value ? new_v[j] : 0;
                    }
                }
#pragma unroll
                for (int g = 0; g < G; g++) {
                    float dot = 0;
#pragma unroll
                    for (int j = 0; j < 8; j++) dot += q[g][j] * k[u][j];
                    dot = reduce<Sum, L>(dot);
                    s[u][g] = base + u * SUB + sub < count ? dot : -1e30f;
                }
            }
#pragma unroll
            for (int g = 0; g < G; g++) {
                float top = most[g];
#pragma unroll
                for (int u = 0; u < UNROLL<L, G, FUSED>; u++) top = larger(top, s[u][g]);
                float shrink = exponential(most[g] - top);
                most[g] = top;
                sum[g] *= shrink;
#pragma unroll
                for (int j = 0; j < 8; j++) acc[g][j] *= shrink;
#pragma unroll
                for (int u = 0; u < UNROLL<L, G, FUSED>; u++) {
                    float p = s[u][g] > -1e29f ? exponential(s[u][g] - top) : 0;
                    sum[g] += p;
#pragma unroll
                    for (int j = 0; j < 8; j++) acc[g][j] += p * v[u][j];
                }
            }
        }
    }

    // Merge the cells of a wave, then the waves.
#pragma unroll
    for (int g = 0; g < G; g++) {
        float top = most[g];
        if constexpr (L <= 8) top = larger(top, swap_lanes<8>(top));
        if constexpr (L <= 16) top = larger(top, swap_lanes<16>(top));
        if constexpr (L <= 32 && WAVE > 32) top = larger(top, swap_lanes<WAVE / 2>(top));
        float shrink = exponential(most[g] - top);
        float part[9];
        part[8] = sum[g] * shrink;
#pragma unroll
        for (int j = 0; j < 8; j++) part[j] = acc[g][j] * shrink;
#pragma unroll
        for (int j = 0; j < 9; j++) {
            if constexpr (L <= 8) part[j] += swap_lanes<8>(part[j]);
            if constexpr (L <= 16) part[j] += swap_lanes<16>(part[j]);
            if constexpr (L <= 32 && WAVE > 32) part[j] += swap_lanes<WAVE / 2>(part[j]);
        }
        if (sub == 0) {
#pragma unroll
            for (int j = 0; j < 8; j++) merged_acc[wave()][g][i + j] = part[j];
            if (i == 0) {
                merged_max[wave()][g] = top;
                merged_sum[wave()][g] = part[8];
            }
        }
    }
    barrier();
    const int dim = a.v.dim;
    const long head0 = (long)token * a.n_head + kv * per_kv + first;
    auto give = [&](float value, int e) {
        if (a.y) a.y[head0 * dim + e] = value;
        if (!a.packed) return;
        const int n = a.n_head * dim;
        pack_group(value, a.packed + token * packed_row(n), n, ((kv * per_kv + first) * dim + e) / 32);
    };
    for (int e = thread(); e < heads * dim; e += THREADS) {
        int g = e / dim, at = e % dim;
        float top = -1e30f, total = 0, value = 0;
        for (int w = 0; w < WAVES; w++) top = larger(top, merged_max[w][g]);
        for (int w = 0; w < WAVES; w++) {
            float shrink = exponential(merged_max[w][g] - top);
            total += merged_sum[w][g] * shrink;
            value += merged_acc[w][g][at] * shrink;
        }
        if (active == 1) {
            give(value / total, e);
        } else {
            float *p = a.partial + ((head0 + g) * a.splits + split) * (dim + 2);
            p[at] = value;
            if (at == 0) {
                p[dim] = top;
                p[dim + 1] = total;
            }
        }
    }
    if (active == 1) return;

    barrier_memory();
    int *counter = a.counters + (long)token * (a.n_head_kv * chunks) + block_x();
    if (thread() == 0) last = arrive(counter) == active - 1;
    barrier();
    if (!last) return;
    acquire();
    for (int e = thread(); e < heads * dim; e += THREADS) {
        int g = e / dim, at = e % dim;
        const float *p = a.partial + (head0 + g) * a.splits * (dim + 2);
        float top = -1e30f, total = 0, value = 0;
#pragma unroll 4
        for (int s = 0; s < active; s++) {
            float peak = p[s * (dim + 2) + dim], up = larger(top, peak);
            float shrink = exponential(top - up), grow = exponential(peak - up);
            top = up;
            total = total * shrink + p[s * (dim + 2) + dim + 1] * grow;
            value = value * shrink + p[s * (dim + 2) + at] * grow;
        }
        give(value / total, e);
    }
    if (thread() == 0) *counter = 0;
}

#define ATTENTION(L, G)                                                                                     \
    KERNEL(THREADS) attention_##L##_##G(Attention a) { attention<RF_KV, L, G, false>(a); }                  \
    KERNEL(THREADS) attention_step_##L##_##G(Attention a) { attention<RF_KV, L, G, true>(a); }
#define ALL_G(L) ATTENTION(L, 1) ATTENTION(L, 2) ATTENTION(L, 4)
ALL_G(8)
ALL_G(16)
ALL_G(32)
