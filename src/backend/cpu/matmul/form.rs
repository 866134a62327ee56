//! What the quants of each type stand for, which is all that the kernels beyond unpacking know of
//! a type.

use crate::quant::GgmlType;

/// `w = scale * (q - offset)`, or `scale * q - min`, for unsigned quants q.
#[derive(Clone, Copy)]
pub(super) struct Form {
    /// A scale, and a minimum, for every 16 weights instead of 32.
    pub half: bool,
    /// Minima instead of an offset.
    pub min: bool,
    /// 0 for types with minima.
    pub offset: i32,
    /// The largest q.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "other products cannot overflow"))]
    pub max: i32,
}

/// The form of a quantised type that is computable.
pub(super) const fn form(ty: GgmlType) -> Form {
    const fn offset(half: bool, offset: i32, max: i32) -> Form {
        Form { half, min: false, offset, max }
    }
    const fn min(half: bool, max: i32) -> Form {
        Form { half, min: true, offset: 0, max }
    }
    use GgmlType::*;
    match ty {
        Q4_0 => offset(false, 8, 15),
        Q5_0 => offset(false, 16, 31),
        Q8_0 | IQ4_NL | IQ4_XS => offset(false, 128, 255),
        MXFP4 => offset(false, 12, 24),
        Q4_1 | Q4_K => min(false, 15),
        Q5_1 | Q5_K => min(false, 31),
        Q2_K => min(true, 3),
        Q3_K => offset(true, 4, 7),
        Q6_K => offset(true, 32, 63),
        // Eight times the point, and the shift of one up or down.
        IQ1_S => offset(false, 9, 18),
        IQ1_M => offset(true, 9, 18),
        IQ2_XXS => offset(false, 43, 86),
        IQ2_XS | IQ2_S => offset(true, 43, 86),
        IQ3_XXS => offset(false, 62, 124),
        IQ3_S => offset(false, 15, 30),
        TQ1_0 | TQ2_0 => offset(false, 1, 3),
        _ => panic!("weights without a kernel"),
    }
}
