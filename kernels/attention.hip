// Attention of a few tokens over the KV cache, split over the cells (flash decoding): softmax of scale * q . k over
// the cells that the mask shows, times v.
//
// Grid: (n_head_kv * ceil(heads per kv head / G), splits, n_tokens). Block: THREADS. A block takes up to G query
// heads of one kv head and a range of cells, of which it lists those that are seen, so that of what the sequences of a
// batch have between each other only the mask is read; its waves take chunks of the list in turn; in a wave, L lanes
// share a cell with 8 elements each. Each keeps a running maximum, sum and accumulator, merged in LDS and written as a
// partial result; the block that arrives last at the counter of its heads merges the splits in their order, so that
// the result does not depend on which that is.
// How many cells there are is read from device memory; splits beyond them bring the next weights closer, if there are
// any, and end. Heads of up to 8 * L elements. Keys and values are of the type RF_KV, or mixed; L and G are chosen by
// the host.
// Bytes moved: each visible cell's keys and values once for each G heads.
// Error: f32 sums; exponentials to 2 units of their argument and of themselves. Called by src/backend/hip/lower.
// budget f16: b128
#include "attention.h"
#include "pack.h"

// Threads of a block: a step, which is one token, has few blocks, each of which does more at a time.
template <int G, bool FUSED> constexpr int THREADS = FUSED && G == 1 ? 512 : 256;
// Cells that the block looks at together, and words of the mask, 64 cells each, which that is; fewer are not worth a
// split.
constexpr int LOOK = 128, WORDS = LOOK / 64;

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
        float factor = inverse_root(reduce<Sum, L>(sum) * inverse((float)a.k.dim) + a.eps);
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

// Cells that a lane has on their way at a time: with 16 waves, as many as a window has.
constexpr int UNROLL = 2;

// The words of a mask from cell `at` to `end`, and the word that has this thread's cell.
struct Window {
    u64 words[WORDS], mine;
};
DEVICE void look(Window &w, const u64 *mask, int at, int end) {
#pragma unroll
    for (int i = 0; i < WORDS; i++) w.words[i] = at + i * 64 < end ? mask[at / 64 + i] : 0;
    const int i = thread() / 64;
    w.mine = i < WORDS && at + i * 64 < end ? mask[at / 64 + i] : 0;
}

// Appends the cells from `at` to `end` that a window shows to a list, in order, and gives its length then.
DEVICE int append(const Window &w, int at, int end, int *list, int count) {
    const int word = thread() / 64, bit = thread() % 64;
    int before = count;
#pragma unroll
    for (int i = 0; i < WORDS; i++) {
        const int n = at + i * 64 < end ? count_bits(w.words[i]) : 0;
        count += n;
        if (i < word) before += n;
    }
    if (at + word * 64 < end && w.mine >> bit & 1) list[before + count_bits(w.mine & ((1ull << bit) - 1))] = at + thread();
    return count;
}

// How the cells are split.
struct Cut {
    int each; // words of the mask
    int active; // splits that have some
};
DEVICE Cut cut(int n_kv, int splits) {
    // Whole words of the mask to each split, and at least WORDS: merging splits costs as much as reading them.
    const int words = (n_kv + 63) / 64, active = (words + WORDS - 1) / WORDS;
    if (active <= splits) return {WORDS, active};
    const int each = (words + splits - 1) / splits;
    return {each, (words + each - 1) / each};
}

