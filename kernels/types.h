// Weight types: how their blocks lie in device memory, and how 32 weights become bytes.
//
// A file's blocks have odd sizes (18 bytes, 210 bytes). At load rows.hip takes them apart into *planes*
// of the same bytes in all: plane p has bytes(p) for each block, blocks and rows one after another, and
// each plane begins at a multiple of 16 bytes. Then 16 bytes of quants are one load, whatever the type.
//
// The unit of work is a *group* of 32 weights, as eight words of four signed bytes: weight 4 w + b of the
// group is byte b of q[w], and its value is d[h] * q - m[h], h = 0 for the first 16 weights and 1 for the rest.
//   HALVES   d[0] and d[1] differ (otherwise only index 0 is set)
//   MIN      m is not zero (likewise)
// Quants of fewer bits than 8 lie so that a word takes two or three operations:
//   4 bits: 16 bytes, byte j = weight j and, above it, weight j + 16    -> word w: bytes 4 (w % 4).. >> 4 (w / 4)
//   2 bits: 8 bytes, byte j = weights j, j + 8, j + 16, j + 24          -> word w: bytes 4 (w % 2).. >> 2 (w / 2)
//   1 bit: 4 bytes, bit w of byte b = weight 4 w + b                    -> word w: all >> w
// Formats and formulas are those of src/quant; each type's repack() says which field goes where.
#pragma once
#include "args.h"

// Tables of points, filled by the host from src/quant/grid.rs.
struct Grids {
    const u64 *iq1;     // [2048], bytes -1, 0, 1
    const u64 *iq2_xxs; // [256]
    const u64 *iq2_xs;  // [512]
    const u64 *iq2_s;   // [1024]
    const u32 *iq3_xxs; // [256]
    const u32 *iq3_s;   // [512]
};

struct Group {
    int q[8];
    float d[2];
    float m[2];
};

// A row in its planes.
struct Row {
    const u8 *p[4];
};

template <class T> DEVICE const u8 *plane(const Weight &w, int p, long row) {
    long blocks = w.k / T::BLOCK, before = 0;
    for (int i = 0; i < p; i++) before += (w.n_rows * blocks * T::bytes(i) + 15) / 16 * 16;
    return w.data + before + row * blocks * T::bytes(p);
}

template <class T> DEVICE Row row_of(const Weight &w, long row) {
    Row r;
#pragma unroll
    for (int p = 0; p < T::PLANES; p++) r.p[p] = plane<T>(w, p, row);
    return r;
}

// --- Bits of quants.

DEVICE void low4(const U4 &p, int *q) {
    const u32 w[4] = {p.x, p.y, p.z, p.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        q[i] = w[i] & 0x0f0f0f0f;
        q[i + 4] = w[i] >> 4 & 0x0f0f0f0f;
    }
}
DEVICE void low2(const U2 &p, int *q) {
#pragma unroll
    for (int i = 0; i < 8; i++) q[i] = (i % 2 ? p.y : p.x) >> (i / 2 * 2) & 0x03030303;
}
// Puts the upper bits of quants above `at` lower ones.
template <int at> DEVICE void high2(const U2 &p, int *q) {
#pragma unroll
    for (int i = 0; i < 8; i++) q[i] |= ((i % 2 ? p.y : p.x) >> (i / 2 * 2) & 0x03030303) << at;
}
template <int at> DEVICE void high1(u32 p, int *q) {
#pragma unroll
    for (int i = 0; i < 8; i++) q[i] |= (p >> i & 0x01010101) << at;
}

// For each byte of `codes`, 0 to 15, the byte of that number of the table.
DEVICE int bytes_of_16(const u32 (&table)[4], u32 codes) {
    u32 low = bytes_of_8(table[0], table[1], codes & 0x07070707);
    u32 high = bytes_of_8(table[2], table[3], codes & 0x07070707);
    u32 upper = (codes >> 3 & 0x01010101) * 0xff;
    return (low & ~upper) | (high & upper);
}
DEVICE void look_up(const u32 (&table)[4], const U4 &p, int *q) {
    low4(p, q);
#pragma unroll
    for (int i = 0; i < 8; i++) q[i] = bytes_of_16(table, q[i]);
}

