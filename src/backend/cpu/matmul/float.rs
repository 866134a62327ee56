//! f32, f16 and bf16 weights times f32 activations.
//!
//! On x86, many columns go through tiles (`float_tile`). Everything else is done here:
//! R rows by C columns at a time, vectors along k, the products summed lane by lane and the lanes
//! added up at the end of each panel of `PANEL` values. With several columns, the panel of weights
//! is first converted to f32 in scratch.
//! Each result sees the same operations in the same order whatever R and C are.

use super::super::Isa;
#[cfg(target_arch = "x86_64")]
use super::{FLOAT_TILE_FROM, float_tile};
use super::{Job, f16};
use crate::quant::GgmlType;

/// Values of k between two sums over lanes; bounds the scratch.
const PANEL: usize = 2048;
/// The most rows of one pass.
const MAX_ROWS: usize = 4;
/// Bytes: a panel of `MAX_ROWS` rows in f32.
pub(super) const SCRATCH: usize = MAX_ROWS * PANEL * 4;

/// A vector of f32 of one instruction set.
pub(super) trait Lanes {
    type V: Copy;
    const N: usize;
    /// Rows and columns of one pass: as many sums as registers hold.
    const ROWS: usize;
    const COLS: usize;
    unsafe fn zero() -> Self::V;
    /// `N` values of type `E` at `p`, of any alignment.
    unsafe fn load<E: Element>(p: *const u8) -> Self::V;
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    unsafe fn sum(v: Self::V) -> f32;
}

/// A stored float type.
pub(super) trait Element {
    const TY: GgmlType;
    const BYTES: usize = Self::TY.block_bytes();
    /// The value at `p`, of any alignment.
    unsafe fn read(p: *const u8) -> f32;
}

pub(super) struct F32;
struct F16;
struct Bf16;

impl Element for F32 {
    const TY: GgmlType = GgmlType::F32;
    #[inline(always)]
    unsafe fn read(p: *const u8) -> f32 {
        // SAFETY: the caller's.
        unsafe { p.cast::<f32>().read_unaligned() }
    }
}
impl Element for F16 {
    const TY: GgmlType = GgmlType::F16;
    #[inline(always)]
    unsafe fn read(p: *const u8) -> f32 {
        // SAFETY: the caller's.
        f16(unsafe { p.cast::<[u8; 2]>().read() })
    }
}
impl Element for Bf16 {
    const TY: GgmlType = GgmlType::BF16;
    #[inline(always)]
    unsafe fn read(p: *const u8) -> f32 {
        // SAFETY: the caller's.
        f32::from_bits((u16::from_le_bytes(unsafe { p.cast::<[u8; 2]>().read() }) as u32) << 16)
    }
}

