// Routing of tokens to experts.
//
// top_k: places of the k largest of each row, largest first, of equals the lower first. Grid: (n_tokens); one wave.
// expert_weights: softmax of the logits at those places, times scale. Grid: (n_tokens).
// group_by_expert: pairs sorted by expert and then by token; out: [n_expert + 1] offsets, [capacity] the token of each
//   sorted pair, [capacity] the sorted place of each pair. Grid: (1).
// combine: y = residual + sum of the k rows of a token, weighted. Grid: (n_tokens, n / CHUNK rounded up).
// Exact but for exponentials and f32 sums. Called by src/backend/hip/lower.
#include "args.h"

constexpr int THREADS = 256;
constexpr int CHUNK = 1024;

struct TopK {
    const float *x; // [n_tokens][n]
    int *ids;       // [n_tokens][k]
    int n, k, extent, capacity;
    const Run *run;
};
KERNEL(WAVE) top_k(TopK a) {
    int row = block_x();
    if (row >= live(a.run, a.extent, a.capacity)) return;
    const float *x = a.x + (long)row * a.n;
    // What was taken is remembered by value and place: the next is the largest of what comes after it in order.
    float limit = 0;
    int taken = -1;
    for (int k = 0; k < a.k; k++) {
        float best = 0;
        int at = a.n;
        for (int i = lane(); i < a.n; i += WAVE) {
            float v = x[i] == x[i] ? x[i] : -3.4028235e38f;
            bool after = taken < 0 || v < limit || (v == limit && i > taken);
            if (after && (at == a.n || v > best)) best = v, at = i;
        }
#pragma unroll
        for (int m = 1; m < WAVE; m *= 2) {
            int from = lane() ^ m, other = read_lane(at, from);
            float v = bits<float>(read_lane(bits<int>(best), from));
            if (other < a.n && (at == a.n || v > best || (v == best && other < at))) best = v, at = other;
        }
        limit = best;
        taken = at;
        if (lane() == 0) a.ids[(long)row * a.k + k] = at;
    }
}

struct ExpertWeights {
    const float *logits;
    const int *ids;
    float *y;
    int n, k, extent, capacity;
    float scale;
    const Run *run;
};
KERNEL(WAVE) expert_weights(ExpertWeights a) {
    int row = block_x();
    if (row >= live(a.run, a.extent, a.capacity)) return;
    const float *x = a.logits + (long)row * a.n;
    const int *ids = a.ids + (long)row * a.k;
    float top = x[ids[0]], sum = 0;
    for (int i = 0; i < a.k; i++) top = larger(top, x[ids[i]]);
    for (int i = 0; i < a.k; i++) sum += exponential(x[ids[i]] - top);
    for (int i = lane(); i < a.k; i += WAVE) a.y[(long)row * a.k + i] = exponential(x[ids[i]] - top) * a.scale / sum;
}

struct GroupByExpert {
    const int *ids; // [n_tokens][k]
    int *out;
    int n_expert, k, capacity, extent; // capacity in pairs
    const Run *run;
};
KERNEL(THREADS) group_by_expert(GroupByExpert a) {
    // A thread to each expert in turn: few experts, at most some thousand pairs.
    LDS int counts[1024];
    int n = live(a.run, a.extent, a.capacity / a.k) * a.k;
    for (int e = thread(); e < a.n_expert; e += THREADS) {
        int count = 0;
        for (int i = 0; i < n; i++) count += a.ids[i] == e;
        counts[e] = count;
    }
    barrier();
    for (int e = thread(); e <= a.n_expert; e += THREADS) {
        int begin = 0;
        for (int i = 0; i < e; i++) begin += counts[i];
        a.out[e] = begin;
        if (e == a.n_expert) continue;
        int *rows = a.out + a.n_expert + 1, *places = rows + a.capacity;
        for (int i = 0; i < n; i++) {
            if (a.ids[i] != e) continue;
            rows[begin] = i / a.k;
            places[i] = begin++;
        }
    }
}

struct Combine {
    const float *x; // sorted rows
    const int *places;
    const float *weights; // [n_tokens][k]
    const float *residual; // or null
    float *y;
    int n, k, extent, capacity;
    int x_stride, y_stride, residual_stride;
    const Run *run;
};
KERNEL(THREADS) combine(Combine a) {
    int row = block_x();
    if (row >= live(a.run, a.extent, a.capacity)) return;
    int begin = block_y() * CHUNK, end = begin + CHUNK < a.n ? begin + CHUNK : a.n;
    for (int i = begin + thread(); i < end; i += THREADS) {
        float v = a.residual ? a.residual[(long)row * a.residual_stride + i] : 0;
        for (int j = 0; j < a.k; j++)
            v += a.weights[(long)row * a.k + j] * a.x[(long)a.places[(long)row * a.k + j] * a.x_stride + i];
        a.y[(long)row * a.y_stride + i] = v;
    }
}