// Makes the bytes of `v` negative where `signs` has a bit.
DEVICE int negate(u32 v, u32 signs) {
    u32 m = ((signs & 1) | (signs & 2) << 7 | (signs & 4) << 14 | (signs & 8) << 21) * 0xff;
    // Bytes are -128 < v <= 127 and never 0 where that matters: ~v + 1 without a carry into the next byte.
    u32 flipped = v ^ m, one = m & 0x01010101;
    return ((flipped & 0x7f7f7f7f) + one) ^ (flipped & 0x80808080);
}
// Eight signs of which seven are stored: their number is even.
DEVICE u32 signs_of(u32 stored) {
    stored &= 127;
    u32 p = stored ^ stored >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    return stored | (p & 1) << 7;
}
DEVICE void point_of_8(u64 point, u32 signs, int *q) {
    q[0] = negate((u32)point, signs);
    q[1] = negate((u32)(point >> 32), signs >> 4);
}

// --- Repacking: bytes of a block as the file has it.

DEVICE u32 word_at(const u8 *b) { return b[0] | b[1] << 8 | b[2] << 16 | (u32)b[3] << 24; }
DEVICE void copy(u8 *to, const u8 *from, int n) {
    for (int i = 0; i < n; i++) to[i] = from[i];
}
// Writes 32 quants, of which `q(i)` is the i-th, as planes of 4, 2 and 1 bits.
template <class Q> DEVICE void put4(u8 *to, Q q) {
    for (int j = 0; j < 16; j++) to[j] = (q(j) & 15) | (q(j + 16) & 15) << 4;
}
template <class Q> DEVICE void put2(u8 *to, Q q) {
    for (int j = 0; j < 8; j++) to[j] = (q(j) & 3) | (q(j + 8) & 3) << 2 | (q(j + 16) & 3) << 4 | (q(j + 24) & 3) << 6;
}
template <class Q> DEVICE void put1(u8 *to, Q q) {
    for (int b = 0; b < 4; b++) {
        u32 v = 0;
        for (int w = 0; w < 8; w++) v |= (q(4 * w + b) & 1) << w;
        to[b] = v;
    }
}

// --- Types. Raw is what a lane loads of group g of a row: fetch() issues the loads and unpack() uses them, so that
// several groups can be on their way. repack() writes group g of the file's block b, `to` being the block's bytes in
// each plane.

// block: weights in a block. file: bytes of a block in the file. a, b, c, d: bytes in each plane.
#define TYPE(block, file, planes, a, b, c, d)                                                               \
    static constexpr int BLOCK = block, FILE = file, PLANES = planes;                                       \
    static_assert(a + b + c + d == file, "the same bytes");                                                 \
    DEVICE constexpr int bytes(int p) { return p == 0 ? a : p == 1 ? b : p == 2 ? c : d; }

// Groups of 16 + n bytes that are blocks themselves: 4 bits and, with HIGH, a fifth; d * (q - 8 or 16), or,
// with M, d * q + m.
template <bool HIGH, bool M> struct Small {
    TYPE(32, 16 + 4 * HIGH + 2 + 2 * M, 2 + HIGH, 16, 2 + 2 * M, 4 * HIGH, 0)
    static constexpr bool HALVES = false, MIN = true;
    struct Raw { U4 q; u32 s, high; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<U4>(r.p[0] + g * 16);
        w.s = M ? load<u32>(r.p[1] + g * 4) : load<u16>(r.p[1] + g * 2);
        if constexpr (HIGH) w.high = load<u32>(r.p[2] + g * 4);
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &) {
        low4(w.q, o.q);
        if constexpr (HIGH) high1<4>(w.high, o.q);
        o.d[0] = f16_to_f32(w.s);
        o.m[0] = M ? -f16_to_f32(w.s >> 16) : (HIGH ? 16 : 8) * o.d[0];
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int) {
        copy(to[1], b, bytes(1));
        copy(to[0], b + bytes(1) + bytes(2), 16);
        u32 high = HIGH ? word_at(b + bytes(1)) : 0;
        if constexpr (HIGH) put1(to[2], [=](int i) { return high >> i; });
    }
};
using q4_0 = Small<false, false>;
using q4_1 = Small<false, true>;
using q5_0 = Small<true, false>;
using q5_1 = Small<true, true>;

