use half::{bf16, f16};

use super::super::simd::{self, Simd};
use super::super::*;
use super::{Poisoned, Rng, check};
use crate::backend::cpu::Isa;

const SIZES: [usize; 16] = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 63, 64, 100, 257];

/// Runs `kernel(isa, dst, a, b, n)` into a fresh row and over its own first source, and compares.
fn binary(
    what: &str,
    bound: f64,
    kernel: unsafe fn(Isa, *mut f32, *const f32, *const f32, usize),
    reference: fn(f64, f64) -> f64,
) {
    let mut rng = Rng(1);
    for &isa in Isa::available() {
        for n in SIZES {
            let (mut a, b) = (rng.normals(n), rng.normals(n));
            a.iter_mut().for_each(|x| *x *= 4.0);
            let want: Vec<f64> = a.iter().zip(&b).map(|(&a, &b)| reference(a.into(), b.into())).collect();
            let mut dst = Poisoned::new(n);
            // SAFETY: the set is available; all rows hold `n`.
            unsafe { kernel(isa, dst.as_mut_ptr(), a.as_ptr(), b.as_ptr(), n) };
            check(what, dst.get(), &want, bound, 1e-30);
            // SAFETY: as above; the destination is a source.
            unsafe { kernel(isa, a.as_mut_ptr(), a.as_ptr(), b.as_ptr(), n) };
            assert_eq!(a, dst.get(), "{what} in place, {isa:?}, {n}");
        }
    }
}

