//! Arithmetic that Rust's own operators do not have.

use super::lanes::{F16, Mix, each, widen};
use crate::wave::{LANES, Mode};

/// `a * b + c` rounded once, in every lane.
#[inline(always)]
pub(super) fn fma_32(a: &[f32; LANES], b: &[f32; LANES], c: &[f32; LANES]) -> [f32; LANES] {
    // A loop, as whatever is called on the way may be compiled without the instruction.
    let mut r = [0.0; LANES];
    for l in 0..LANES {
        r[l] = a[l].mul_add(b[l], c[l]);
    }
    r
}

/// The same of operands of either width.
#[inline(always)]
pub(super) fn fma_mix(a: &[Mix; LANES], b: &[Mix; LANES], c: &[Mix; LANES]) -> [f32; LANES] {
    let mut r = [0.0; LANES];
    for l in 0..LANES {
        r[l] = a[l].0.mul_add(b[l].0, c[l].0);
    }
    r
}

/// The same, rounded again to f16.
#[inline(always)]
pub(super) fn fma_mix_16(a: &[Mix; LANES], b: &[Mix; LANES], c: &[Mix; LANES]) -> [F16; LANES] {
    each(&fma_mix(a, b, c), F16)
}

/// `a * b + c` of f16 values, as an f32 that rounds to the right f16.
pub(super) fn fma_16(a: f32, b: f32, c: f32) -> f32 {
    // The product is exact in f64. The sum's rounding error is put back as a sticky bit, and so again on the
    // way to f32, so that the last rounding is the only one.
    let (product, c) = (a as f64 * b as f64, c as f64);
    let sum = product + c;
    if !sum.is_finite() {
        return sum as f32;
    }
    let part = sum - product;
    let error = (product - (sum - part)) + (c - part);
    odd_32(odd(sum, error))
}

/// Rounds to odd a sum of which `error` was lost.
fn odd(sum: f64, error: f64) -> f64 {
    if error == 0.0 || sum.to_bits() & 1 == 1 {
        return sum;
    }
    let away = (error > 0.0) == (sum > 0.0);
    f64::from_bits(if away { sum.to_bits() + 1 } else { sum.to_bits() - 1 })
}

/// f64 to f32, rounded to odd.
fn odd_32(x: f64) -> f32 {
    let y = x as f32;
    if y as f64 == x || y.to_bits() & 1 == 1 || !y.is_finite() {
        return y;
    }
    let away = (x.abs() > (y as f64).abs()) as u32;
    f32::from_bits(if away == 1 { y.to_bits() + 1 } else { y.to_bits() - 1 })
}

/// A NaN that does not signal, of the same payload.
fn quiet_32(x: f32) -> f32 {
    f32::from_bits(x.to_bits() | 0x0040_0000)
}

fn signals_32(x: f32) -> bool {
    x.is_nan() && x.to_bits() & 0x0040_0000 == 0
}

fn signals_64(x: f64) -> bool {
    x.is_nan() && x.to_bits() & 1 << 51 == 0
}

macro_rules! extreme {
    ($name:ident, $t:ty, $signals:ident, $quiet:expr, $first:expr) => {
        /// The extreme of two numbers, of a NaN and a number the number; -0 is below 0.
        pub(super) fn $name(a: $t, b: $t, mode: Mode) -> $t {
            let first: fn($t, $t) -> bool = $first;
            match () {
                () if mode.ieee && $signals(a) => $quiet(a),
                () if mode.ieee && $signals(b) => $quiet(b),
                () if a.is_nan() => b,
                () if b.is_nan() => a,
                () if a == 0.0 && b == 0.0 => match first(a.signum(), b.signum()) {
                    true => a,
                    false => b,
                },
                () if first(a, b) => a,
                () => b,
            }
        }
    };
}
extreme!(min_32, f32, signals_32, quiet_32, |a, b| a < b);
extreme!(max_32, f32, signals_32, quiet_32, |a, b| a > b);
extreme!(min_64, f64, signals_64, |x: f64| f64::from_bits(x.to_bits() | 1 << 51), |a, b| a < b);
extreme!(max_64, f64, signals_64, |x: f64| f64::from_bits(x.to_bits() | 1 << 51), |a, b| a > b);

/// The middle one of three; with a NaN among them the minimum.
pub(super) fn med3_32(a: f32, b: f32, c: f32, mode: Mode) -> f32 {
    if a.is_nan() || b.is_nan() || c.is_nan() {
        return min_32(min_32(a, b, mode), c, mode);
    }
    let highest = max_32(max_32(a, b, mode), c, mode);
    match () {
        () if highest == a => max_32(b, c, mode),
        () if highest == b => max_32(a, c, mode),
        () => max_32(a, b, mode),
    }
}