template <int TYPE, int L, int G, bool FUSED> DEVICE void attention(const Attention &a) {
    constexpr int THREADS = ::THREADS<G, FUSED>, WAVES = THREADS / WAVE;
    constexpr int SUB = WAVE / L; // cells of a wave beside each other
    constexpr int CHUNK = SUB * UNROLL;
    LDS int list[2 * LOOK];
    LDS float merged_acc[WAVES][G][L * 8];
    LDS float merged_max[WAVES][G], merged_sum[WAVES][G];
    LDS int last;

    const int per_kv = a.per_kv, chunks = G == 1 ? per_kv : (per_kv + G - 1) / G;
    const int kv = block_x() / chunks, first = (block_x() - kv * chunks) * G;
    const int heads = per_kv - first < G ? per_kv - first : G;
    const int token = block_z(), split = block_y();
    // What memory is asked for is asked before it is known whether this block has something to do.
    const Run run = *a.run;
    const u64 *mask = a.mask + (long)token * a.mask_words;
    Window window;
    look(window, mask, split * WORDS * 64, a.mask_words * 64);
    const int sub = lane() / L, i = lane() % L * 8;
    const bool key = i < a.k.dim, value = i < a.v.dim;
    // Lanes beyond a head take part with its first elements, which nobody asks for then: a condition on each load would
    // have it waited for before the next.
    const int key_at = key ? i : 0, value_at = value ? i : 0;
    const float *q0 = a.q + (long)token * a.q_token + (long)(kv * per_kv + first) * a.q_head;
    float q[G][8], new_k[8], new_v[8];
    int new_cell = -1;
    // In units of 2^x.
    const float scale = a.scale * LOG2_E;
    if constexpr (FUSED) {
        // Splits without cells have time for what comes after; the first has some, and does not wait to know.
        if (const int active = split > 0 ? cut(run.n_kv, a.splits).active : 1; split >= active) {
            const long start = ((long)(split - active) * a.blocks + block_x()) * THREADS + thread();
            const long step = (long)(a.splits - active) * a.blocks * THREADS;
            for (int n = 0; n < N_AHEAD; n++)
                for (long line = start; line < a.ahead[n].lines; line += step) fetch_ahead(a.ahead[n].p + line * LINE);
            return;
        }
        // A wave makes each head ready: the queries, then the key.
        struct alignas(16) Heads { float e[G + 1][L * 8]; };
        LDS Heads ready_heads;
#pragma unroll 1
        for (int n = wave(); n <= G; n += WAVES) {
            float v[8];
            const float *x = n < G ? q0 + (n < heads ? n : 0) * a.q_head : a.new_k + (long)kv * a.k.dim;
            ready<L>(a, x, n < G ? a.q_norm : a.k_norm, i, v);
            const float factor = n < G ? scale : 1;
            if (sub == 0) {
                *(F4 *)(ready_heads.e[n] + i) = F4{v[0] * factor, v[1] * factor, v[2] * factor, v[3] * factor};
                *(F4 *)(ready_heads.e[n] + i + 4) = F4{v[4] * factor, v[5] * factor, v[6] * factor, v[7] * factor};
            }
        }
        new_cell = a.cell[0];
        load_8(a.new_v + (long)kv * a.v.dim + value_at, new_v);
        barrier();
#pragma unroll
        for (int g = 0; g < G; g++) load_8(ready_heads.e[g] + i, q[g]);
        load_8(ready_heads.e[G] + i, new_k);
    } else {
#pragma unroll
        for (int g = 0; g < G; g++) {
            load_8(q0 + (g < heads ? g : 0) * a.q_head + key_at, q[g]);
#pragma unroll
            for (int j = 0; j < 8; j++) q[g][j] = key ? q[g][j] * scale : 0;
        }
    }

    if (token >= run.n_tokens) return;
    const auto [each, active] = cut(run.n_kv, a.splits);
    if (split >= active) return;
    const int cells = (run.n_kv + 63) / 64 * 64;
    const int begin = split * each * 64, end = begin + each * 64 < cells ? begin + each * 64 : cells;
    if (each != WORDS) look(window, mask, begin, end);

    u8 *keys = head_of<TYPE>(a.k, kv), *values = head_of<TYPE>(a.v, kv);
    if constexpr (FUSED) {
        // The split that has the token's cell writes it; nobody reads it, since all have it at hand.
        const bool writes = wave() == 0 && sub == 0 && first == 0 && new_cell >= begin && new_cell < end;
        store_8<TYPE>(keys, a.k, new_cell, i, new_k, key && writes);
        store_8<TYPE>(values, a.v, new_cell, i, new_v, value && writes);
    }

    const int beside = new_cell == 0; // a cell that is not the new one
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
        int count = 0;
        do {
            count = append(window, at, end, list, count);
            at += LOOK;
            if (at < end) look(window, mask, at, end);
        } while (at < end && count < LOOK);
        barrier();
#pragma unroll 1
        for (int base = wave() * CHUNK; base < count; base += WAVES * CHUNK) {
            float k[UNROLL][8], v[UNROLL][8], s[UNROLL][G];
            int cell[UNROLL];
#pragma unroll
            for (int u = 0; u < UNROLL; u++) {
                // In place of what is beyond the list's end, its first.
                const int n = base + u * SUB + sub;
                cell[u] = list[n < count ? n : 0];
                fetch_8<TYPE>(keys, a.k, FUSED && cell[u] == new_cell ? beside : cell[u], key_at, k[u]);
            }
#pragma unroll
            for (int u = 0; u < UNROLL; u++)
                fetch_8<TYPE>(values, a.v, FUSED && cell[u] == new_cell ? beside : cell[u], value_at, v[u]);
#pragma unroll
            for (int u = 0; u < UNROLL; u++) {
                if (FUSED && cell[u] == new_cell) {
#pragma unroll
                    for (int j = 0; j < 8; j++) {
                        k[u][j] = new_k[j];
                        v[u][j] = new_v[j];
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
                for (int u = 0; u < UNROLL; u++) top = larger(top, s[u][g]);
                float shrink = exponential_2(most[g] - top);
                most[g] = top;
                sum[g] *= shrink;
#pragma unroll
                for (int j = 0; j < 8; j++) acc[g][j] *= shrink;
#pragma unroll
                for (int u = 0; u < UNROLL; u++) {
                    float p = s[u][g] > -1e29f ? exponential_2(s[u][g] - top) : 0;
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
        float shrink = exponential_2(most[g] - top);
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
        if (a.y) global(a.y)[head0 * dim + e] = value;
        if (!a.packed) return;
        const int n = a.n_head * dim;
        pack_group(value, a.packed + token * packed_row(n), n, ((kv * per_kv + first) * dim + e) / 32);
    };
    for (int e = thread(); e < heads * dim; e += THREADS) {
        const int g = G == 1 ? 0 : e / dim, at = e - g * dim;
        float top = -1e30f, total = 0, value = 0;
        for (int w = 0; w < WAVES; w++) top = larger(top, merged_max[w][g]);
        for (int w = 0; w < WAVES; w++) {
            float shrink = exponential_2(merged_max[w][g] - top);
            total += merged_sum[w][g] * shrink;
            value += merged_acc[w][g][at] * shrink;
        }
        if (active == 1) {
            give(value * inverse(total), e);
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
    int *counter = a.counters + (long)token * a.blocks + block_x();
    if (thread() == 0) last = arrive(counter) == active - 1;
    barrier();
    if (!last) return;
    acquire();
    for (int e = thread(); e < heads * dim; e += THREADS) {
        const int g = G == 1 ? 0 : e / dim, at = e - g * dim;
        const float *p = a.partial + (head0 + g) * a.splits * (dim + 2);
        float top = -1e30f, total = 0, value = 0;
        for (int s = 0; s < active; s += 4) {
            // Four at a time are on their way, the last again in place of those beyond.
            float peak[4], part[4], v[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float *from = p + (s + i < active ? s + i : active - 1) * (dim + 2);
                peak[i] = from[dim];
                part[i] = from[dim + 1];
                v[i] = from[at];
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float up = larger(top, peak[i]), shrink = exponential_2(top - up);
                const float grow = s + i < active ? exponential_2(peak[i] - up) : 0;
                top = up;
                total = total * shrink + part[i] * grow;
                value = value * shrink + v[i] * grow;
            }
        }
        give(value * inverse(total), e);
    }
    if (thread() == 0) *counter = 0;
}

#define ATTENTION(L, G)                                                                                     \
    KERNEL((THREADS<G, false>)) attention_##L##_##G(Attention a) { attention<RF_KV, L, G, false>(a); }      \
    KERNEL((THREADS<G, true>)) attention_step_##L##_##G(Attention a) { attention<RF_KV, L, G, true>(a); }
#define ALL_G(L) ATTENTION(L, 1) ATTENTION(L, 2) ATTENTION(L, 4)
ALL_G(8)
ALL_G(16)
ALL_G(32)
