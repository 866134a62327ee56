//! What the tables of vector instructions are made of: reading an operand in all lanes with its modifiers,
//! writing a result in the active ones.

use super::{File, Inst, Kind};
use crate::wave::{LANES, Lanes, Wave};

/// A type that vector instructions compute with.
pub(super) trait Elem: Copy + Default {
    /// What it is as an operand.
    const KIND: Kind;
    /// It is a float: its sign can be changed on the way in, and it can be clamped on the way out.
    const FLOAT: bool = false;
    /// Operand `n` in all lanes, active or not, its modifiers applied.
    fn get(wave: &Wave, inst: &Inst, n: usize) -> [Self; LANES];
    /// Writes the result in the active lanes, its modifiers applied.
    fn put(wave: &mut Wave, inst: &Inst, result: [Self; LANES]);
}

/// f16 as an operand; f32 while it is computed with.
#[derive(Clone, Copy, Default)]
pub(super) struct F16(pub f32);

/// The bits of half a register.
#[derive(Clone, Copy, Default)]
pub(super) struct Half(pub u16);

/// Two f16 in a register, the low one first, as f32.
#[derive(Clone, Copy, Default)]
pub(super) struct Pair(pub f32, pub f32);

/// Two u16 in a register, the low one first.
#[derive(Clone, Copy, Default)]
pub(super) struct PairU(pub u16, pub u16);

/// f32, or half a register of f16, as the modifiers of a mixed-precision instruction say.
#[derive(Clone, Copy, Default)]
pub(super) struct Mix(pub f32);

/// A value for every lane. Like `std::array::from_fn`, but always inlined, so that it is compiled for the
/// processor that its caller is compiled for.
#[inline(always)]
pub(super) fn make<T: Copy + Default>(f: impl Fn(usize) -> T) -> [T; LANES] {
    let mut r = [T::default(); LANES];
    for (l, to) in r.iter_mut().enumerate() {
        *to = f(l);
    }
    r
}

/// The same function of every lane's value.
#[inline(always)]
pub(super) fn each<T: Copy, U: Copy + Default>(x: &[T; LANES], f: impl Fn(T) -> U) -> [U; LANES] {
    make(|l| f(x[l]))
}

/// Register `offset` of operand `n`, or the constant's low (0) or high (1) word.
#[inline(always)]
pub(super) fn raw(wave: &Wave, inst: &Inst, n: usize, offset: usize) -> Lanes {
    let o = &inst.src[n];
    if n == 0 && inst.dpp.is_some() {
        return wave.moved;
    }
    match o.file {
        File::Vector => wave.v[o.number as usize + offset],
        File::Scalar if o.number == crate::sgpr::NULL => [0; LANES],
        File::Scalar => [wave.s[o.number as usize + offset]; LANES],
        _ => [(o.value >> (32 * offset)) as u32; LANES],
    }
}

/// Writes the active lanes of register `offset` of the result.
#[inline(always)]
pub(super) fn put_raw(wave: &mut Wave, inst: &Inst, offset: usize, result: &Lanes) {
    let exec = wave.exec();
    let to = &mut wave.v[inst.dst.number as usize + offset];
    if exec == !0 {
        *to = *result;
    } else {
        for lane in 0..LANES {
            let active = exec & 1 << lane != 0;
            to[lane] = if active { result[lane] } else { to[lane] };
        }
    }
}

/// Bit `n` of a modifier.
#[inline(always)]
fn bit(bits: u8, n: usize) -> bool {
    bits >> n & 1 != 0
}

macro_rules! plain {
    ($t:ty) => {
        impl Elem for $t {
            const KIND: Kind = Kind::B32;
            #[inline(always)]
            fn get(wave: &Wave, inst: &Inst, n: usize) -> [Self; LANES] {
                each(&raw(wave, inst, n, 0), |x| x as $t)
            }
            #[inline(always)]
            fn put(wave: &mut Wave, inst: &Inst, result: [Self; LANES]) {
                put_raw(wave, inst, 0, &each(&result, |x| x as u32));
            }
        }
    };
}
plain!(u32);
plain!(i32);

