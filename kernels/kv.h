// One half (keys or values) of a layer's cache: [n_head_kv][n_cells][dim]. In q8_0 the quants of a head come first,
// then the scales of its groups of 32, [n_cells][dim / 32] f16: 8 elements are then one aligned load in every type.
#pragma once
#include "args.h"

// `mixed` is what a Cache says: for kernels whose keys and values differ in type.
enum KvType { f32, f16, bf16, q8_0, mixed };

struct Cache {
    u8 *p;
    int dim, n_cells;
    int type, unused;
};

// Calls `f` with the type that a cache says.
template <int TYPE> struct Typed { static constexpr int type = TYPE; };
template <class F> DEVICE void with_type(const Cache &c, F f) {
    switch (c.type) {
    case f32: return f(Typed<f32>());
    case f16: return f(Typed<f16>());
    case bf16: return f(Typed<bf16>());
    default: return f(Typed<q8_0>());
    }
}

template <int TYPE> DEVICE u8 *head_of(const Cache &c, int head) {
    const int type = TYPE == mixed ? c.type : TYPE;
    long n = (long)c.n_cells * c.dim;
    long bytes = type == f32 ? n * 4 : type == q8_0 ? n + n / 16 : n * 2;
    return c.p + head * bytes;
}

// Element i of a cell.
template <int TYPE> DEVICE float fetch(const Cache &c, int head, int cell, int i) {
    const u8 *h = head_of<TYPE>(c, head);
    long at = (long)cell * c.dim + i;
    if constexpr (TYPE == f32) return ((const float *)h)[at];
    if constexpr (TYPE == f16) return f16_to_f32(((const u16 *)h)[at]);
    if constexpr (TYPE == bf16) return bf16_to_f32(((const u16 *)h)[at]);
    return (i8)h[at] * f16_to_f32(((const u16 *)(h + (long)c.n_cells * c.dim))[at / 32]);
}

// Stores element i of a cell. For q8_0 the 32 elements of a group must be stored at once, by lanes in a row.
template <int TYPE> DEVICE void store(const Cache &c, int head, int cell, int i, float v) {
    u8 *h = head_of<TYPE>(c, head);
    long at = (long)cell * c.dim + i;
    if constexpr (TYPE == f32) ((float *)h)[at] = v;
    if constexpr (TYPE == f16) ((u16 *)h)[at] = f32_to_f16(v);
    if constexpr (TYPE == bf16) ((u16 *)h)[at] = f32_to_bf16(v);
    if constexpr (TYPE == q8_0) {
        float d = reduce<Max, 32>(absolute(v)) / 127, inverse = d > 0 ? 1 / d : 0;
        h[at] = (u8)(int)nearest(v * inverse);
        if (i % 32 == 0) ((u16 *)(h + (long)c.n_cells * c.dim))[at / 32] = f32_to_f16(d);
    }
}

DEVICE void load_8(const float *p, float (&v)[8]) {
    F4 a = load<F4>(p), b = load<F4>(p + 4);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

// Eight elements of a cell, from i on, a multiple of 8.
template <int TYPE> DEVICE void fetch_8(const u8 *h, const Cache &c, int cell, int i, float (&v)[8]) {
    long at = (long)cell * c.dim + i;
    if constexpr (TYPE == mixed) {
        with_type(c, [&](auto t) { fetch_8<decltype(t)::type>(h, c, cell, i, v); });
    } else if constexpr (TYPE == f32) {
        load_8((const float *)h + at, v);
    } else if constexpr (TYPE == q8_0) {
        U2 q = load<U2>(h + at);
        float d = f16_to_f32(load<u16>(h + (long)c.n_cells * c.dim + at / 32 * 2));
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = d * (i8)((j / 4 ? q.y : q.x) >> j % 4 * 8);
    } else {
        U4 q = load<U4>(h + at * 2);
        const u32 w[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
        for (int j = 0; j < 8; j++) {
            u16 x = w[j / 2] >> j % 2 * 16;
            v[j] = TYPE == f16 ? f16_to_f32(x) : bf16_to_f32(x);
        }
    }
}

// Stores eight elements of a cell, from i on, if this lane `writes`, and leaves in `v` what fetch_8 gives of them. The
// lanes of a group of 32 elements call it together.
template <int TYPE> DEVICE void store_8(u8 *h, const Cache &c, int cell, int i, float (&v)[8], bool writes) {
    long at = (long)cell * c.dim + i;
    if constexpr (TYPE == mixed) {
        with_type(c, [&](auto t) { store_8<decltype(t)::type>(h, c, cell, i, v, writes); });
    } else if constexpr (TYPE == f32) {
        if (writes) {
            *(F4 *)(h + at * 4) = F4{v[0], v[1], v[2], v[3]};
            *(F4 *)(h + at * 4 + 16) = F4{v[4], v[5], v[6], v[7]};
        }
    } else if constexpr (TYPE == q8_0) {
        float most = 0;
#pragma unroll
        for (int j = 0; j < 8; j++) most = larger(most, absolute(v[j]));
        float d = reduce<Max, 4>(most) / 127, inverse = d > 0 ? 1 / d : 0;
        u16 scale = f32_to_f16(d);
        u32 q[2] = {0, 0};
#pragma unroll
        for (int j = 0; j < 8; j++) {
            int n = (int)nearest(v[j] * inverse);
            q[j / 4] |= (n & 255u) << j % 4 * 8;
            v[j] = f16_to_f32(scale) * n;
        }
        if (writes) {
            *(U2 *)(h + at) = U2{q[0], q[1]};
            if (i % 32 == 0) ((u16 *)(h + (long)c.n_cells * c.dim))[at / 32] = scale;
        }
    } else {
        u32 w[4];
#pragma unroll
        for (int j = 0; j < 8; j += 2) {
            u16 x = TYPE == f16 ? f32_to_f16(v[j]) : f32_to_bf16(v[j]);
            u16 y = TYPE == f16 ? f32_to_f16(v[j + 1]) : f32_to_bf16(v[j + 1]);
            v[j] = TYPE == f16 ? f16_to_f32(x) : bf16_to_f32(x);
            v[j + 1] = TYPE == f16 ? f16_to_f32(y) : bf16_to_f32(y);
            w[j / 2] = x | (u32)y << 16;
        }
        if (writes) *(U4 *)(h + at * 2) = U4{w[0], w[1], w[2], w[3]};
    }
}

// Element i of a head turned by a row of the table of angles.
DEVICE float turned(const float *x, int i, const float *table, int n_rot, int neox) {
    if (i >= n_rot) return x[i];
    int half = n_rot / 2, pair = neox ? i % half : i / 2;
    int other = neox ? (i < half ? i + half : i - half) : i ^ 1;
    bool second = neox ? i >= half : i & 1;
    float c = table[2 * pair], s = table[2 * pair + 1];
    return second ? x[i] * c + x[other] * s : x[i] * c - x[other] * s;
}
