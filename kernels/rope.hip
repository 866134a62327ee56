// Rotary positions and writes to the KV cache.
//
// rope_table: for each position, cosine and sine of each pair's angle, interleaved; f64 until then, so that entries
//   are exact to 1e-6 at any position. Grid: (n_positions).
// rope: heads turned by a row of the table. Grid: (n_tokens, n_head).
// rope_write: queries turned, keys turned and written to their cells, values written. Grid: (n_tokens, n_head + 2 *
//   n_head_kv).
// kv_write: heads of each token to its cell. Grid: (n_tokens, n_head_kv).
// kv_rope: all cached keys turned by a row of the table each. Grid: (n_cells, n_head_kv).
// Pairs are neighbours (NORM) or halves of the first n_rot elements (NEOX). One rounding to the cache's type.
// Called by src/backend/hip/lower.
#include "kv.h"

constexpr int THREADS = 128;

struct RopeTable {
    const int *positions;
    float *table; // [n][n_rot]
    int n_rot, extent, capacity;
    float magnitude;
    const Run *run;
    double frequency[128]; // angle per position, [n_rot / 2]
};
KERNEL(THREADS) rope_table(RopeTable a) {
    int row = block_x();
    if (row >= live(a.run, a.extent, a.capacity)) return;
    for (int i = thread(); i < a.n_rot / 2; i += THREADS) {
        float s, c;
        sine_cosine(a.positions[row] * a.frequency[i], &s, &c);
        a.table[(long)row * a.n_rot + 2 * i] = c * a.magnitude;
        a.table[(long)row * a.n_rot + 2 * i + 1] = s * a.magnitude;
    }
}

struct Rope {
    const float *x;
    float *y;
    const float *table;
    int x_token, x_head, y_token, y_head; // strides in elements
    int head_dim, n_rot, neox;
    int extent, capacity;
    const Run *run;
};
KERNEL(THREADS) rope(Rope a) {
    int token = block_x(), head = block_y();
    if (token >= live(a.run, a.extent, a.capacity)) return;
    const float *x = a.x + (long)token * a.x_token + (long)head * a.x_head;
    float *y = a.y + (long)token * a.y_token + (long)head * a.y_head;
    for (int i = thread(); i < a.head_dim; i += THREADS)
        y[i] = turned(x, i, a.table + (long)token * a.n_rot, a.n_rot, a.neox);
}

struct Heads {
    const float *p;
    int token, head; // strides in elements
};
struct RopeWrite {
    Heads q, k, v;
    float *y;
    const float *table;
    const int *cells;
    Cache keys, values;
    int y_token, y_head;
    int n_head, n_head_kv, head_dim, n_rot, neox;
    int extent, capacity, unused;
    const Run *run;
};
template <int TYPE> DEVICE void rope_write(const RopeWrite &a) {
    int token = block_x(), head = block_y();
    if (token >= live(a.run, a.extent, a.capacity)) return;
    const float *table = a.table + (long)token * a.n_rot;
    auto at = [&](const Heads &h, int head) { return h.p + (long)token * h.token + (long)head * h.head; };
    if (head < a.n_head) {
        const float *x = at(a.q, head);
        float *y = a.y + (long)token * a.y_token + (long)head * a.y_head;
        for (int i = thread(); i < a.head_dim; i += THREADS) y[i] = turned(x, i, table, a.n_rot, a.neox);
        return;
    }
    head -= a.n_head;
    if (head < a.n_head_kv) {
        const float *x = at(a.k, head);
        for (int i = thread(); i < a.keys.dim; i += THREADS)
            store<TYPE>(a.keys, head, a.cells[token], i, turned(x, i, table, a.n_rot, a.neox));
        return;
    }
    head -= a.n_head_kv;
    const float *x = at(a.v, head);
    for (int i = thread(); i < a.values.dim; i += THREADS) store<TYPE>(a.values, head, a.cells[token], i, x[i]);
}
KERNEL(THREADS) rope_write_f32(RopeWrite a) { rope_write<f32>(a); }
KERNEL(THREADS) rope_write_f16(RopeWrite a) { rope_write<f16>(a); }
KERNEL(THREADS) rope_write_bf16(RopeWrite a) { rope_write<bf16>(a); }
KERNEL(THREADS) rope_write_q8_0(RopeWrite a) { rope_write<q8_0>(a); }

struct KvWrite {
    const float *x;
    const int *cells;
    int x_token, x_head; // strides in elements
    Cache kv;
    int extent, capacity;
    const Run *run;
};
template <int TYPE> DEVICE void kv_write(const KvWrite &a) {
    int token = block_x(), head = block_y();
    if (token >= live(a.run, a.extent, a.capacity)) return;
    const float *x = a.x + (long)token * a.x_token + (long)head * a.x_head;
    for (int i = thread(); i < a.kv.dim; i += THREADS) store<TYPE>(a.kv, head, a.cells[token], i, x[i]);
}
KERNEL(THREADS) kv_write_f32(KvWrite a) { kv_write<f32>(a); }
KERNEL(THREADS) kv_write_f16(KvWrite a) { kv_write<f16>(a); }
KERNEL(THREADS) kv_write_bf16(KvWrite a) { kv_write<bf16>(a); }
KERNEL(THREADS) kv_write_q8_0(KvWrite a) { kv_write<q8_0>(a); }

struct KvRope {
    Cache kv;
    const float *table; // [n_cells][n_rot]
    int n_rot, neox;
    const Run *run;
};
template <int TYPE> DEVICE void kv_rope(const KvRope &a) {
    LDS float key[512];
    int cell = block_x(), head = block_y();
    if (cell >= a.run->n_kv) return;
    for (int i = thread(); i < a.kv.dim; i += THREADS) key[i] = fetch<TYPE>(a.kv, head, cell, i);
    barrier();
    for (int i = thread(); i < a.kv.dim; i += THREADS)
        store<TYPE>(a.kv, head, cell, i, turned(key, i, a.table + (long)cell * a.n_rot, a.n_rot, a.neox));
}
KERNEL(THREADS) kv_rope_f32(KvRope a) { kv_rope<f32>(a); }
KERNEL(THREADS) kv_rope_f16(KvRope a) { kv_rope<f16>(a); }
KERNEL(THREADS) kv_rope_bf16(KvRope a) { kv_rope<bf16>(a); }
KERNEL(THREADS) kv_rope_q8_0(KvRope a) { kv_rope<q8_0>(a); }
