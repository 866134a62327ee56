// Kernels for tests/launches.rs, which says what each has to give, or what it is refused for.
#include "../../../../kernels/device.h"

struct Args {
    int *p;
    int *q;
    int n;
};

// --- These are right.

// q[i] = p[i] + n
KERNEL(64) add(Args a) {
    int i = block_x() * 64 + thread();
    a.q[i] = a.p[i] + a.n;
}

// Every block writes, all wait for all, and every block reads what the next one wrote. q: a counter; p: 64 each.
KERNEL(64) all_wait_for_all(Args a) {
    int i = block_x() * 64 + thread();
    a.p[i] = i;
    barrier_memory();
    if (thread() == 0) {
        arrive(a.q);
        while (__hip_atomic_load(a.q, __ATOMIC_ACQUIRE, __HIP_MEMORY_SCOPE_AGENT) < a.n) __builtin_amdgcn_s_sleep(1);
    }
    barrier();
    acquire();
    int next = (block_x() + 1) % a.n * 64 + thread();
    a.p[a.n * 64 + i] = a.p[next];
}

// The block that arrives last adds up what all wrote. q[0]: a counter, q[1]: the sum.
KERNEL(64) last_adds_up(Args a) {
    LDS int last, sums[2];
    a.p[block_x() * 64 + thread()] = block_x() * 64 + thread();
    barrier_memory();
    if (thread() == 0) last = arrive(a.q) == a.n - 1;
    barrier();
    if (!last) return;
    acquire();
    int sum = 0;
    for (int i = 0; i < a.n; i++) sum += a.p[i * 64 + thread()];
    sum = reduce<Sum, 32>(sum);
    if (lane() == 0) sums[wave()] = sum;
    barrier();
    if (thread() == 0) {
        a.q[1] = sums[0] + sums[1];
        a.q[0] = 0;
    }
}

// Bytes of one word by different waves.
KERNEL(128) bytes(Args a) {
    ((u8 *)a.p)[thread() % 32 * 4 + wave()] = thread();
}

// Private memory: q[i] = element p[i] of an array of its own.
KERNEL(32) private_array(Args a) {
    int own[200];
#pragma unroll 1
    for (int i = 0; i < 200; i++) own[i] = i * i + thread();
    own[a.p[32] % 200] += a.n;
    a.q[thread()] = own[a.p[thread()] & 15];
}