macro_rules! wide {
    ($t:ty, $kind:ident) => {
        impl Elem for $t {
            const KIND: Kind = Kind::$kind;
            #[inline(always)]
            fn get(wave: &Wave, inst: &Inst, n: usize) -> [Self; LANES] {
                let (low, high) = (raw(wave, inst, n, 0), raw(wave, inst, n, 1));
                make(|l| (low[l] as u64 | (high[l] as u64) << 32) as $t)
            }
            #[inline(always)]
            fn put(wave: &mut Wave, inst: &Inst, result: [Self; LANES]) {
                put_raw(wave, inst, 0, &each(&result, |x| x as u32));
                put_raw(wave, inst, 1, &each(&result, |x| (x as u64 >> 32) as u32));
            }
        }
    };
}
wide!(u64, B64);
wide!(i64, I64);

/// Zero of the same sign for a denormal.
#[inline(always)]
fn flush_32(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

#[inline(always)]
fn flush_64(x: f64) -> f64 {
    if x.is_subnormal() { 0f64.copysign(x) } else { x }
}

/// The f16 among f32 that are denormal are flushed at this magnitude.
#[inline(always)]
fn flush_16(x: f32) -> f32 {
    if x.abs() < f32::from_bits(0x3880_0000) { 0f32.copysign(x) } else { x }
}

/// Multiplies and clamps a result.
macro_rules! output {
    ($name:ident, $t:ty) => {
        #[inline(always)]
        fn $name(wave: &Wave, inst: &Inst, result: &mut [$t; LANES]) {
            if inst.mods.omod != 0 {
                let factor = [1.0, 2.0, 4.0, 0.5][inst.mods.omod as usize & 3];
                for x in result.iter_mut() {
                    *x *= factor;
                }
            }
            if inst.mods.clamp {
                for x in result.iter_mut() {
                    *x = match x.is_nan() {
                        true if wave.mode.dx10_clamp => 0.0,
                        true => *x,
                        false => x.clamp(0.0, 1.0) + 0.0,
                    };
                }
            }
        }
    };
}
output!(output_32, f32);
output!(output_64, f64);

/// The absolute value, then the negative, of f32 bits.
#[inline(always)]
fn signs_32(bits: &mut Lanes, inst: &Inst, n: usize) {
    if inst.mods.abs | inst.mods.neg != 0 {
        let keep = if bit(inst.mods.abs, n) { 0x7fff_ffff } else { !0 };
        let flip = if bit(inst.mods.neg, n) { 0x8000_0000 } else { 0 };
        for x in bits.iter_mut() {
            *x = *x & keep ^ flip;
        }
    }
}

impl Elem for f32 {
    const KIND: Kind = Kind::B32;
    const FLOAT: bool = true;
    #[inline(always)]
    fn get(wave: &Wave, inst: &Inst, n: usize) -> [Self; LANES] {
        let mut bits = raw(wave, inst, n, 0);
        signs_32(&mut bits, inst, n);
        let mut x = each(&bits, f32::from_bits);
        if !wave.mode.denormals_32_in {
            x = each(&x, flush_32);
        }
        x
    }
    #[inline(always)]
    fn put(wave: &mut Wave, inst: &Inst, mut result: [Self; LANES]) {
        output_32(wave, inst, &mut result);
        if !wave.mode.denormals_32_out {
            result = each(&result, flush_32);
        }
        put_raw(wave, inst, 0, &each(&result, f32::to_bits));
    }
}

impl Elem for f64 {
    const KIND: Kind = Kind::F64;
    const FLOAT: bool = true;
    #[inline(always)]
    fn get(wave: &Wave, inst: &Inst, n: usize) -> [Self; LANES] {
        let low = raw(wave, inst, n, 0);
        let mut high = raw(wave, inst, n, 1);
        signs_32(&mut high, inst, n);
        let mut x: [f64; LANES] = make(|l| f64::from_bits(low[l] as u64 | (high[l] as u64) << 32));
        if !wave.mode.denormals_16_64_in {
            x = each(&x, flush_64);
        }
        x
    }
    #[inline(always)]
    fn put(wave: &mut Wave, inst: &Inst, mut result: [Self; LANES]) {
        output_64(wave, inst, &mut result);
        if !wave.mode.denormals_16_64_out {
            result = each(&result, flush_64);
        }
        put_raw(wave, inst, 0, &each(&result, |x| x.to_bits() as u32));
        put_raw(wave, inst, 1, &each(&result, |x| (x.to_bits() >> 32) as u32));
    }
}

/// The half of operand `n` that is meant.
#[inline(always)]
fn half_of(wave: &Wave, inst: &Inst, n: usize) -> [u16; LANES] {
    let high = bit(inst.mods.op_sel, n) || inst.src[n].high;
    let shift = if high && inst.src[n].file != File::Inline { 16 } else { 0 };
    each(&raw(wave, inst, n, 0), |x| (x >> shift) as u16)
}

/// Writes the half of the result that is meant, and keeps the other.
#[inline(always)]
fn put_half(wave: &mut Wave, inst: &Inst, result: [u16; LANES]) {
    let before = wave.v[inst.dst.number as usize];
    let merged = match bit(inst.mods.op_sel, 3) || inst.dst.high {
        true => make(|l| before[l] & 0xffff | (result[l] as u32) << 16),
        false => make(|l| before[l] & 0xffff_0000 | result[l] as u32),
    };
    put_raw(wave, inst, 0, &merged);
}

macro_rules! halves {
    ($t:ty, $from:expr, $to:expr) => {
        impl Elem for $t {
            const KIND: Kind = Kind::B16;
            #[inline(always)]
            fn get(wave: &Wave, inst: &Inst, n: usize) -> [Self; LANES] {
                each(&half_of(wave, inst, n), $from)
            }
            #[inline(always)]
            fn put(wave: &mut Wave, inst: &Inst, result: [Self; LANES]) {
                put_half(wave, inst, each(&result, $to));
            }
        }
    };
}
halves!(u16, |x| x, |x| x);
halves!(i16, |x| x as i16, |x| x as u16);
halves!(Half, Half, |x: Half| x.0);

/// f16 to f32, exact.
#[inline(always)]
pub(super) fn widen(bits: u16) -> f32 {
    // The exponent's bias differs by 112; the product is exact, denormals included.
    let magnitude = f32::from_bits(((bits & 0x7fff) as u32) << 13) * f32::from_bits(0x7780_0000);
    // Of an infinity or a NaN it has the right mantissa.
    let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | special | ((bits & 0x8000) as u32) << 16)
}