fn silu_f64(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

fn gelu_f64(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
}

#[test]
fn products_and_sums() {
    binary("add", 6e-8, add, |a, b| a + b);
    binary("mul", 6e-8, mul, |a, b| a * b);
}

#[test]
fn gates() {
    binary("swiglu", 8e-7, swiglu, |g, u| silu_f64(g) * u);
    // The reference's own `1 + tanh` cancels for very negative gates.
    let mut rng = Rng(2);
    for &isa in Isa::available() {
        for n in SIZES {
            let (g, u) = (rng.normals(n), rng.normals(n));
            let want: Vec<f64> = g.iter().zip(&u).map(|(&g, &u)| gelu_f64(g.into()) * f64::from(u)).collect();
            let mut dst = Poisoned::new(n);
            // SAFETY: the set is available; all rows hold `n`.
            unsafe { geglu(isa, dst.as_mut_ptr(), g.as_ptr(), u.as_ptr(), n) };
            check("geglu", dst.get(), &want, 2e-6, 1e-6);
        }
    }
}

#[test]
fn silu_over_its_range() {
    let x: Vec<f32> = (-1000..=1000).map(|i| i as f32 * 0.0871).collect();
    let want: Vec<f64> = x.iter().map(|&x| silu_f64(x.into())).collect();
    for &isa in Isa::available() {
        let mut dst = Poisoned::new(x.len());
        // SAFETY: the set is available; both rows hold as many.
        unsafe { silu(isa, dst.as_mut_ptr(), x.as_ptr(), x.len()) };
        check("silu", dst.get(), &want, 8e-7, 1e-36);
        let ends = [-1e30, -200.0, 200.0, 1e30, f32::INFINITY, f32::NAN, -0.0];
        let mut y = [1f32; 7];
        // SAFETY: as above.
        unsafe { silu(isa, y.as_mut_ptr(), ends.as_ptr(), 7) };
        assert_eq!(y[..5], [0.0, 0.0, 200.0, 1e30, f32::INFINITY], "{isa:?}");
        assert!(y[5].is_nan() && y[6] == 0.0);
    }
}

#[test]
fn scaling() {
    for &isa in Isa::available() {
        for n in SIZES {
            let x = Rng(3).normals(n);
            let want: Vec<f64> = x.iter().map(|&x| f64::from(x) * f64::from(0.37f32)).collect();
            let mut dst = Poisoned::new(n);
            // SAFETY: the set is available; both rows hold `n`.
            unsafe { scale(isa, dst.as_mut_ptr(), x.as_ptr(), 0.37, n) };
            check("scale", dst.get(), &want, 6e-8, 1e-30);
        }
    }
}

#[test]
fn rows_may_be_cut_anywhere() {
    let mut rng = Rng(4);
    let (g, u) = (rng.normals(100), rng.normals(100));
    for &isa in Isa::available() {
        let (mut whole, mut parts) = (vec![0f32; 100], vec![0f32; 100]);
        // SAFETY: the set is available; the parts make up the rows.
        unsafe {
            swiglu(isa, whole.as_mut_ptr(), g.as_ptr(), u.as_ptr(), 100);
            for r in [0..7, 7..50, 50..51, 51..100] {
                let at = r.start;
                let dst = parts[r.clone()].as_mut_ptr();
                swiglu(isa, dst, g.as_ptr().add(at), u.as_ptr().add(at), r.len());
            }
        }
        assert_eq!(whole, parts);
    }
}

#[test]
fn conversions_match_the_half_crate() {
    // Every f16 and bf16, and f32 with all exponents and on both sides of ties.
    let all: Vec<u16> = (0..=u16::MAX).collect();
    let mut rng = Rng(5);
    let mut floats: Vec<f32> = (0..65536).map(|_| f32::from_bits(rng.bits() as u32)).collect();
    floats.extend(all.iter().map(|&b| f16::from_bits(b).to_f32() * 1.000_488_3));
    floats.extend([0.0, -0.0, 65504.0, 65519.9, 65520.0, f32::INFINITY, f32::NAN]);
    for &isa in Isa::available() {
        for n in [all.len(), all.len() - 5] {
            let mut dst = Poisoned::new(n);
            // SAFETY: the set is available; both rows hold `n`.
            unsafe { f16_to_f32(isa, dst.as_mut_ptr(), all.as_ptr().cast(), n) };
            for (&b, &x) in all.iter().zip(dst.get()) {
                let want = f16::from_bits(b).to_f32();
                assert!(x.to_bits() == want.to_bits() || (x.is_nan() && want.is_nan()), "{isa:?} {b:#x}");
            }
            // SAFETY: as above.
            unsafe { bf16_to_f32(isa, dst.as_mut_ptr(), all.as_ptr().cast(), n) };
            for (&b, &x) in all.iter().zip(dst.get()) {
                let want = bf16::from_bits(b).to_f32();
                assert!(x.to_bits() == want.to_bits() || (x.is_nan() && want.is_nan()), "{isa:?} {b:#x}");
            }
        }
        let mut halves = vec![f16::ZERO; floats.len()];
        // SAFETY: as above.
        unsafe { f32_to_f16(isa, halves.as_mut_ptr(), floats.as_ptr(), floats.len()) };
        for (&x, &h) in floats.iter().zip(&halves) {
            let want = f16::from_f32(x);
            assert!(h.to_bits() == want.to_bits() || (h.is_nan() && want.is_nan()), "{isa:?} {x:e}");
        }
    }
}

by_isa! {
    unsafe fn exp_row(dst: *mut f32, x: *const f32, n: usize) = exp_body
}
#[inline(always)]
unsafe fn exp_body<S: Simd>(dst: *mut f32, x: *const f32, n: usize) {
    for i in (0..n).step_by(S::N) {
        // SAFETY: `n` is a multiple of 16.
        unsafe { S::store(dst.add(i), simd::exp::<S>(S::load(x.add(i)))) }
    }
}
by_isa! {
    unsafe fn exp2_row(dst: *mut f32, x: *const f32, n: usize) = exp2_body
}
#[inline(always)]
unsafe fn exp2_body<S: Simd>(dst: *mut f32, x: *const f32, n: usize) {
    for i in (0..n).step_by(S::N) {
        // SAFETY: `n` is a multiple of 16.
        unsafe { S::store(dst.add(i), simd::exp2::<S>(S::load(x.add(i)))) }
    }
}

type RowKernel = unsafe fn(Isa, *mut f32, *const f32, usize);

/// The largest error in units of the last place over normal results.
fn worst_ulp(isa: Isa, kernel: RowKernel, reference: fn(f64) -> f64, from: f32, to: f32) -> f64 {
    const N: usize = 1 << 20;
    let x: Vec<f32> = (0..N).map(|i| from + (to - from) * (i as f32 / N as f32)).collect();
    let mut y = vec![0f32; N];
    // SAFETY: the set is available; both rows hold `N`, a multiple of 16.
    unsafe { kernel(isa, y.as_mut_ptr(), x.as_ptr(), N) };
    let ulp = |(&x, &y): (&f32, &f32)| {
        let want = reference(x.into());
        let unit = 2f64.powi(want.log2().floor() as i32 - 23);
        (f64::from(y) - want).abs() / unit
    };
    x.iter().zip(&y).map(ulp).fold(0.0, f64::max)
}

#[test]
fn exponentials_within_two_ulp() {
    for &isa in Isa::available() {
        for (from, to) in [(-87.3, 88.72), (-1.0, 1.0)] {
            let worst = worst_ulp(isa, exp_row, f64::exp, from, to);
            assert!(worst < 2.0, "exp {isa:?}: {worst} ulp");
        }
        for (from, to) in [(-126.0, 127.99), (-1.0, 1.0)] {
            let worst = worst_ulp(isa, exp2_row, f64::exp2, from, to);
            assert!(worst < 2.0, "exp2 {isa:?}: {worst} ulp");
        }
    }
}

#[test]
fn exponentials_at_their_ends() {
    for &isa in Isa::available() {
        for kernel in [exp_row as RowKernel, exp2_row] {
            let mut x = [0f32; 16];
            let ends = [f32::NEG_INFINITY, -1e30, -160.0, 0.0, 130.0, 1e30, f32::INFINITY, f32::NAN];
            x[..8].copy_from_slice(&ends);
            // A subnormal result: 2^-140 either way, roughly.
            x[8] = if kernel as usize == exp_row as RowKernel as usize { -97.04 } else { -140.0 };
            let mut y = [7f32; 16];
            // SAFETY: the set is available; both rows hold 16.
            unsafe { kernel(isa, y.as_mut_ptr(), x.as_ptr(), 16) };
            let inf = f32::INFINITY;
            assert_eq!(y[..7], [0.0, 0.0, 0.0, 1.0, inf, inf, inf], "{isa:?}");
            assert!(y[7].is_nan(), "{isa:?}");
            assert!((y[8] / 2f32.powi(-140) - 1.0).abs() < 0.01, "{isa:?}: {:e}", y[8]);
        }
    }
}

#[test]
fn rms_norm_rows() {
    let mut rng = Rng(6);
    for &isa in Isa::available() {
        for n in SIZES.into_iter().skip(1).chain([896, 2048, 4097, 16384]) {
            let (mut x, w) = (rng.normals(n), rng.normals(n));
            let eps = 1e-5f32;
            let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n as f64;
            let factor = 1.0 / (mean + f64::from(eps)).sqrt();
            let plain: Vec<f64> = x.iter().map(|&x| f64::from(x) * factor).collect();
            let weighted: Vec<f64> = plain.iter().zip(&w).map(|(x, &w)| x * f64::from(w)).collect();
            let mut dst = Poisoned::new(n);
            // SAFETY: the set is available; all rows hold `n`.
            unsafe { rms_norm(isa, dst.as_mut_ptr(), x.as_ptr(), std::ptr::null(), eps, n) };
            check("rms_norm", dst.get(), &plain, 1e-6, 1e-30);
            // SAFETY: as above.
            unsafe { rms_norm(isa, dst.as_mut_ptr(), x.as_ptr(), w.as_ptr(), eps, n) };
            check("rms_norm", dst.get(), &weighted, 1e-6, 1e-30);
            // SAFETY: as above; the destination is the source.
            unsafe { rms_norm(isa, x.as_mut_ptr(), x.as_ptr(), w.as_ptr(), eps, n) };
            assert_eq!(x, dst.get());
        }
    }
}