/// A product in which 0 times anything is 0.
pub(super) fn mul_dx9(a: f32, b: f32) -> f32 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

/// Denormal f32 as 0 of its sign: what the transcendental unit reads and gives.
fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

/// A function of that unit, here worked out in f64 and rounded once; the hardware's last bit is its own.
fn transcendental(x: f32, f: fn(f64) -> f64) -> f32 {
    flush(f(flush(x) as f64) as f32)
}

pub(super) fn exp2(x: f32) -> f32 {
    transcendental(x, f64::exp2)
}

pub(super) fn log2(x: f32) -> f32 {
    transcendental(x, f64::log2)
}

pub(super) fn rcp(x: f32) -> f32 {
    transcendental(x, |x| 1.0 / x)
}

pub(super) fn rsq(x: f32) -> f32 {
    transcendental(x, |x| 1.0 / x.sqrt())
}

pub(super) fn sqrt(x: f32) -> f32 {
    transcendental(x, f64::sqrt)
}

/// The sine of `x` turns.
pub(super) fn sin(x: f32) -> f32 {
    transcendental(x, |x| (x.fract() * std::f64::consts::TAU).sin())
}

/// The cosine of `x` turns.
pub(super) fn cos(x: f32) -> f32 {
    transcendental(x, |x| (x.fract() * std::f64::consts::TAU).cos())
}

/// What is above the next lower integer, less than 1.
pub(super) fn fract_32(x: f32) -> f32 {
    let rest = x - x.floor();
    if rest >= 1.0 { f32::from_bits(0x3f7f_ffff) } else { rest }
}

/// See [`fract_32`]; of an f16, which stays below 1 when it is rounded.
pub(super) fn fract_16(x: f32) -> f32 {
    let rest = x - x.floor();
    if rest > widen(0x3bff) { widen(0x3bff) } else { rest }
}

/// See [`fract_32`].
pub(super) fn fract_64(x: f64) -> f64 {
    let rest = x - x.floor();
    if rest >= 1.0 { f64::from_bits(0x3fef_ffff_ffff_ffff) } else { rest }
}

/// `x * 2^exponent`, rounded once.
pub(super) fn ldexp_64(x: f64, exponent: i32) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    // As normal steps that are exact, and one last that rounds.
    let mut e = exponent.clamp(-2200, 2200);
    let mut y = x;
    while e > 1000 {
        y *= 2f64.powi(1000);
        e -= 1000;
    }
    // Downwards from a number that is scaled up first, so that all but the last step are exact.
    if e < -900 {
        let (mantissa, own) = split(y);
        let total = own + e;
        return match total {
            ..-1080 => 0f64.copysign(x),
            -1080..-1000 => (mantissa * 2f64.powi(total + 1000)) * 2f64.powi(-1000),
            _ => mantissa * 2f64.powi(total),
        };
    }
    y * 2f64.powi(e)
}

/// A mantissa of 1 to 2 with its sign, and the exponent.
fn split(x: f64) -> (f64, i32) {
    let (x, shift) = if x.is_subnormal() { (x * 2f64.powi(64), -64) } else { (x, 0) };
    let exponent = (x.to_bits() >> 52 & 0x7ff) as i32 - 1023;
    (f64::from_bits(x.to_bits() & !(0x7ff << 52) | 1023 << 52), exponent + shift)
}

/// `x * 2^exponent`, rounded once.
pub(super) fn ldexp_32(x: f32, exponent: i32) -> f32 {
    // Exact in f64, whose range is far wider.
    (x as f64 * 2f64.powi(exponent.clamp(-600, 600))) as f32
}

/// The exponent that makes the mantissa 0.5 to 1; 0 of what has none.
pub(super) fn frexp_exp(x: f64) -> i32 {
    if x == 0.0 || !x.is_finite() { 0 } else { split(x).1 + 1 }
}

/// That mantissa.
pub(super) fn frexp_mant(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() { x } else { split(x).0 / 2.0 }
}

/// The classes of `v_cmp_class`, a bit each: signalling NaN, quiet NaN, then negative infinity, normal,
/// denormal, zero, then positive zero, denormal, normal, infinity.
pub(super) fn class_32(x: f32, mask: u32) -> bool {
    class(x.classify(), x.is_sign_negative(), signals_32(x), mask)
}

/// See [`class_32`].
pub(super) fn class_64(x: f64, mask: u32) -> bool {
    class(x.classify(), x.is_sign_negative(), signals_64(x), mask)
}