/// # Safety
/// `job` was checked by the caller; the machine has `isa`.
pub(super) unsafe fn matmul(isa: Isa, ty: GgmlType, job: &Job) {
    macro_rules! by_type {
        ($run:ident) => {
            match ty {
                GgmlType::F32 => $run::<F32>(job),
                GgmlType::F16 => $run::<F16>(job),
                GgmlType::BF16 => $run::<Bf16>(job),
                other => panic!("{} is no float type", other.name()),
            }
        };
    }
    // SAFETY: the caller's.
    unsafe {
        match isa {
            Isa::Scalar => by_type!(run_scalar),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => by_type!(run_avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => by_type!(run_avx512),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon | Isa::Dotprod => by_type!(run_neon),
            other => unreachable!("{other:?} on another architecture"),
        }
    }
}

unsafe fn run_scalar<E: Element>(job: &Job) {
    // SAFETY: the caller's.
    unsafe { run::<portable::Lanes4, E>(job) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn run_avx2<E: Element>(job: &Job) {
    // SAFETY: the caller's.
    unsafe {
        if job.n < FLOAT_TILE_FROM {
            run::<x86::Avx2, E>(job)
        } else {
            float_tile::avx2(job, E::BYTES, convert_avx2::<E>)
        }
    }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn convert_avx2<E: Element>(w: *const u8, to: *mut f32, len: usize) {
    // SAFETY: the caller's.
    unsafe { convert::<x86::Avx2, E>(w, to, len) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
unsafe fn run_avx512<E: Element>(job: &Job) {
    // SAFETY: the caller's.
    unsafe {
        if job.n < FLOAT_TILE_FROM {
            run::<x86::Avx512, E>(job)
        } else {
            float_tile::avx512(job, E::BYTES, convert_avx512::<E>)
        }
    }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
unsafe fn convert_avx512<E: Element>(w: *const u8, to: *mut f32, len: usize) {
    // SAFETY: the caller's.
    unsafe { convert::<x86::Avx512, E>(w, to, len) }
}

#[cfg(target_arch = "aarch64")]
unsafe fn run_neon<E: Element>(job: &Job) {
    // SAFETY: the caller's; NEON is part of every aarch64.
    unsafe { run::<neon::Neon, E>(job) }
}

#[inline(always)]
unsafe fn run<L: Lanes, E: Element>(job: &Job) {
    let mut r = 0;
    // SAFETY: r + the rows of a pass stay within the range.
    unsafe {
        while r + L::ROWS <= job.rows {
            match L::ROWS {
                4 => rows::<L, E, 4>(job, r),
                3 => rows::<L, E, 3>(job, r),
                _ => unreachable!(),
            }
            r += L::ROWS;
        }
        while r < job.rows {
            rows::<L, E, 1>(job, r);
            r += 1;
        }
    }
}

/// All columns of `R` rows from row `r` on.
#[inline(always)]
unsafe fn rows<L: Lanes, E: Element, const R: usize>(job: &Job, r: usize) {
    // SAFETY: panels stay within the rows, the rows within the weights, the columns within the
    // activations, and `convert` within the scratch.
    unsafe {
        let mut k0 = 0;
        while k0 == 0 || k0 < job.k {
            let len = PANEL.min(job.k - k0);
            let w = job.w.add(r * job.w_stride + k0 * E::BYTES);
            if job.n == 1 {
                pass::<L, E, R, 1>(job, w, job.w_stride, r, 0, k0, len);
            } else if E::TY == GgmlType::F32 {
                columns::<L, R>(job, w, job.w_stride, r, k0, len);
            } else {
                for i in 0..R {
                    let to = job.scratch.cast::<f32>().add(i * PANEL);
                    convert::<L, E>(w.add(i * job.w_stride), to, len);
                }
                columns::<L, R>(job, job.scratch, PANEL * 4, r, k0, len);
            }
            k0 += PANEL;
        }
    }
}

#[inline(always)]
unsafe fn convert<L: Lanes, E: Element>(w: *const u8, to: *mut f32, len: usize) {
    // SAFETY: `len` values at both.
    unsafe {
        let whole = len / L::N * L::N;
        for i in (0..whole).step_by(L::N) {
            L::store(to.add(i), L::load::<E>(w.add(i * E::BYTES)));
        }
        for i in whole..len {
            *to.add(i) = E::read(w.add(i * E::BYTES));
        }
    }
}

#[inline(always)]
unsafe fn columns<L: Lanes, const R: usize>(
    job: &Job,
    w: *const u8,
    w_stride: usize,
    r: usize,
    k0: usize,
    len: usize,
) {
    let mut t = 0;
    while t < job.n {
        // SAFETY: t + the columns of a pass stay within n.
        unsafe {
            let c = L::COLS.min(job.n - t);
            match c {
                1 => pass::<L, F32, R, 1>(job, w, w_stride, r, t, k0, len),
                2 => pass::<L, F32, R, 2>(job, w, w_stride, r, t, k0, len),
                3 => pass::<L, F32, R, 3>(job, w, w_stride, r, t, k0, len),
                4 => pass::<L, F32, R, 4>(job, w, w_stride, r, t, k0, len),
                5 => pass::<L, F32, R, 5>(job, w, w_stride, r, t, k0, len),
                _ => pass::<L, F32, R, 6>(job, w, w_stride, r, t, k0, len),
            }
            t += c;
        }
    }
}

#[inline(always)]
unsafe fn pass<L: Lanes, E: Element, const R: usize, const C: usize>(
    job: &Job,
    w: *const u8,
    w_stride: usize,
    r: usize,
    t: usize,
    k0: usize,
    len: usize,
) {
    // SAFETY: `len` values of R rows from w and of C activation rows from t, at k0; C x R results.
    unsafe {
        let x = job.x.add(t * job.x_stride + k0 * 4);
        let mut acc = [[L::zero(); C]; R];
        let whole = len / L::N * L::N;
        let mut i = 0;
        while i < whole {
            let mut wv = [L::zero(); R];
            for (a, v) in wv.iter_mut().enumerate() {
                *v = L::load::<E>(w.add(a * w_stride + i * E::BYTES));
            }
            for c in 0..C {
                let xv = L::load::<F32>(x.add(c * job.x_stride + i * 4));
                for a in 0..R {
                    acc[a][c] = L::fma(wv[a], xv, acc[a][c]);
                }
            }
            i += L::N;
        }
        for a in 0..R {
            for c in 0..C {
                let mut sum = L::sum(acc[a][c]);
                for i in whole..len {
                    let wi = E::read(w.add(a * w_stride + i * E::BYTES));
                    sum += wi * F32::read(x.add(c * job.x_stride + i * 4));
                }
                let to = job.dst.add((t + c) * job.dst_stride + r + a);
                *to = if k0 == 0 { sum } else { *to + sum };
            }
        }
    }
}

mod portable {
    use super::Element;

    /// Four lanes of plain code, which compilers turn into what the machine has.
    pub(super) struct Lanes4;

    impl super::Lanes for Lanes4 {
        type V = [f32; 4];
        const N: usize = 4;
        const ROWS: usize = 3;
        const COLS: usize = 2;
        #[inline(always)]
        unsafe fn zero() -> [f32; 4] {
            [0.0; 4]
        }
        #[inline(always)]
        unsafe fn load<E: Element>(p: *const u8) -> [f32; 4] {
            // SAFETY: four values at p.
            std::array::from_fn(|i| unsafe { E::read(p.add(i * E::BYTES)) })
        }
        #[inline(always)]
        unsafe fn fma(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
            std::array::from_fn(|i| a[i] * b[i] + c[i])
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: [f32; 4]) {
            // SAFETY: room for four values at p.
            unsafe { p.cast::<[f32; 4]>().write_unaligned(v) }
        }
        #[inline(always)]
        unsafe fn sum(v: [f32; 4]) -> f32 {
            (v[0] + v[2]) + (v[1] + v[3])
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::*;

    use super::{Element, GgmlType};

    pub(in super::super) struct Avx2;
    pub(in super::super) struct Avx512;

    impl super::Lanes for Avx2 {
        type V = __m256;
        const N: usize = 8;
        const ROWS: usize = 3;
        const COLS: usize = 4;
        #[inline(always)]
        unsafe fn zero() -> __m256 {
            // SAFETY: as for all methods here: called inside functions with the features.
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load<E: Element>(p: *const u8) -> __m256 {
            // SAFETY: eight values at p.
            unsafe {
                match E::TY {
                    GgmlType::F32 => _mm256_loadu_ps(p.cast()),
                    GgmlType::F16 => _mm256_cvtph_ps(_mm_loadu_si128(p.cast())),
                    _ => {
                        let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
                        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
                    }
                }
            }
        }
        #[inline(always)]
        unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: see zero.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: __m256) {
            // SAFETY: room for eight values at p.
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn sum(v: __m256) -> f32 {
            // SAFETY: see zero.
            unsafe {
                let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
                let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
                _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
            }
        }
    }

    impl super::Lanes for Avx512 {
        type V = __m512;
        const N: usize = 16;
        const ROWS: usize = 4;
        const COLS: usize = 6;
        #[inline(always)]
        unsafe fn zero() -> __m512 {
            // SAFETY: as for all methods here: called inside functions with the features.
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load<E: Element>(p: *const u8) -> __m512 {
            // SAFETY: sixteen values at p.
            unsafe {
                match E::TY {
                    GgmlType::F32 => _mm512_loadu_ps(p.cast()),
                    GgmlType::F16 => _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())),
                    _ => {
                        let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
                        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
                    }
                }
            }
        }
        #[inline(always)]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: see zero.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: __m512) {
            // SAFETY: room for sixteen values at p.
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn sum(v: __m512) -> f32 {
            // SAFETY: see zero.
            unsafe { _mm512_reduce_add_ps(v) }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    use super::super::neon::f16x4;
    use super::{Element, GgmlType};

    pub(super) struct Neon;

    impl super::Lanes for Neon {
        type V = float32x4_t;
        const N: usize = 4;
        const ROWS: usize = 4;
        const COLS: usize = 6;
        #[inline(always)]
        unsafe fn zero() -> float32x4_t {
            // SAFETY: as for all methods here: NEON is part of every aarch64.
            unsafe { vdupq_n_f32(0.0) }
        }
        #[inline(always)]
        unsafe fn load<E: Element>(p: *const u8) -> float32x4_t {
            // SAFETY: four values at p; loads of bytes need no alignment.
            unsafe {
                match E::TY {
                    GgmlType::F32 => vreinterpretq_f32_u8(vld1q_u8(p)),
                    GgmlType::F16 => f16x4(vreinterpret_u16_u8(vld1_u8(p))),
                    _ => {
                        let wide = vshll_n_u16::<16>(vreinterpret_u16_u8(vld1_u8(p)));
                        vreinterpretq_f32_u32(wide)
                    }
                }
            }
        }
        #[inline(always)]
        unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            // SAFETY: see zero.
            unsafe { vfmaq_f32(c, a, b) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: float32x4_t) {
            // SAFETY: room for four values at p.
            unsafe { vst1q_f32(p, v) }
        }
        #[inline(always)]
        unsafe fn sum(v: float32x4_t) -> f32 {
            // SAFETY: see zero.
            unsafe { vaddvq_f32(v) }
        }
    }
}
