// What differs between targets, and nothing else: everything below device.h is written once.
//
// Targets: gfx1030, gfx1100-1103, gfx1150/1151, gfx1200/1201 (waves of 32), gfx90a and gfx942 (waves of
// 64), and NVIDIA from sm_80 on as the stand-in. Compiled by clang with nothing but this header
// (-nogpuinc), by hipRTC, or by nvcc and NVRTC.
#pragma once

// KERNEL_AT is for kernels whose registers NVIDIA's compiler should bound so that as many blocks fit a multiprocessor;
// AMD's registers are many enough.

typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#if defined(__CUDACC__)
#define NVIDIA 1
#define DEVICE static __device__ __forceinline__
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#define KERNEL_AT(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
#define LDS __shared__
#else
#define NVIDIA 0
#define DEVICE static __attribute__((device)) inline __attribute__((always_inline))
#define KERNEL(threads) extern "C" __attribute__((global)) void __attribute__((amdgpu_flat_work_group_size(threads, threads)))
#define KERNEL_AT(threads, blocks) KERNEL(threads)
#define LDS __attribute__((shared))
#endif

#if defined(__GFX9__)
constexpr int WAVE = 64;
#else
constexpr int WAVE = 32;
#endif

// --- Where a thread is. Blocks are one-dimensional.

#if NVIDIA
DEVICE int thread() { return threadIdx.x; }
DEVICE int block_x() { return blockIdx.x; }
DEVICE int block_y() { return blockIdx.y; }
DEVICE int block_z() { return blockIdx.z; }
#else
DEVICE int thread() { return __builtin_amdgcn_workitem_id_x(); }
DEVICE int block_x() { return __builtin_amdgcn_workgroup_id_x(); }
DEVICE int block_y() { return __builtin_amdgcn_workgroup_id_y(); }
DEVICE int block_z() { return __builtin_amdgcn_workgroup_id_z(); }
#endif
DEVICE int lane() { return thread() % WAVE; }
DEVICE int wave() { return thread() / WAVE; }

// --- Barriers and fences.

// Waits for the block's threads; what they wrote to LDS before is seen after. Orders LDS only, so that
// no cache is emptied for it.
DEVICE void barrier() {
#if NVIDIA
    __syncthreads();
#else
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
#endif
}

// The same for what the block's threads wrote to memory.
DEVICE void barrier_memory() {
#if NVIDIA
    __syncthreads();
#else
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
#endif
}

// Adds 1 to a counter in memory and gives what was there. Everything this block wrote before is seen by
// whoever reads the new value. Called by one thread, after a barrier_memory().
DEVICE int arrive(int *counter) {
#if NVIDIA
    int before;
    asm volatile("atom.acq_rel.gpu.global.add.s32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
    return before;
#else
    return __hip_atomic_fetch_add(counter, 1, __ATOMIC_ACQ_REL, __HIP_MEMORY_SCOPE_AGENT);
#endif
}

// After arrive() told one thread that all have come, and a barrier told the others: lets this thread
// read what the other blocks wrote.
DEVICE void acquire() {
#if NVIDIA
    asm volatile("fence.acq_rel.gpu;" ::: "memory");
#else
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "agent");
#endif
}

// --- Bits.

template <class To, class From> DEVICE To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To to;
    __builtin_memcpy(&to, &from, sizeof(to));
    return to;
}

// --- Across the lanes of a wave.

// `v` of the lane whose number differs by the bits `mask`.
template <int mask> DEVICE int swap_lanes(int v) {
#if NVIDIA
    return __shfl_xor_sync(0xffffffffu, v, mask);
#elif defined(__GFX9__)
    // Not DPP: its row operations here have no exclusive or.
    if constexpr (mask < 32) return __builtin_amdgcn_ds_swizzle(v, mask << 10 | 0x1f);
    return __builtin_amdgcn_ds_bpermute((lane() ^ mask) * 4, v);
#else
    // Within rows of 16 a DPP operand does it (row_xmask). Across rows ds_swizzle, not permlanex16: a
    // compiler in use sinks the latter past a change of the active lanes.
    if constexpr (mask < 16) return __builtin_amdgcn_update_dpp(v, v, 0x160 + mask, 0xf, 0xf, false);
    return __builtin_amdgcn_ds_swizzle(v, mask << 10 | 0x1f);
#endif
}
template <int mask> DEVICE float swap_lanes(float v) { return bits<float>(swap_lanes<mask>(bits<int>(v))); }

