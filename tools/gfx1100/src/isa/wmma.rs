//! Matrix multiply-accumulate: 16 by 16 sums of 16 products.
//!
//! In a wave of 32 lane `l` holds row `l % 16` of A and column `l % 16` of B, both halves of the wave the
//! same; the sum of row `2 * i + l / 16` and column `l % 16` is in register `i` of lane `l`.

use super::lanes::{has_wide, widen};
use super::vop3p::is_signed;
use super::{Fault, File, Inst};
use crate::wave::Wave;

/// An executor.
pub(super) type Run = fn(&mut Wave, &Inst) -> Result<(), Fault>;

/// Elements of a row of A or a column of B.
const DEPTH: usize = 16;

/// Rows and columns.
const SIDE: usize = 16;

/// A row of A or a column of B in each of 16 lanes, of which this is element `k`: `[k][lane]`.
type Matrix<T> = [[T; SIDE]; DEPTH];

/// The elements of operand `n`, `per` to a register; `element` takes one from its bits, `32 / per` of them.
#[inline(always)]
fn matrix<T: Copy + Default>(
    wave: &Wave,
    inst: &Inst,
    n: usize,
    per: usize,
    element: impl Fn(u32) -> T,
) -> Result<Matrix<T>, Fault> {
    if wave.exec() != !0 {
        return Err(Fault::Unsupported("a matrix instruction while some lanes are not active"));
    }
    let o = &inst.src[n];
    if o.file != File::Vector {
        return Err(Fault::Unsupported("a matrix that is a constant"));
    }
    let first = o.number as usize;
    let mut matrix = [[T::default(); SIDE]; DEPTH];
    for (r, register) in wave.v[first..first + DEPTH / per].iter().enumerate() {
        if register[..SIDE] != register[SIDE..] {
            return Err(Fault::Unsupported("a matrix whose copies in the two halves of the wave differ"));
        }
        for part in 0..per {
            for lane in 0..SIDE {
                matrix[per * r + part][lane] = element(register[lane] >> (32 / per * part));
            }
        }
    }
    Ok(matrix)
}

/// What is added to: a row of 16 after the other.
#[inline(always)]
fn addend(wave: &Wave, inst: &Inst) -> [[u32; SIDE]; SIDE] {
    let o = &inst.src[2];
    let mut rows = [[o.value as u32; SIDE]; SIDE];
    if o.file == File::Vector {
        let first = o.number as usize;
        for (i, register) in wave.v[first..first + SIDE / 2].iter().enumerate() {
            rows[2 * i].copy_from_slice(&register[..SIDE]);
            rows[2 * i + 1].copy_from_slice(&register[SIDE..]);
        }
    }
    rows
}

/// Writes the sums.
#[inline(always)]
fn put(wave: &mut Wave, inst: &Inst, rows: &[[u32; SIDE]; SIDE]) {
    let first = inst.dst.number as usize;
    for (i, register) in wave.v[first..first + SIDE / 2].iter_mut().enumerate() {
        register[..SIDE].copy_from_slice(&rows[2 * i]);
        register[SIDE..].copy_from_slice(&rows[2 * i + 1]);
    }
}

/// Sums of f32: the products are exact in f64, are added there in order, and rounded once. The hardware's
/// order and rounding on the way are not published. `fused`: the processor multiplies and adds in one, which gives the
/// same.
#[inline(always)]
fn float(wave: &mut Wave, inst: &Inst, fused: bool, widen: impl Fn(u16) -> f32) -> Result<(), Fault> {
    if inst.mods.neg != 0 || inst.mods.abs != 0 {
        return Err(Fault::Unsupported("a modifier of a matrix of floats"));
    }
    let element = |bits: u32| f64::from(widen(bits as u16));
    let (a, b) = (matrix(wave, inst, 0, 2, element)?, matrix(wave, inst, 1, 2, element)?);
    let mut rows = addend(wave, inst);
    // A loop, as whatever is called on the way may be compiled without the fused instruction.
    for (m, row) in rows.iter_mut().enumerate() {
        let mut sums = [0.0; SIDE];
        for n in 0..SIDE {
            sums[n] = f64::from(f32::from_bits(row[n]));
        }
        for k in 0..DEPTH {
            for n in 0..SIDE {
                let (x, y) = (a[k][m], b[k][n]);
                sums[n] = if fused { x.mul_add(y, sums[n]) } else { x * y + sums[n] };
            }
        }
        for n in 0..SIDE {
            row[n] = (sums[n] as f32).to_bits();
        }
    }
    put(wave, inst, &rows);
    Ok(())
}

/// Sums of integers of `bits` bits; `neg_lo` says which operand has a sign, `clamp` that sums saturate.
#[inline(always)]
fn integer(wave: &mut Wave, inst: &Inst, bits: usize) -> Result<(), Fault> {
    let shift = 32 - bits as u32;
    // Products and their sums are integers below 2^24, so f32, of which a processor multiplies more at a time, is exact.
    let (a_signed, b_signed) = (is_signed(inst, 0), is_signed(inst, 1));
    let element = |x: u32, signed: bool| {
        (if signed { (x << shift) as i32 >> shift } else { (x << shift >> shift) as i32 }) as f32
    };
    let a = matrix(wave, inst, 0, 32 / bits, |x| element(x, a_signed))?;
    let b = matrix(wave, inst, 1, 32 / bits, |x| element(x, b_signed))?;
    let clamp = inst.mods.clamp;
    let mut rows = addend(wave, inst);
    for (m, row) in rows.iter_mut().enumerate() {
        let mut sums = [0f32; SIDE];
        for k in 0..DEPTH {
            for n in 0..SIDE {
                sums[n] += a[k][m] * b[k][n];
            }
        }
        for n in 0..SIDE {
            let (c, sum) = (row[n] as i32, sums[n] as i32);
            row[n] = (if clamp { c.saturating_add(sum) } else { c.wrapping_add(sum) }) as u32;
        }
    }
    put(wave, inst, &rows);
    Ok(())
}

/// An instruction, compiled for any processor and for those with 256-bit registers.
macro_rules! both {
    ($(#[$doc:meta])* $name:ident, |$w:ident, $i:ident, $fused:ident| $e:expr) => {
        $(#[$doc])*
        pub(super) fn $name($w: &mut Wave, $i: &Inst) -> Result<(), Fault> {
            #[cfg(target_arch = "x86_64")]
            if has_wide() {
                #[target_feature(enable = "avx2,fma")]
                fn wide($w: &mut Wave, $i: &Inst) -> Result<(), Fault> {
                    let $fused = true;
                    $e
                }
                // SAFETY: the processor has the registers, as just asked.
                return unsafe { wide($w, $i) };
            }
            let $fused = false;
            $e
        }
    };
}

both!(
    /// `v_wmma_f32_16x16x16_f16`.
    f16, |wave, inst, fused| float(wave, inst, fused, widen)
);
both!(
    /// `v_wmma_f32_16x16x16_bf16`.
    bf16, |wave, inst, fused| float(wave, inst, fused, |bits| f32::from_bits((bits as u32) << 16))
);
both!(
    /// `v_wmma_i32_16x16x16_iu8`.
    iu8, |wave, inst, _fused| integer(wave, inst, 8)
);
both!(
    /// `v_wmma_i32_16x16x16_iu4`.
    iu4, |wave, inst, _fused| integer(wave, inst, 4)
);