/// See [`class_32`].
pub(super) fn class_16(bits: u16, mask: u32) -> bool {
    let category = match (bits & 0x7fff, bits & 0x7c00) {
        (0, _) => std::num::FpCategory::Zero,
        (_, 0) => std::num::FpCategory::Subnormal,
        _ => widen(bits).classify(),
    };
    class(category, bits >> 15 != 0, bits & 0x200 == 0, mask)
}

fn class(category: std::num::FpCategory, negative: bool, signals: bool, mask: u32) -> bool {
    use std::num::FpCategory::*;
    let bit = match (category, negative) {
        (Nan, _) => !signals as u32,
        (Infinite, true) => 2,
        (Normal, true) => 3,
        (Subnormal, true) => 4,
        (Zero, true) => 5,
        (Zero, false) => 6,
        (Subnormal, false) => 7,
        (Normal, false) => 8,
        (Infinite, false) => 9,
    };
    mask >> bit & 1 != 0
}

/// The exponent field.
fn exponent(x: f32) -> i32 {
    (x.to_bits() >> 23 & 0xff) as i32
}

/// `v_div_scale_f32`: an operand of a division scaled so that nothing on the way under- or overflows, and
/// whether the quotient must be scaled back. `s0` is the one to scale: `s1` the denominator or `s2` the numerator.
pub(super) fn div_scale_32(s0: f32, s1: f32, s2: f32) -> (f32, bool) {
    let same = |a: f32, b: f32| a.to_bits() == b.to_bits();
    let tiny_inverse = (1.0 / s1 as f64).abs() < f32::MIN_POSITIVE as f64;
    let quotient = s2 as f64 / s1 as f64;
    let tiny_quotient = quotient != 0.0 && quotient.abs() < f32::MIN_POSITIVE as f64;
    match () {
        () if s2 == 0.0 || s1 == 0.0 => (f32::NAN, false),
        () if exponent(s2) - exponent(s1) >= 96 => (if same(s0, s1) { ldexp_32(s0, 64) } else { s0 }, true),
        () if s1.is_subnormal() => (ldexp_32(s0, 64), false),
        // The document scales up here, which for a denominator whose inverse is tiny makes no sense.
        () if tiny_inverse && tiny_quotient => (if same(s0, s1) { ldexp_32(s0, -64) } else { s0 }, true),
        () if tiny_inverse => (ldexp_32(s0, -64), false),
        () if tiny_quotient => (if same(s0, s2) { ldexp_32(s0, 64) } else { s0 }, true),
        () if exponent(s2) <= 23 => (ldexp_32(s0, 64), false),
        () => (s0, false),
    }
}

/// `v_div_fmas_f32` where `v_div_scale_f32` said that the quotient was scaled: undone by 2^64, upward for large
/// quotients. (The document says 2^32, which undoes nothing that it scales by.)
pub(super) fn div_fmas_32(s0: f32, s1: f32, s2: f32) -> f32 {
    let scale = if exponent(s2) > 127 { 64 } else { -64 };
    let (product, c) = (s0 as f64 * s1 as f64, s2 as f64);
    let sum = product + c;
    let part = sum - product;
    let error = (product - (sum - part)) + (c - part);
    if sum.is_finite() && error.is_finite() {
        // Rounded once, after the scaling.
        return (odd(sum, error) * 2f64.powi(scale)) as f32;
    }
    (sum * 2f64.powi(scale)) as f32
}

/// `v_div_fixup_f32`: the special cases of `s2 / s1`, of which `s0` is the quotient otherwise.
pub(super) fn div_fixup_32(s0: f32, s1: f32, s2: f32) -> f32 {
    let negative = s1.is_sign_negative() != s2.is_sign_negative();
    let signed = |x: f32| if negative { -x } else { x };
    match () {
        () if s2.is_nan() => quiet_32(s2),
        () if s1.is_nan() => quiet_32(s1),
        () if s1 == 0.0 && s2 == 0.0 || s1.is_infinite() && s2.is_infinite() => f32::from_bits(0xffc0_0000),
        () if s1 == 0.0 || s2.is_infinite() => signed(f32::INFINITY),
        () if s1.is_infinite() || s2 == 0.0 => signed(0.0),
        () if exponent(s2) - exponent(s1) < -150 => signed(0.0),
        // Overflow, which the steps before turn to a NaN. The document's condition for it is one of a NaN.
        () if exponent(s2) - exponent(s1) > 150 => signed(f32::INFINITY),
        () => signed(s0.abs()),
    }
}