struct q8_0 {
    TYPE(32, 34, 2, 32, 2, 0, 0)
    static constexpr bool HALVES = false, MIN = false;
    struct Raw { U4 a, b; u16 d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.a = load<U4>(r.p[0] + g * 32);
        w.b = load<U4>(r.p[0] + g * 32 + 16);
        w.d = load<u16>(r.p[1] + g * 2);
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &) {
        const int q[8] = {(int)w.a.x, (int)w.a.y, (int)w.a.z, (int)w.a.w, (int)w.b.x, (int)w.b.y, (int)w.b.z, (int)w.b.w};
#pragma unroll
        for (int i = 0; i < 8; i++) o.q[i] = q[i];
        o.d[0] = f16_to_f32(w.d);
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int) {
        copy(to[1], b, 2);
        copy(to[0], b + 2, 32);
    }
};

// What the codes of IQ4_NL and IQ4_XS stand for, and those of MXFP4 (twice their value).
#define IQ4_TABLE {0xbfad9881, 0xf6eaddcf, 0x26190d01, 0x71594535}
#define FP4_TABLE {0x03020100, 0x0c080604, 0xfdfeff00, 0xf4f8fafc}

struct iq4_nl {
    TYPE(32, 18, 2, 16, 2, 0, 0)
    static constexpr bool HALVES = false, MIN = false;
    struct Raw { U4 q; u16 d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<U4>(r.p[0] + g * 16);
        w.d = load<u16>(r.p[1] + g * 2);
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &) {
        const u32 table[4] = IQ4_TABLE;
        look_up(table, w.q, o.q);
        o.d[0] = f16_to_f32(w.d);
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int) {
        copy(to[1], b, 2);
        copy(to[0], b + 2, 16);
    }
};

struct mxfp4 {
    TYPE(32, 17, 2, 16, 1, 0, 0)
    static constexpr bool HALVES = false, MIN = false;
    struct Raw { U4 q; u8 e; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<U4>(r.p[0] + g * 16);
        w.e = r.p[1][g];
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &) {
        const u32 table[4] = FP4_TABLE;
        look_up(table, w.q, o.q);
        u32 e = w.e;
        o.d[0] = bits<float>(e < 2 ? 0x200000u << e : (e - 1) << 23);
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int) {
        to[1][0] = b[0];
        copy(to[0], b + 1, 16);
    }
};

struct iq4_xs {
    TYPE(256, 136, 2, 128, 8, 0, 0)
    static constexpr bool HALVES = false, MIN = false;
    struct Raw { U4 q; U2 s; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<U4>(r.p[0] + g * 16);
        w.s = load<U2>(r.p[1] + g / 8 * 8);
    }
    DEVICE void unpack(Group &o, const Raw &w, int g, const Grids &) {
        const u32 table[4] = IQ4_TABLE;
        look_up(table, w.q, o.q);
        int j = g % 8, scale = (w.s.y >> 4 * j & 15) | (w.s.x >> (16 + 2 * j) & 3) << 4;
        o.d[0] = f16_to_f32(w.s.x) * (scale - 32);
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[1], b, 8);
        copy(to[0] + g * 16, b + 8 + g * 16, 16);
    }
};

