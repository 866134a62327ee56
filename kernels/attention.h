// What attention takes.
#pragma once
#include "kv.h"

// Lines of memory (device.h).
struct Ahead {
    const u8 *p;
    long lines;
};
constexpr int N_AHEAD = 4;

struct Attention {
    const float *q; // element strides: q_token, q_head
    Cache k, v;
    const u64 *mask; // [n_tokens][mask_words]
    float *y;        // [n_tokens][n_head * dim_v], or null
    u8 *packed;      // the same packed, or null
    float *partial;  // [n_tokens][n_head][splits][dim_v + 2]
    int *counters;   // [n_tokens][blocks], zero before and after
    int q_token, q_head;
    int n_head, per_kv, splits, mask_words; // per_kv: query heads of a kv head
    float scale;
    int blocks; // grid x
    const Run *run;
    // What a step of one token does here besides; null table: q is ready and the cache is written.
    const float *table; // angles, [n_rot]
    const float *new_k, *new_v; // [n_head_kv][dim]
    const float *q_norm, *k_norm; // [dim] or null
    const int *cell;
    float eps;
    int n_rot, neox;
    int unused;
    // What the launches after this one read first.
    Ahead ahead[N_AHEAD];
};