/// f32 to f16, to nearest even. Without branches or calls, so that it becomes vector code.
#[inline(always)]
pub(super) fn narrow(x: f32) -> u16 {
    let bits = x.to_bits() & 0x7fff_ffff;
    // Half of the lowest bit that stays is added, less one if that bit is even; the exponent's bias differs by 112.
    let normal = (bits.wrapping_add(0xfff + (bits >> 13 & 1)) >> 13).wrapping_sub(112 << 10);
    // Next to 0.5 a f32 has the steps of a denormal f16, so the sum is rounded as the result has to be.
    let denormal = (f32::from_bits(bits) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let finite = if bits < 0x3880_0000 { denormal } else { normal };
    let finite = if bits >= 0x477f_f000 { 0x7c00 } else { finite };
    let nan = 0x7e00 | bits >> 13 & 0x3ff;
    (if bits > 0x7f80_0000 { nan } else { finite }) as u16 | (x.to_bits() >> 16) as u16 & 0x8000
}

impl Elem for F16 {
    const KIND: Kind = Kind::B16;
    const FLOAT: bool = true;
    #[inline(always)]
    fn get(wave: &Wave, inst: &Inst, n: usize) -> [Self; LANES] {
        let mut bits = each(&half_of(wave, inst, n), |x| widen(x).to_bits());
        signs_32(&mut bits, inst, n);
        let mut x = each(&bits, f32::from_bits);
        if !wave.mode.denormals_16_64_in {
            x = each(&x, flush_16);
        }
        each(&x, F16)
    }
    #[inline(always)]
    fn put(wave: &mut Wave, inst: &Inst, result: [Self; LANES]) {
        let mut x = each(&result, |x| x.0);
        output_32(wave, inst, &mut x);
        let mut bits = each(&x, narrow);
        if !wave.mode.denormals_16_64_out {
            bits = each(&bits, |b| if b & 0x7c00 == 0 { b & 0x8000 } else { b });
        }
        put_half(wave, inst, bits);
    }
}

/// The two halves of operand `n` as `op_sel` (for the low result) and `op_sel_hi` choose them.
#[inline(always)]
fn pair_of(wave: &Wave, inst: &Inst, n: usize) -> [(u16, u16); LANES] {
    let low = if bit(inst.mods.op_sel, n) { 16 } else { 0 };
    let high = if bit(inst.mods.op_sel_hi, n) { 16 } else { 0 };
    each(&raw(wave, inst, n, 0), |x| ((x >> low) as u16, (x >> high) as u16))
}

impl Elem for PairU {
    const KIND: Kind = Kind::Pk16;
    #[inline(always)]
    fn get(wave: &Wave, inst: &Inst, n: usize) -> [Self; LANES] {
        each(&pair_of(wave, inst, n), |(low, high)| PairU(low, high))
    }
    #[inline(always)]
    fn put(wave: &mut Wave, inst: &Inst, result: [Self; LANES]) {
        put_raw(wave, inst, 0, &each(&result, |x| x.0 as u32 | (x.1 as u32) << 16));
    }
}

impl Elem for Pair {
    const KIND: Kind = Kind::Pk16;
    const FLOAT: bool = true;
    #[inline(always)]
    fn get(wave: &Wave, inst: &Inst, n: usize) -> [Self; LANES] {
        // By its bit: arithmetic would quiet a signalling NaN.
        let sign = |negative: bool| if negative { 1u32 << 31 } else { 0 };
        let (low, high) = (sign(bit(inst.mods.neg, n)), sign(bit(inst.mods.abs, n)));
        let flush = |x: f32| if wave.mode.denormals_16_64_in { x } else { flush_16(x) };
        let part = |bits: u16, sign: u32| f32::from_bits(flush(widen(bits)).to_bits() ^ sign);
        each(&pair_of(wave, inst, n), |(a, b)| Pair(part(a, low), part(b, high)))
    }
    #[inline(always)]
    fn put(wave: &mut Wave, inst: &Inst, result: [Self; LANES]) {
        let (mut low, mut high) = (each(&result, |x| x.0), each(&result, |x| x.1));
        output_32(wave, inst, &mut low);
        output_32(wave, inst, &mut high);
        let flush = |b: u16| if !wave.mode.denormals_16_64_out && b & 0x7c00 == 0 { b & 0x8000 } else { b };
        let bits = make(|l| flush(narrow(low[l])) as u32 | (flush(narrow(high[l])) as u32) << 16);
        put_raw(wave, inst, 0, &bits);
    }
}

impl Elem for Mix {
    const KIND: Kind = Kind::Mix;
    const FLOAT: bool = true;
    #[inline(always)]
    fn get(wave: &Wave, inst: &Inst, n: usize) -> [Self; LANES] {
        let mut bits = raw(wave, inst, n, 0);
        if bit(inst.mods.op_sel_hi, n) {
            let shift = if bit(inst.mods.op_sel, n) { 16 } else { 0 };
            bits = each(&bits, |x| widen((x >> shift) as u16).to_bits());
        }
        signs_32(&mut bits, inst, n);
        each(&bits, |x| Mix(f32::from_bits(x)))
    }
    fn put(_: &mut Wave, _: &Inst, _: [Self; LANES]) {
        unreachable!("no instruction has a result of either width")
    }
}

/// An executor of all lanes, compiled twice: for any processor, and for those with 256-bit registers.
macro_rules! both {
    (|$w:ident, $i:ident| $e:expr) => {{
        #[inline(always)]
        fn plain($w: &mut crate::wave::Wave, $i: &super::Inst) {
            $e
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn wide(w: &mut crate::wave::Wave, i: &super::Inst) {
            plain(w, i)
        }
        #[cfg(not(target_arch = "x86_64"))]
        use plain as wide;
        super::Exec::Lanes { plain, wide }
    }};
}
pub(super) use both;

/// The processor can run what [`both`] compiles for 256-bit registers.
pub(super) fn has_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        true
    }
}

