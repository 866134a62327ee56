//! Matrix multiply-accumulate: 16 by 16 sums of 16 products.
//!
//! In a wave of 32 lane `l` holds row `l % 16` of A and column `l % 16` of B, both halves of the wave the
//! same; the sum of row `2 * i + l / 16` and column `l % 16` is in register `i` of lane `l`.

use super::lanes::{has_wide, widen};
use super::vop3p::is_signed;
use super::{Fault, File, Inst};
use crate::wave::{LANES, Lanes, Wave};

/// An executor.
pub(super) type Run = fn(&mut Wave, &Inst) -> Result<(), Fault>;

/// Elements of a row of A or a column of B.
const DEPTH: usize = 16;

/// Rows and columns.
const SIDE: usize = 16;

/// The words of operand `n`, a row of A or a column of B after the other.
fn words(wave: &Wave, inst: &Inst, n: usize) -> Result<[[u32; 8]; SIDE], Fault> {
    if wave.exec() != !0 {
        return Err(Fault::Unsupported("a matrix instruction while some lanes are not active"));
    }
    let o = inst.src[n];
    if o.file != File::Vector {
        return Err(Fault::Unsupported("a matrix that is a constant"));
    }
    let mut words = [[0; 8]; SIDE];
    for r in 0..o.registers() as usize {
        let register = &wave.v[o.number as usize + r];
        if register[..SIDE] != register[SIDE..] {
            return Err(Fault::Unsupported("a matrix whose copies in the two halves of the wave differ"));
        }
        for lane in 0..SIDE {
            words[lane][r] = register[lane];
        }
    }
    Ok(words)
}

/// What is added to, as its registers hold it, in register `i`.
fn addend(wave: &Wave, inst: &Inst, i: usize) -> Lanes {
    let o = inst.src[2];
    if o.file == File::Vector { wave.v[o.number as usize + i] } else { [o.value as u32; LANES] }
}

/// Works out every sum and writes them: a row of sums at a time, from that row of A, all of B (`[depth][column]`)
/// and what is added to.
#[inline(always)]
fn multiply<T: Copy>(
    wave: &mut Wave,
    inst: &Inst,
    a: &[[T; DEPTH]; SIDE],
    b: &[[T; SIDE]; DEPTH],
    sums: impl Fn(&[T; DEPTH], &[[T; SIDE]; DEPTH], &[u32]) -> [u32; SIDE],
) {
    let mut result = [[0; LANES]; 8];
    for (i, register) in result.iter_mut().enumerate() {
        let c = addend(wave, inst, i);
        for half in 0..2 {
            let lanes = SIDE * half..SIDE * (half + 1);
            register[lanes.clone()].copy_from_slice(&sums(&a[2 * i + half], b, &c[lanes]));
        }
    }
    let first = inst.dst.number as usize;
    wave.v[first..first + 8].copy_from_slice(&result);
}

/// Sums of f32: the products are exact in f64, are added there in order, and rounded once. The hardware's
/// order and rounding on the way are not published.
#[inline(always)]
fn float(wave: &mut Wave, inst: &Inst, widen: impl Fn(u16) -> f32) -> Result<(), Fault> {
    if inst.mods.neg != 0 || inst.mods.abs != 0 {
        return Err(Fault::Unsupported("a modifier of a matrix of floats"));
    }
    let element = |row: &[u32; 8], k: usize| widen((row[k / 2] >> (16 * (k % 2))) as u16) as f64;
    let (a, b) = (words(wave, inst, 0)?, words(wave, inst, 1)?);
    let (mut wide_a, mut wide_b) = ([[0.0; DEPTH]; SIDE], [[0.0; SIDE]; DEPTH]);
    for n in 0..SIDE {
        for k in 0..DEPTH {
            wide_a[n][k] = element(&a[n], k);
            wide_b[k][n] = element(&b[n], k);
        }
    }
    multiply(wave, inst, &wide_a, &wide_b, |a, b, c| {
        let mut sums = [0.0; SIDE];
        for n in 0..SIDE {
            sums[n] = f32::from_bits(c[n]) as f64;
        }
        for k in 0..DEPTH {
            for n in 0..SIDE {
                sums[n] += a[k] * b[k][n];
            }
        }
        sums.map(|s| (s as f32).to_bits())
    });
    Ok(())
}

/// Sums of integers of `bits` bits; `neg_lo` says which operand has a sign, `clamp` that sums saturate.
#[inline(always)]
fn integer(wave: &mut Wave, inst: &Inst, bits: usize) -> Result<(), Fault> {
    let per = 32 / bits;
    let shift = 32 - bits as u32;
    let element = |row: &[u32; 8], k: usize, signed: bool| {
        let high = row[k / per] << (shift - (k % per * bits) as u32);
        if signed { high as i32 >> shift } else { (high >> shift) as i32 }
    };
    let (a, b) = (words(wave, inst, 0)?, words(wave, inst, 1)?);
    let (a_signed, b_signed) = (is_signed(inst, 0), is_signed(inst, 1));
    let (mut wide_a, mut wide_b) = ([[0i32; DEPTH]; SIDE], [[0i32; SIDE]; DEPTH]);
    for n in 0..SIDE {
        for k in 0..DEPTH {
            wide_a[n][k] = element(&a[n], k, a_signed);
            wide_b[k][n] = element(&b[n], k, b_signed);
        }
    }
    let clamp = inst.mods.clamp;
    multiply(wave, inst, &wide_a, &wide_b, |a, b, c| {
        let mut sums = [0i32; SIDE];
        for k in 0..DEPTH {
            for n in 0..SIDE {
                sums[n] += a[k] * b[k][n];
            }
        }
        std::array::from_fn(|n| {
            let c = c[n] as i32;
            (if clamp { c.saturating_add(sums[n]) } else { c.wrapping_add(sums[n]) }) as u32
        })
    });
    Ok(())
}

/// An instruction, compiled for any processor and for those with 256-bit registers.
macro_rules! both {
    ($(#[$doc:meta])* $name:ident, |$w:ident, $i:ident| $e:expr) => {
        $(#[$doc])*
        pub(super) fn $name($w: &mut Wave, $i: &Inst) -> Result<(), Fault> {
            #[cfg(target_arch = "x86_64")]
            if has_wide() {
                #[target_feature(enable = "avx2,fma")]
                fn wide($w: &mut Wave, $i: &Inst) -> Result<(), Fault> {
                    $e
                }
                // SAFETY: the processor has the registers, as just asked.
                return unsafe { wide($w, $i) };
            }
            $e
        }
    };
}

both!(
    /// `v_wmma_f32_16x16x16_f16`.
    f16, |wave, inst| float(wave, inst, widen)
);
both!(
    /// `v_wmma_f32_16x16x16_bf16`.
    bf16, |wave, inst| float(wave, inst, |bits| f32::from_bits((bits as u32) << 16))
);
both!(
    /// `v_wmma_i32_16x16x16_iu8`.
    iu8, |wave, inst| integer(wave, inst, 8)
);
both!(
    /// `v_wmma_i32_16x16x16_iu4`.
    iu4, |wave, inst| integer(wave, inst, 4)
);