// `v` of lane `from`, which may differ from lane to lane.
DEVICE int read_lane(int v, int from) {
#if NVIDIA
    return __shfl_sync(0xffffffffu, v, from);
#else
    return __builtin_amdgcn_ds_bpermute(from * 4, v);
#endif
}

struct Sum {
    template <class T> DEVICE T of(T a, T b) { return a + b; }
};
struct Max {
    DEVICE float of(float a, float b) { return a > b ? a : b; }
};

// Reduces over each `n` lanes in a row, n a power of two; all of them get the result.
template <class Op, int n, class T> DEVICE T reduce(T v) {
    if constexpr (n >= 2) v = Op::of(v, swap_lanes<1>(v));
    if constexpr (n >= 4) v = Op::of(v, swap_lanes<2>(v));
    if constexpr (n >= 8) v = Op::of(v, swap_lanes<4>(v));
    if constexpr (n >= 16) v = Op::of(v, swap_lanes<8>(v));
    if constexpr (n >= 32) v = Op::of(v, swap_lanes<16>(v));
    if constexpr (n >= 64) v = Op::of(v, swap_lanes<32>(v));
    return v;
}

// The sums over a wave of each of N values, a power of two: lane l gets that of value l % N. `v` has the M of them that
// this lane still cares for.
template <int N, int M> DEVICE float reduce_each(const float (&v)[M]) {
    if constexpr (M > 1) {
        const bool upper = lane() & M / 2;
        float half[M / 2];
#pragma unroll
        for (int i = 0; i < M / 2; i++) {
            const float low = v[i], high = v[i + M / 2];
            half[i] = (upper ? high : low) + swap_lanes<M / 2>(upper ? low : high);
        }
        return reduce_each<N>(half);
    } else {
        float sum = v[0];
        if constexpr (N <= 1) sum += swap_lanes<1>(sum);
        if constexpr (N <= 2) sum += swap_lanes<2>(sum);
        if constexpr (N <= 4) sum += swap_lanes<4>(sum);
        if constexpr (N <= 8) sum += swap_lanes<8>(sum);
        if constexpr (N <= 16) sum += swap_lanes<16>(sum);
        if constexpr (WAVE > 32) sum += swap_lanes<WAVE / 2>(sum);
        return sum;
    }
}

// --- Arithmetic.

// c plus the four products of the signed bytes of a and b.
DEVICE int dot4(int a, int b, int c) {
#if NVIDIA
    return __dp4a(a, b, c);
#elif defined(__GFX11__) || defined(__GFX12__)
    return __builtin_amdgcn_sudot4(true, a, true, b, c, false);
#else
    return __builtin_amdgcn_sdot4(a, b, c, false);
#endif
}

// For each byte of `codes`, 0 to 7, the byte of that number of `high:low`.
DEVICE u32 bytes_of_8(u32 low, u32 high, u32 codes) {
#if NVIDIA
    codes |= codes >> 4;
    return __byte_perm(low, high, __byte_perm(codes, 0, 0x4420));
#else
    return __builtin_amdgcn_perm(high, low, codes);
#endif
}

DEVICE float f16_to_f32(u16 h) {
#if NVIDIA
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
    return f;
#else
    return bits<_Float16>(h);
#endif
}

DEVICE u16 f32_to_f16(float f) {
#if NVIDIA
    u16 h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
    return h;
#else
    return bits<u16>((_Float16)f);
#endif
}

DEVICE float bf16_to_f32(u16 h) { return bits<float>((u32)h << 16); }