// 4 bits and, with HIGH, a fifth; d * scale * q - dmin * min.
template <bool HIGH> struct K45 {
    TYPE(256, 144 + 32 * HIGH, 2 + HIGH, 128, 16, 32 * HIGH, 0)
    static constexpr bool HALVES = false, MIN = true;
    struct Raw { U4 q, s; u32 high; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<U4>(r.p[0] + g * 16);
        w.s = load<U4>(r.p[1] + g / 8 * 16);
        if constexpr (HIGH) w.high = load<u32>(r.p[2] + g * 4);
    }
    DEVICE void unpack(Group &o, const Raw &w, int g, const Grids &) {
        low4(w.q, o.q);
        if constexpr (HIGH) high1<4>(w.high, o.q);
        int at = g % 4 * 8;
        u32 a = w.s.y >> at, b = w.s.z >> at, c = w.s.w >> at;
        bool first = g % 8 < 4;
        int scale = first ? a & 63 : (c & 15) | (a >> 2 & 0x30);
        int min = first ? b & 63 : (c >> 4 & 15) | (b >> 2 & 0x30);
        o.d[0] = f16_to_f32(w.s.x) * scale;
        o.m[0] = f16_to_f32(w.s.x >> 16) * min;
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[1], b, 16);
        const u8 *high = b + 16, *low = b + 16 + bytes(2) + g / 2 * 32;
        put4(to[0] + g * 16, [=](int i) { return low[i] >> (g % 2 * 4); });
        if constexpr (HIGH) put1(to[2] + g * 4, [=](int i) { return high[i] >> g; });
    }
};
using q4_k = K45<false>;
using q5_k = K45<true>;

struct q6_k {
    TYPE(256, 210, 4, 128, 64, 16, 2)
    static constexpr bool HALVES = true, MIN = true;
    struct Raw { U4 low; U2 high; u16 s, d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.low = load<U4>(r.p[0] + g * 16);
        w.high = load<U2>(r.p[1] + g * 8);
        w.s = load<u16>(r.p[2] + g * 2);
        w.d = load<u16>(r.p[3] + g / 8 * 2);
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &) {
        low4(w.low, o.q);
        high2<4>(w.high, o.q);
        float d = f16_to_f32(w.d);
        o.d[0] = d * (i8)w.s;
        o.d[1] = d * (i8)(w.s >> 8);
        o.m[0] = 32 * o.d[0];
        o.m[1] = 32 * o.d[1];
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[2], b + 192, 16);
        if (g == 0) copy(to[3], b + 208, 2);
        const u8 *low = b + g / 4 * 64 + g % 2 * 32, *high = b + 128 + g / 4 * 32;
        put4(to[0] + g * 16, [=](int i) { return low[i] >> (g % 4 / 2 * 4); });
        put2(to[1] + g * 8, [=](int i) { return high[i] >> (g % 4 * 2); });
    }
};

struct q2_k {
    TYPE(256, 84, 3, 64, 16, 4, 0)
    static constexpr bool HALVES = true, MIN = true;
    struct Raw { U2 q; u16 s; u32 d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<U2>(r.p[0] + g * 8);
        w.s = load<u16>(r.p[1] + g * 2);
        w.d = load<u32>(r.p[2] + g / 8 * 4);
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &) {
        low2(w.q, o.q);
        float d = f16_to_f32(w.d), min = f16_to_f32(w.d >> 16);
        u32 s = w.s;
        o.d[0] = d * (s & 15);
        o.m[0] = min * (s >> 4 & 15);
        o.d[1] = d * (s >> 8 & 15);
        o.m[1] = min * (s >> 12);
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[1], b, 16);
        if (g == 0) copy(to[2], b + 80, 4);
        const u8 *q = b + 16 + g / 4 * 32;
        put2(to[0] + g * 8, [=](int i) { return q[i] >> (g % 4 * 2); });
    }
};