KERNEL(64) atomics(Args a) {
    __hip_atomic_fetch_add(a.q, 1, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
    __hip_atomic_fetch_max(a.q + 1, (int)(block_x() * 64 + thread()), __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
    LDS int count;
    if (thread() == 0) count = 0;
    barrier();
    __hip_atomic_fetch_add(&count, 2, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_WORKGROUP);
    barrier();
    if (thread() == 0) a.q[2 + block_x()] = count;
}

// --- These are wrong.

KERNEL(64) beyond(Args a) { a.q[thread() + a.n] = a.p[thread() + a.n]; }

KERNEL(32) unaligned(Args a) { U2 v = load<U2>((char *)a.p + 8 * thread() + a.n); a.q[thread()] = v.x + v.y; }

KERNEL(32) unaligned_atomic(Args a) {
    __hip_atomic_fetch_add((int *)((char *)a.q + a.n), 1, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}

KERNEL(64) two_blocks_write(Args a) { a.q[thread()] = block_x(); }

KERNEL(64) reads_anothers(Args a) {
    if (block_x() == 0) a.q[thread()] = 1;
    else a.p[block_x() * 64 + thread()] = a.q[thread()];
}

KERNEL(64) overwrites_what_another_reads(Args a) {
    if (block_x() == 1) a.q[thread()] = 1;
    else a.p[block_x() * 64 + thread()] = a.q[thread()];
}

KERNEL(64) shares_without_barrier(Args a) {
    LDS int x[64];
    x[thread()] = a.p[thread()];
    __builtin_amdgcn_wave_barrier();
    a.q[thread()] = x[thread() ^ 32];
}

KERNEL(64) overwrites_without_barrier(Args a) {
    LDS int x[64];
    x[thread()] = a.p[thread()];
    barrier();
    int v = x[thread() ^ 32];
    x[thread()] = v + 1;
    barrier();
    a.q[thread()] = x[thread() ^ 1];
}

// The caches are not emptied: only LDS is in order.
KERNEL(64) shares_memory_by_a_barrier_for_lds(Args a) {
    a.q[thread()] = a.p[thread()];
    barrier();
    a.p[thread()] = a.q[thread() ^ 32];
}

// The counter is not released: what was written may come after it.
KERNEL(64) arrives_too_early(Args a) {
    LDS int last;
    a.p[block_x() * 64 + thread()] = thread();
    if (thread() == 0) last = __hip_atomic_fetch_add(a.q, 1, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT) == a.n - 1;
    barrier_memory();
    if (!last) return;
    acquire();
    int sum = 0;
    for (int i = 0; i < a.n; i++) sum += a.p[i * 64 + thread()];
    a.q[1 + thread()] = sum;
}

// It is released, but nobody empties the caches.
KERNEL(64) does_not_acquire(Args a) {
    LDS int last;
    a.p[block_x() * 64 + thread()] = thread();
    barrier_memory();
    if (thread() == 0) last = __hip_atomic_fetch_add(a.q, 1, __ATOMIC_RELEASE, __HIP_MEMORY_SCOPE_AGENT) == a.n - 1;
    barrier();
    if (!last) return;
    int sum = 0;
    for (int i = 0; i < a.n; i++) sum += a.p[i * 64 + thread()];
    a.q[1 + thread()] = sum;
}

KERNEL(64) reads_lds_that_nobody_wrote(Args a) {
    LDS int x[64];
    if (thread() < a.n) x[thread()] = 1;
    barrier();
    a.q[thread()] = x[thread() ^ 1];
}

KERNEL(64) beyond_lds(Args a) {
    LDS int x[64];
    x[thread()] = 1;
    barrier();
    a.q[thread()] = x[thread() + a.n];
}

KERNEL(64) half_of_it_waits(Args a) {
    LDS int x[64];
    x[thread()] = a.p[thread()];
    if (wave() == 0) barrier();
    a.q[thread()] = x[thread()];
}

KERNEL(32) asks_an_inactive_lane(Args a) {
    int v = a.p[thread()];
    if (lane() < 8) a.q[thread()] = __builtin_amdgcn_ds_bpermute((lane() + a.n) * 4, v);
}

KERNEL(32) does_not_wait(Args a) {
    int v;
    asm volatile("global_load_b32 %0, %1, off\n v_add_nc_u32 %0, 1, %0\n s_waitcnt vmcnt(0)" : "=&v"(v) : "v"(a.p + thread()));
    a.q[thread()] = v;
}

KERNEL(32) overwrites_what_is_loaded(Args a) {
    int v;
    asm volatile("global_load_b32 %0, %1, off\n v_mov_b32 %0, 1\n s_waitcnt vmcnt(0)" : "=&v"(v) : "v"(a.p + thread()));
    a.q[thread()] = v;
}

KERNEL(32) does_not_wait_for_a_scalar(Args a) {
    int v;
    asm volatile("s_load_b32 %0, %1, 0x0\n s_add_i32 %0, %0, 1\n s_waitcnt lgkmcnt(0)" : "=&s"(v) : "s"(a.p));
    a.q[thread()] = v;
}

KERNEL(32) reads_what_nobody_wrote(Args a) {
    int v;
    asm volatile("v_add_nc_u32 %0, 1, v77" : "=v"(v) : : "v77");
    a.q[thread()] = v;
}

KERNEL(32) does_not_end(Args a) {
    while (__hip_atomic_load(a.q, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT) != 12345);
}