/// A table of vector instructions. A line is
///
/// ```text
/// code name (operands; mode) -> result [flags]: class = value;
/// code name [operands] -> result [flags]: class = function of whole registers;
/// ```
///
/// An operand's type says how it is read. `mode`, if asked for by a name, is the mode register.
macro_rules! valu {
    (@class) => { Class::Vector };
    (@class $class:ident) => { Class::$class };
    (@run $w:ident $i:ident ($($a:ident: $t:ty),*; $($m:ident)?) -> $r:ty, $e:expr) => {{
        $(let $m = $w.mode;)?
        let n = 0usize;
        $(let $a = <$t as Elem>::get($w, $i, n); let n = n + 1;)*
        let _ = n;
        let mut r = [<$r>::default(); LANES];
        for l in 0..LANES {
            $(let $a = $a[l];)*
            r[l] = $e;
        }
        <$r as Elem>::put($w, $i, r)
    }};
    (@run $w:ident $i:ident [$($a:ident: $t:ty),*; ] -> $r:ty, $e:expr) => {{
        let n = 0usize;
        $(let $a = <$t as Elem>::get($w, $i, n); let n = n + 1;)*
        let _ = n;
        <$r as Elem>::put($w, $i, $e($(&$a),*))
    }};
    (@op $encoding:ident $code:literal $name:ident ($($a:ident: $t:ty),*; $($m:ident)?) -> $r:ty, ($($flag:ident)*), ($($class:ident)?), $run:expr) => {
        Op {
            code: $code,
            name: stringify!($name),
            encoding: Encoding::$encoding,
            dst: <$r as Elem>::KIND,
            dst2: Kind::None,
            src: super::kinds(&[$(<$t as Elem>::KIND),*]),
            class: valu!(@class $($class)?),
            flags: 0 $(| flag::$flag)*
                | if <$r as Elem>::FLOAT { flag::CLAMPS } else { 0 }
                | if false $(|| <$t as Elem>::FLOAT)* { flag::SIGNS } else { 0 },
            exec: $run,
        }
    };
    ($encoding:ident: $($code:literal $name:ident ($($a:ident: $t:ty),* $(; $m:ident)?) -> $r:ty $([$($flag:ident)|+])? $(: $class:ident)? = $e:expr;)*) => {
        &[$(valu!(@op $encoding $code $name ($($a: $t),*; $($m)?) -> $r, ($($($flag)+)?), ($($class)?),
            super::lanes::both!(|w, i| valu!(@run w i ($($a: $t),*; $($m)?) -> $r, $e)))),*]
    };
    (whole $encoding:ident: $($code:literal $name:ident ($($a:ident: $t:ty),*) -> $r:ty $([$($flag:ident)|+])? $(: $class:ident)? = $e:expr;)*) => {
        &[$(valu!(@op $encoding $code $name ($($a: $t),*;) -> $r, ($($($flag)+)?), ($($class)?),
            super::lanes::both!(|w, i| valu!(@run w i [$($a: $t),*; ] -> $r, $e)))),*]
    };
}
pub(super) use valu;

#[cfg(test)]
mod tests {
    use super::{narrow, widen};
    use half::f16;

    #[test]
    fn halves_are_widened_and_narrowed_as_by_definition() {
        for bits in 0..=u16::MAX {
            let exact = f16::from_bits(bits).to_f32();
            assert!(widen(bits) == exact || exact.is_nan() && widen(bits).is_nan(), "{bits:#x}");
            // It, what lies half a step from it, and the neighbours of these.
            for middle in [0, 0x1000, 0x800] {
                for near in [-1i32, 0, 1] {
                    let x = f32::from_bits((exact.to_bits() + middle).wrapping_add_signed(near));
                    assert_eq!(narrow(x), f16::from_f32(x).to_bits(), "{:#x}", x.to_bits());
                }
            }
        }
    }
}