struct q3_k {
    TYPE(256, 110, 4, 64, 32, 12, 2)
    static constexpr bool HALVES = true, MIN = true;
    struct Raw { U2 low; u32 high; u16 s4, s2, d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.low = load<U2>(r.p[0] + g * 8);
        w.high = load<u32>(r.p[1] + g * 4);
        const u8 *s = r.p[2] + g / 8 * 12;
        w.s4 = load<u16>(s + g % 4 * 2);
        w.s2 = load<u16>(s + 8 + g % 2 * 2);
        w.d = load<u16>(r.p[3] + g / 8 * 2);
    }
    DEVICE void unpack(Group &o, const Raw &w, int g, const Grids &) {
        low2(w.low, o.q);
        high1<2>(w.high, o.q);
        u32 low = w.s4 >> (g % 8 / 4 * 4), high = w.s2 >> (g % 8 / 2 * 2);
        float d = f16_to_f32(w.d);
        o.d[0] = d * ((int)((low & 15) | (high & 3) << 4) - 32);
        o.d[1] = d * ((int)((low >> 8 & 15) | (high >> 8 & 3) << 4) - 32);
        o.m[0] = 4 * o.d[0];
        o.m[1] = 4 * o.d[1];
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[2], b + 96, 12);
        if (g == 0) copy(to[3], b + 108, 2);
        const u8 *low = b + 32 + g / 4 * 32;
        put2(to[0] + g * 8, [=](int i) { return low[i] >> (g % 4 * 2); });
        put1(to[1] + g * 4, [=](int i) { return b[i] >> g; });
    }
};

struct tq2_0 {
    TYPE(256, 66, 2, 64, 2, 0, 0)
    static constexpr bool HALVES = false, MIN = true;
    struct Raw { U2 q; u16 d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<U2>(r.p[0] + g * 8);
        w.d = load<u16>(r.p[1] + g / 8 * 2);
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &) {
        low2(w.q, o.q);
        o.d[0] = o.m[0] = f16_to_f32(w.d);
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[1], b + 64, 2);
        const u8 *q = b + g / 4 * 32;
        put2(to[0] + g * 8, [=](int i) { return q[i] >> (g % 4 * 2); });
    }
};

// Five digits of base 3 to a byte. Digit g of the 32 bytes of plane 0 is group g < 5; groups 5 and 6 are
// two digits each of the 16 bytes of plane 1, and group 7 their last and four of plane 2.
struct tq1_0 {
    TYPE(256, 54, 4, 32, 16, 4, 2)
    static constexpr bool HALVES = false, MIN = true;
    struct Raw { U4 a, b; u16 d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        int block = g / 8, j = g % 8;
        const u8 *p = j < 5 ? r.p[0] + block * 32 : r.p[1] + block * 16;
        w.a = load<U4>(p);
        if (j < 5) w.b = load<U4>(p + 16);
        else w.b = w.a;
        if (j == 7) w.b.x = w.b.y = w.b.z = w.b.w = load<u32>(r.p[2] + block * 4);
        w.d = load<u16>(r.p[3] + block * 2);
    }
    DEVICE u32 power(int i) { return i == 0 ? 1 : i == 1 ? 3 : i == 2 ? 9 : i == 3 ? 27 : 81; }
    DEVICE int digit(u32 w, u32 power) {
        u32 even = ((w & 0xff00ff) * power & 0xff00ff) * 3, odd = ((w >> 8 & 0xff00ff) * power & 0xff00ff) * 3;
        return (even >> 8 & 0x00030003) | (odd & 0x03000300);
    }
    DEVICE void unpack(Group &o, const Raw &w, int g, const Grids &) {
        int j = g % 8;
        u32 a = power(j < 5 ? j : j == 5 ? 0 : j == 6 ? 2 : 4), b = power(j < 5 ? j : j == 5 ? 1 : 3);
        const u32 p[8] = {w.a.x, w.a.y, w.a.z, w.a.w, w.b.x, w.b.y, w.b.z, w.b.w};
#pragma unroll
        for (int i = 0; i < 8; i++) o.q[i] = digit(p[i], i < 4 ? a : j == 7 ? power(i - 4) : b);
        o.d[0] = o.m[0] = f16_to_f32(w.d);
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g > 0) return;
        copy(to[0], b, 32);
        copy(to[1], b + 32, 16);
        copy(to[2], b + 48, 4);
        copy(to[3], b + 52, 2);
    }
};

// --- Types that name points of a grid.