// To nearest even; a NaN stays one.
DEVICE u16 f32_to_bf16(float f) {
    u32 u = bits<u32>(f);
    if ((u & 0x7fffffff) > 0x7f800000) return u >> 16 | 64;
    return (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

#if NVIDIA
DEVICE float square_root(float x) { return sqrtf(x); }
DEVICE float exponential(float x) { return expf(x); }
DEVICE float absolute(float x) { return fabsf(x); }
// To the nearest integer, ties to even.
DEVICE float nearest(float x) { return rintf(x); }
DEVICE double nearest(double x) { return rint(x); }
DEVICE double multiply_add(double a, double b, double c) { return fma(a, b, c); }
#else
DEVICE float square_root(float x) { return __builtin_sqrtf(x); }
DEVICE float exponential(float x) { return __builtin_expf(x); }
DEVICE float absolute(float x) { return __builtin_fabsf(x); }
DEVICE float nearest(float x) { return __builtin_rintf(x); }
DEVICE double nearest(double x) { return __builtin_rint(x); }
DEVICE double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
#endif

// One instruction each, to two units: 2^x, 1 / x, 1 / sqrt(x).
#if NVIDIA
DEVICE float exponential_2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
DEVICE float inverse(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
DEVICE float inverse_root(float x) {
    float y;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#else
DEVICE float exponential_2(float x) { return __builtin_amdgcn_exp2f(x); }
DEVICE float inverse(float x) { return __builtin_amdgcn_rcpf(x); }
DEVICE float inverse_root(float x) { return __builtin_amdgcn_rsqf(x); }
#endif
constexpr float LOG2_E = 1.44269504f;
DEVICE float silu(float x) { return x * inverse(1 + exponential_2(-LOG2_E * x)); }
DEVICE float larger(float a, float b) { return a > b ? a : b; }

DEVICE int count_bits(u64 v) {
#if NVIDIA
    return __popcll(v);
#else
    return __builtin_popcountll(v);
#endif
}

// Sine and cosine of an angle in f64, to about one unit of f32: reduced in f64 to an eighth of a turn,
// then Taylor's series.
DEVICE void sine_cosine(double angle, float *sine, float *cosine) {
    double quarter = nearest(angle * 0.63661977236758134308);
    double rest = multiply_add(quarter, -1.57079632679489655800, angle);
    rest = multiply_add(quarter, -6.12323399573676603587e-17, rest);
    double r2 = rest * rest;
    double s = -2.5052108385441718775e-8 * r2 + 2.7557319223985890653e-6;
    s = s * r2 - 1.9841269841269841270e-4;
    s = s * r2 + 8.3333333333333333333e-3;
    s = s * r2 - 1.6666666666666666667e-1;
    s = s * r2 * rest + rest;
    double c = 2.0876756987868098979e-9 * r2 - 2.7557319223985890653e-7;
    c = c * r2 + 2.4801587301587301587e-5;
    c = c * r2 - 1.3888888888888888889e-3;
    c = c * r2 + 4.1666666666666666667e-2;
    c = c * r2 - 0.5;
    c = c * r2 + 1.0;
    int turn = (int)(long long)quarter & 3;
    double a = turn & 1 ? c : s, b = turn & 1 ? s : c;
    *sine = (float)(turn & 2 ? -a : a);
    *cosine = (float)((turn + 1) & 2 ? -b : b);
}

// --- Loads of 16 and 8 bytes in one instruction.

struct alignas(16) U4 { u32 x, y, z, w; };
struct alignas(8) U2 { u32 x, y; };
struct alignas(16) F4 { float x, y, z, w; };

template <class T> DEVICE T load(const void *p) { return *(const T *)p; }

// `p`, of which the compiler is told that it points to device memory: where clang 19 does not see that, it takes
// instructions that could reach LDS as well, and waits for both.
#if NVIDIA
#define GLOBAL
#else
#define GLOBAL __attribute__((address_space(1)))
#endif
template <class T> DEVICE GLOBAL T *global(T *p) { return (GLOBAL T *)p; }

// Has the LINE bytes at `p` brought to the L2 cache, so that who reads them next waits less.
constexpr int LINE = 128;
DEVICE void fetch_ahead(const u8 *p) {
#if NVIDIA
#pragma unroll
    for (int i = 0; i < LINE; i += 32) asm volatile("prefetch.global.L2 [%0];" ::"l"(p + i));
#else
    asm volatile("" ::"v"(load<u32>(p)));
#endif
}

// --- Products of tiles of bytes: 16 rows and 16 columns, 16 or 32 elements deep.
//
// A Part is a wave's share of 16 rows of 16 bytes in LDS, rows of A or columns of B alike; a Tile its share of the 256
// sums, of which lane l has element i at row tile_row(i) and column tile_column(i). The order of the 16 elements
// within a Part does not matter, as it is the same for A and B.

#if NVIDIA
struct Part { u32 v[2]; };
#elif defined(__GFX11__)
typedef int Part __attribute__((ext_vector_type(4)));
#elif defined(__GFX12__)
typedef int Part __attribute__((ext_vector_type(2)));
#elif defined(__GFX9__)
typedef int Part;
#else
struct Part { const u8 *p; int stride; };
#endif
constexpr int TILE_LANE = 256 / WAVE;
struct Tile { int c[TILE_LANE]; };

DEVICE int tile_row(int i) {
#if NVIDIA
    return lane() / 4 + i % 4 / 2 * 8;
#elif defined(__GFX12__)
    return i + lane() / 16 * 8;
#elif defined(__GFX9__)
    return i + lane() / 16 * 4;
#else
    return 2 * i + lane() / 16;
#endif
}
DEVICE int tile_column(int i) {
#if NVIDIA
    return i / 4 * 8 + lane() % 4 * 2 + i % 2;
#else
    return lane() % 16;
#endif
}

DEVICE Part load_part(const u8 *p, int stride) {
#if NVIDIA
    Part part;
    const u8 *at = p + lane() / 4 * stride + lane() % 4 * 4;
    part.v[0] = load<u32>(at);
    part.v[1] = load<u32>(at + 8 * stride);
    return part;
#elif defined(__GFX11__) || defined(__GFX12__) || defined(__GFX9__)
    constexpr int bytes = sizeof(Part), shares = bytes == 16 ? 1 : 16 / bytes;
    return load<Part>(p + lane() % 16 * stride + lane() / 16 % shares * bytes);
#else
    return Part{p, stride};
#endif
}

// c += a b, 16 deep.
DEVICE void multiply(Tile &c, const Part &a, const Part &b) {
#if NVIDIA
#pragma unroll
    for (int n = 0; n < 2; n++)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
            : "+r"(c.c[4 * n]), "+r"(c.c[4 * n + 1]), "+r"(c.c[4 * n + 2]), "+r"(c.c[4 * n + 3])
            : "r"(a.v[0]), "r"(a.v[1]), "r"(b.v[n]));
#elif defined(__GFX11__) || defined(__GFX12__)
    typedef int V8 __attribute__((ext_vector_type(8)));
    V8 v;
    __builtin_memcpy(&v, c.c, sizeof(v));
#if defined(__GFX11__)
    v = __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32(true, a, true, b, v, false);
#else
    v = __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12(true, a, true, b, v, false);
#endif
    __builtin_memcpy(c.c, &v, sizeof(v));
#elif defined(__GFX9__)
    typedef int V4 __attribute__((ext_vector_type(4)));
    V4 v;
    __builtin_memcpy(&v, c.c, sizeof(v));
#if defined(__gfx90a__)
    v = __builtin_amdgcn_mfma_i32_16x16x16i8(a, b, v, 0, 0, 0);
#else
    v = __builtin_amdgcn_mfma_i32_16x16x32_i8((long)(u32)a, (long)(u32)b, v, 0, 0, 0);
#endif
    __builtin_memcpy(c.c, &v, sizeof(v));
#else
    const u8 *y = b.p + tile_column(0) * b.stride;
#pragma unroll
    for (int i = 0; i < TILE_LANE; i++) {
        const u8 *x = a.p + tile_row(i) * a.stride;
#pragma unroll
        for (int k = 0; k < 16; k += 4) c.c[i] = dot4(load<int>(x + k), load<int>(y + k), c.c[i]);
    }
#endif
}

// c += a b, 32 deep: the Parts of both halves.
DEVICE void multiply(Tile &c, const Part (&a)[2], const Part (&b)[2]) {
#if NVIDIA
#pragma unroll
    for (int n = 0; n < 2; n++)
        asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+r"(c.c[4 * n]), "+r"(c.c[4 * n + 1]), "+r"(c.c[4 * n + 2]), "+r"(c.c[4 * n + 3])
            : "r"(a[0].v[0]), "r"(a[0].v[1]), "r"(a[1].v[0]), "r"(a[1].v[1]), "r"(b[0].v[n]), "r"(b[1].v[n]));
#elif defined(__GFX9__) && !defined(__gfx90a__)
    typedef int V4 __attribute__((ext_vector_type(4)));
    V4 v;
    __builtin_memcpy(&v, c.c, sizeof(v));
    u64 x = (u32)a[0] | (u64)(u32)a[1] << 32, y = (u32)b[0] | (u64)(u32)b[1] << 32;
    v = __builtin_amdgcn_mfma_i32_16x16x32_i8((long)x, (long)y, v, 0, 0, 0);
    __builtin_memcpy(c.c, &v, sizeof(v));
#else
    multiply(c, a[0], b[0]);
    multiply(c, a[1], b[1]);
#endif
}

// --- Products of tiles of f16: 16 rows and 16 columns, 16 elements deep, with sums in f32.
//
// A HalfPart is to rows of 16 f16 what a Part is to bytes, and a FloatTile lies as a Tile does. A lane's elements are of
// TILE_SLOTS columns: element i is of slot tile_slot(i), which is column slot_column(slot).

#if NVIDIA
struct HalfPart { u32 v[4]; };
constexpr int TILE_SLOTS = 4;
#else
#if defined(__GFX11__)
typedef _Float16 HalfPart __attribute__((ext_vector_type(16)));
#elif defined(__GFX12__)
typedef _Float16 HalfPart __attribute__((ext_vector_type(8)));
#elif defined(__GFX9__)
typedef _Float16 HalfPart __attribute__((ext_vector_type(4)));
#else
struct HalfPart { const u16 *p; int stride; };
#define HALF_PART_POINTS
#endif
constexpr int TILE_SLOTS = 1;
#endif
// Whether a HalfPart is where its elements lie, which then have to stay there.
#ifdef HALF_PART_POINTS
constexpr bool PARTS_POINT = true;
#else
constexpr bool PARTS_POINT = false;
#endif
struct FloatTile { float c[TILE_LANE]; };

DEVICE int tile_slot(int i) {
#if NVIDIA
    return i / 4 * 2 + i % 2;
#else
    return 0;
#endif
}
DEVICE int slot_column(int slot) {
#if NVIDIA
    return slot / 2 * 8 + lane() % 4 * 2 + slot % 2;
#else
    return lane() % 16;
#endif
}

// Reduces what lanes have of one column over the lanes that have some of it; all of them get the result.
template <class Op, class T> DEVICE T reduce_column(T v) {
#if NVIDIA
    v = Op::of(v, swap_lanes<4>(v));
    v = Op::of(v, swap_lanes<8>(v));
#endif
    v = Op::of(v, swap_lanes<16>(v));
    if constexpr (WAVE == 64) v = Op::of(v, swap_lanes<WAVE / 2>(v));
    return v;
}

// What the lanes of a wave wrote to LDS before is seen by its lanes after.
DEVICE void wave_barrier() {
#if NVIDIA
    __syncwarp();
#else
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront", "local");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront", "local");
#endif
}

// `stride` in elements.
DEVICE HalfPart load_half_part(const u16 *p, int stride) {
#if NVIDIA
    HalfPart part;
    const u16 *at = p + lane() / 4 * stride + lane() % 4 * 2;
    part.v[0] = load<u32>(at);
    part.v[1] = load<u32>(at + 8 * stride);
    part.v[2] = load<u32>(at + 8);
    part.v[3] = load<u32>(at + 8 * stride + 8);
    return part;
#elif defined(__GFX11__) || defined(__GFX12__) || defined(__GFX9__)
    constexpr int n = sizeof(HalfPart) / 2;
    return load<HalfPart>(p + lane() % 16 * stride + lane() / 16 % (16 / n) * n);
#else
    return HalfPart{p, stride};
#endif
}

// c += a b.
DEVICE void multiply(FloatTile &c, const HalfPart &a, const HalfPart &b) {
#if NVIDIA
#pragma unroll
    for (int n = 0; n < 2; n++)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c.c[4 * n]), "+f"(c.c[4 * n + 1]), "+f"(c.c[4 * n + 2]), "+f"(c.c[4 * n + 3])
            : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b.v[n]), "r"(b.v[n + 2]));
#elif defined(__GFX11__) || defined(__GFX12__) || defined(__GFX9__)
    typedef float Sums __attribute__((ext_vector_type(TILE_LANE)));
    Sums v;
    __builtin_memcpy(&v, c.c, sizeof(v));
#if defined(__GFX11__)
    v = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(a, b, v);
#elif defined(__GFX12__)
    v = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(a, b, v);
#else
    v = __builtin_amdgcn_mfma_f32_16x16x16f16(a, b, v, 0, 0, 0);
#endif
    __builtin_memcpy(c.c, &v, sizeof(v));
#else
    typedef _Float16 Two __attribute__((ext_vector_type(2)));
    const u16 *y = b.p + tile_column(0) * b.stride;
#pragma unroll
    for (int i = 0; i < TILE_LANE; i++) {
        const u16 *x = a.p + tile_row(i) * a.stride;
#pragma unroll 1
        for (int k = 0; k < 16; k += 2) c.c[i] = __builtin_amdgcn_fdot2(load<Two>(x + k), load<Two>(y + k), c.c[i], false);
    }
#endif
}
