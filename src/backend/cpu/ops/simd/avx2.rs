//! Vectors of eight lanes: AVX2, FMA, F16C.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::Simd;

/// AVX2 with FMA and F16C.
#[derive(Clone, Copy)]
pub struct Avx2;

type V = __m256;

/// Methods that are one expression of intrinsics.
macro_rules! methods {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $e:expr;)+) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: the caller has AVX2, FMA and F16C, and vouches for 8 elements at a pointer.
            unsafe { $e }
        }
    )+};
}

impl Simd for Avx2 {
    type V = V;
    const N: usize = 8;
    const TILE_ROWS: usize = 6;
    const WIDE_ROWS: usize = 2;

    methods! {
        splat(x: f32) -> V = _mm256_set1_ps(x);
        load(p: *const f32) -> V = _mm256_loadu_ps(p);
        load_f16(p: *const f16) -> V = _mm256_cvtph_ps(_mm_loadu_si128(p.cast()));
        load_bf16(p: *const bf16) -> V = {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        };
        load_i8(p: *const i8) -> V = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast())));
        store(p: *mut f32, v: V) = _mm256_storeu_ps(p, v);
        store_f16(p: *mut f16, v: V) = {
            _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v))
        };

        add(a: V, b: V) -> V = _mm256_add_ps(a, b);
        sub(a: V, b: V) -> V = _mm256_sub_ps(a, b);
        mul(a: V, b: V) -> V = _mm256_mul_ps(a, b);
        div(a: V, b: V) -> V = _mm256_div_ps(a, b);
        fma(a: V, b: V, c: V) -> V = _mm256_fmadd_ps(a, b, c);
        max(a: V, b: V) -> V = _mm256_max_ps(a, b);
        min(a: V, b: V) -> V = _mm256_min_ps(a, b);
        round(v: V) -> V = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v);
        // In two steps, because `2^n` alone may not be a normal number.
        scale2(v: V, n: V) -> V = {
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            let rest = _mm256_sub_epi32(n, half);
            let bias = _mm256_set1_epi32(127);
            let a = _mm256_slli_epi32::<23>(_mm256_add_epi32(half, bias));
            let b = _mm256_slli_epi32::<23>(_mm256_add_epi32(rest, bias));
            _mm256_mul_ps(_mm256_mul_ps(v, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b))
        };
        select(bits: u32, v: V, other: V) -> V = {
            let lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let set = _mm256_and_si256(_mm256_set1_epi32(bits as i32), lane);
            let keep = _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane));
            _mm256_blendv_ps(other, v, keep)
        };

        first(v: V) -> f32 = _mm256_cvtss_f32(v);
        sum(v: V) -> f32 = {
            let x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        };
        largest(v: V) -> f32 = {
            let x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
        };
        sum4(v: [V; 4]) -> [f32; 4] = {
            let ab = _mm256_add_ps(_mm256_unpacklo_ps(v[0], v[1]), _mm256_unpackhi_ps(v[0], v[1]));
            let cd = _mm256_add_ps(_mm256_unpacklo_ps(v[2], v[3]), _mm256_unpackhi_ps(v[2], v[3]));
            let x = _mm256_add_ps(_mm256_shuffle_ps::<0x44>(ab, cd), _mm256_shuffle_ps::<0xEE>(ab, cd));
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let mut sums = [0.0; 4];
            _mm_storeu_ps(sums.as_mut_ptr(), x);
            sums
        };

        dup_even(v: V) -> V = _mm256_moveldup_ps(v);
        dup_odd(v: V) -> V = _mm256_movehdup_ps(v);
        swap_pairs(v: V) -> V = _mm256_permute_ps::<0xB1>(v);
        fmaddsub(a: V, b: V, c: V) -> V = _mm256_fmaddsub_ps(a, b, c);
        deinterleave(a: V, b: V) -> (V, V) = {
            // The shuffles leave quarters in the order a, b, a, b.
            let even = _mm256_castps_pd(_mm256_shuffle_ps::<0x88>(a, b));
            let odd = _mm256_castps_pd(_mm256_shuffle_ps::<0xDD>(a, b));
            (
                _mm256_castpd_ps(_mm256_permute4x64_pd::<0xD8>(even)),
                _mm256_castpd_ps(_mm256_permute4x64_pd::<0xD8>(odd)),
            )
        };
    }

    #[inline(always)]
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: the caller has AVX2 and vouches for both 8 x 8 blocks.
        unsafe {
            for g in 0..2 {
                // Row q of each lane's four, columns 4g .. 4g + 4; then 4 x 4 within lanes.
                let mut t = [_mm256_setzero_ps(); 4];
                for (q, t) in t.iter_mut().enumerate() {
                    let lo = _mm_loadu_ps(src.add(q * src_stride + 4 * g));
                    let hi = _mm_loadu_ps(src.add((q + 4) * src_stride + 4 * g));
                    *t = _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(lo), hi);
                }
                let a = _mm256_castps_pd(_mm256_unpacklo_ps(t[0], t[1]));
                let b = _mm256_castps_pd(_mm256_unpackhi_ps(t[0], t[1]));
                let c = _mm256_castps_pd(_mm256_unpacklo_ps(t[2], t[3]));
                let d = _mm256_castps_pd(_mm256_unpackhi_ps(t[2], t[3]));
                let to = dst.add(4 * g * dst_stride);
                _mm256_storeu_ps(to, _mm256_castpd_ps(_mm256_unpacklo_pd(a, c)));
                _mm256_storeu_ps(to.add(dst_stride), _mm256_castpd_ps(_mm256_unpackhi_pd(a, c)));
                _mm256_storeu_ps(to.add(2 * dst_stride), _mm256_castpd_ps(_mm256_unpacklo_pd(b, d)));
                _mm256_storeu_ps(to.add(3 * dst_stride), _mm256_castpd_ps(_mm256_unpackhi_pd(b, d)));
            }
        }
    }
}