struct iq2_xxs {
    TYPE(256, 66, 2, 64, 2, 0, 0)
    static constexpr bool HALVES = false, MIN = false;
    struct Raw { U2 q; u16 d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<U2>(r.p[0] + g * 8);
        w.d = load<u16>(r.p[1] + g / 8 * 2);
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &grids) {
#pragma unroll
        for (int i = 0; i < 4; i++) point_of_8(global(grids.iq2_xxs)[w.q.x >> 8 * i & 255], signs_of(w.q.y >> 7 * i), o.q + 2 * i);
        o.d[0] = f16_to_f32(w.d) * (0.5f + (w.q.y >> 28)) * 0.25f;
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[1], b, 2);
        copy(to[0] + g * 8, b + 2 + g * 8, 8);
    }
};

struct iq2_xs {
    TYPE(256, 74, 3, 64, 8, 2, 0)
    static constexpr bool HALVES = true, MIN = false;
    struct Raw { U2 q; u8 s; u16 d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<U2>(r.p[0] + g * 8);
        w.s = r.p[1][g];
        w.d = load<u16>(r.p[2] + g / 8 * 2);
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &grids) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 q = (i / 2 ? w.q.y : w.q.x) >> i % 2 * 16 & 0xffff;
            point_of_8(global(grids.iq2_xs)[q & 511], signs_of(q >> 9), o.q + 2 * i);
        }
        float d = f16_to_f32(w.d) * 0.25f;
        o.d[0] = d * (0.5f + (w.s & 15));
        o.d[1] = d * (0.5f + (w.s >> 4));
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[2], b, 2);
        copy(to[0] + g * 8, b + 2 + g * 8, 8);
        to[1][g] = b[66 + g];
    }
};

struct iq2_s {
    TYPE(256, 82, 4, 32, 32, 16, 2)
    static constexpr bool HALVES = true, MIN = false;
    struct Raw { u32 q, signs; u16 s, d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<u32>(r.p[0] + g * 4);
        w.signs = load<u32>(r.p[1] + g * 4);
        w.s = load<u16>(r.p[2] + g * 2);
        w.d = load<u16>(r.p[3] + g / 8 * 2);
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &grids) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 point = (w.q >> 8 * i & 255) | (w.s >> 2 * i & 3) << 8;
            point_of_8(global(grids.iq2_s)[point], w.signs >> 8 * i, o.q + 2 * i);
        }
        float d = f16_to_f32(w.d) * 0.25f;
        o.d[0] = d * (0.5f + (w.s >> 8 & 15));
        o.d[1] = d * (0.5f + (w.s >> 12));
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[3], b, 2);
        copy(to[0] + g * 4, b + 2 + g * 4, 4);
        copy(to[1] + g * 4, b + 34 + g * 4, 4);
        to[2][2 * g] = b[66 + g];
        to[2][2 * g + 1] = b[74 + g];
    }
};

struct iq3_xxs {
    TYPE(256, 98, 3, 64, 32, 2, 0)
    static constexpr bool HALVES = false, MIN = false;
    struct Raw { U2 q; u32 s; u16 d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<U2>(r.p[0] + g * 8);
        w.s = load<u32>(r.p[1] + g * 4);
        w.d = load<u16>(r.p[2] + g / 8 * 2);
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &grids) {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            u32 point = global(grids.iq3_xxs)[(i / 4 ? w.q.y : w.q.x) >> i % 4 * 8 & 255];
            o.q[i] = negate(point, signs_of(w.s >> i / 2 * 7) >> i % 2 * 4);
        }
        o.d[0] = f16_to_f32(w.d) * (0.5f + (w.s >> 28)) * 0.5f;
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[2], b, 2);
        copy(to[0] + g * 8, b + 2 + g * 8, 8);
        copy(to[1] + g * 4, b + 66 + g * 4, 4);
    }
};

