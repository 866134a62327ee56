//! Vectors of sixteen lanes: AVX-512 F, BW, VL, DQ.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::Simd;

/// AVX-512 with BW, VL and DQ.
#[derive(Clone, Copy)]
pub struct Avx512;

type V = __m512;

/// Methods that are one expression of intrinsics.
macro_rules! methods {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $e:expr;)+) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: the caller has AVX-512 F and DQ, and vouches for 16 elements at a pointer.
            unsafe { $e }
        }
    )+};
}

impl Simd for Avx512 {
    type V = V;
    const N: usize = 16;
    const TILE_ROWS: usize = 12;
    const WIDE_ROWS: usize = 4;

    methods! {
        splat(x: f32) -> V = _mm512_set1_ps(x);
        load(p: *const f32) -> V = _mm512_loadu_ps(p);
        load_f16(p: *const f16) -> V = _mm512_cvtph_ps(_mm256_loadu_si256(p.cast()));
        load_bf16(p: *const bf16) -> V = {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        };
        load_i8(p: *const i8) -> V = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast())));
        store(p: *mut f32, v: V) = _mm512_storeu_ps(p, v);
        store_f16(p: *mut f16, v: V) = {
            _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v))
        };

        add(a: V, b: V) -> V = _mm512_add_ps(a, b);
        sub(a: V, b: V) -> V = _mm512_sub_ps(a, b);
        mul(a: V, b: V) -> V = _mm512_mul_ps(a, b);
        div(a: V, b: V) -> V = _mm512_div_ps(a, b);
        fma(a: V, b: V, c: V) -> V = _mm512_fmadd_ps(a, b, c);
        max(a: V, b: V) -> V = _mm512_max_ps(a, b);
        min(a: V, b: V) -> V = _mm512_min_ps(a, b);
        round(v: V) -> V =
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v);
        scale2(v: V, n: V) -> V = _mm512_scalef_ps(v, n);
        select(bits: u32, v: V, other: V) -> V = _mm512_mask_blend_ps(bits as u16, other, v);

        first(v: V) -> f32 = _mm512_cvtss_f32(v);
        sum(v: V) -> f32 = {
            let x = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        };
        largest(v: V) -> f32 = {
            let x = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
            let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
        };
        sum4(v: [V; 4]) -> [f32; 4] = {
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
            let x = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(ab, cd), _mm512_shuffle_ps::<0xEE>(ab, cd));
            let x = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let mut sums = [0.0; 4];
            _mm_storeu_ps(sums.as_mut_ptr(), x);
            sums
        };

        dup_even(v: V) -> V = _mm512_moveldup_ps(v);
        dup_odd(v: V) -> V = _mm512_movehdup_ps(v);
        swap_pairs(v: V) -> V = _mm512_permute_ps::<0xB1>(v);
        fmaddsub(a: V, b: V, c: V) -> V = _mm512_fmaddsub_ps(a, b, c);
        deinterleave(a: V, b: V) -> (V, V) = {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        };
    }

    #[inline(always)]
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: the caller has AVX-512 F and DQ and vouches for both 16 x 16 blocks.
        unsafe {
            for g in 0..4 {
                // Row q of each lane's four, columns 4g .. 4g + 4; then 4 x 4 within lanes.
                // Inserts from memory leave the shuffle port to the second step.
                let mut t = [_mm512_setzero_ps(); 4];
                for (q, t) in t.iter_mut().enumerate() {
                    let from = src.add(q * src_stride + 4 * g);
                    let x = _mm512_castps128_ps512(_mm_loadu_ps(from));
                    let x = _mm512_insertf32x4::<1>(x, _mm_loadu_ps(from.add(4 * src_stride)));
                    let x = _mm512_insertf32x4::<2>(x, _mm_loadu_ps(from.add(8 * src_stride)));
                    *t = _mm512_insertf32x4::<3>(x, _mm_loadu_ps(from.add(12 * src_stride)));
                }
                let a = _mm512_castps_pd(_mm512_unpacklo_ps(t[0], t[1]));
                let b = _mm512_castps_pd(_mm512_unpackhi_ps(t[0], t[1]));
                let c = _mm512_castps_pd(_mm512_unpacklo_ps(t[2], t[3]));
                let d = _mm512_castps_pd(_mm512_unpackhi_ps(t[2], t[3]));
                let to = dst.add(4 * g * dst_stride);
                _mm512_storeu_ps(to, _mm512_castpd_ps(_mm512_unpacklo_pd(a, c)));
                _mm512_storeu_ps(to.add(dst_stride), _mm512_castpd_ps(_mm512_unpackhi_pd(a, c)));
                _mm512_storeu_ps(to.add(2 * dst_stride), _mm512_castpd_ps(_mm512_unpacklo_pd(b, d)));
                _mm512_storeu_ps(to.add(3 * dst_stride), _mm512_castpd_ps(_mm512_unpackhi_pd(b, d)));
            }
        }
    }
}