struct iq3_s {
    TYPE(256, 110, 4, 64, 32, 12, 2)
    static constexpr bool HALVES = false, MIN = false;
    struct Raw { U2 q; u32 signs; u8 high, s; u16 d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<U2>(r.p[0] + g * 8);
        w.signs = load<u32>(r.p[1] + g * 4);
        w.high = r.p[2][g / 8 * 12 + g % 8];
        w.s = r.p[2][g / 8 * 12 + 8 + g % 8 / 2];
        w.d = load<u16>(r.p[3] + g / 8 * 2);
    }
    DEVICE void unpack(Group &o, const Raw &w, int g, const Grids &grids) {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            u32 point = ((i / 4 ? w.q.y : w.q.x) >> i % 4 * 8 & 255) | (w.high >> i & 1) << 8;
            o.q[i] = negate(global(grids.iq3_s)[point], w.signs >> 4 * i);
        }
        o.d[0] = f16_to_f32(w.d) * (1 + 2 * (w.s >> g % 2 * 4 & 15));
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[3], b, 2);
        if (g == 0) copy(to[2] + 8, b + 106, 4);
        copy(to[0] + g * 8, b + 2 + g * 8, 8);
        to[2][g] = b[66 + g];
        copy(to[1] + g * 4, b + 74 + g * 4, 4);
    }
};

// Points of -1, 0 and 1, moved by an eighth: eight times the point plus or minus one.
DEVICE void moved_point(u64 point, bool down, int *q) {
    u32 by = down ? 0xffffffff : 0x01010101;
    const u32 p[2] = {(u32)point, (u32)(point >> 32)};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        // Bytes are 0, 8 or -8 and then one more or less, added without carries between them.
        u32 v = p[i] << 3 & 0xf8f8f8f8;
        q[i] = ((v & 0x7f7f7f7f) + (by & 0x7f7f7f7f)) ^ ((v ^ by) & 0x80808080);
    }
}

struct iq1_s {
    TYPE(256, 50, 3, 32, 16, 2, 0)
    static constexpr bool HALVES = false, MIN = false;
    struct Raw { u32 q; u16 high, d; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<u32>(r.p[0] + g * 4);
        w.high = load<u16>(r.p[1] + g * 2);
        w.d = load<u16>(r.p[2] + g / 8 * 2);
    }
    DEVICE void unpack(Group &o, const Raw &w, int, const Grids &grids) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 point = (w.q >> 8 * i & 255) | (w.high >> 3 * i & 7) << 8;
            moved_point(global(grids.iq1)[point], w.high >> 15, o.q + 2 * i);
        }
        o.d[0] = f16_to_f32(w.d) * (2 * (w.high >> 12 & 7) + 1) * 0.125f;
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[2], b, 2);
        copy(to[0] + g * 4, b + 2 + g * 4, 4);
        copy(to[1] + g * 2, b + 34 + g * 2, 2);
    }
};

struct iq1_m {
    TYPE(256, 56, 3, 32, 16, 8, 0)
    static constexpr bool HALVES = true, MIN = false;
    struct Raw { u32 q; u16 high; U2 s; };
    DEVICE void fetch(Raw &w, const Row &r, int g) {
        w.q = load<u32>(r.p[0] + g * 4);
        w.high = load<u16>(r.p[1] + g * 2);
        w.s = load<U2>(r.p[2] + g / 8 * 8);
    }
    DEVICE void unpack(Group &o, const Raw &w, int g, const Grids &grids) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 high = w.high >> 4 * i;
            moved_point(global(grids.iq1)[(w.q >> 8 * i & 255) | (high & 7) << 8], high >> 3 & 1, o.q + 2 * i);
        }
        u32 d = (w.s.x >> 12 & 15) | (w.s.x >> 28) << 4 | (w.s.y >> 12 & 15) << 8 | (w.s.y >> 28) << 12;
        u32 scales = (g % 8 / 4 ? w.s.y : w.s.x) >> (g % 4 / 2 * 16 + g % 2 * 6);
        float eighth = f16_to_f32(d) * 0.125f;
        o.d[0] = eighth * (2 * (scales & 7) + 1);
        o.d[1] = eighth * (2 * (scales >> 3 & 7) + 1);
    }
    DEVICE void repack(u8 *const *to, const u8 *b, int g) {
        if (g == 0) copy(to[2], b + 48, 8);
        copy(to[0] + g * 4, b + g * 4, 4);
        copy(to[1] + g * 2, b + 32 + g * 2, 2);
    }
};

#undef TYPE
