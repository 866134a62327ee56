//! MXFP6 of the OCP Microscaling Formats (MX) specification 1.0: blocks of 32 numbers of six bits
//! that share a power of two. ggml has no such type; this is a codec for programs that do.

/// Numbers in a [`BlockMXFP6`].
pub const QK_MXFP6: usize = 32;

/// The two element formats of MXFP6. Neither has codes for infinity or NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fp6 {
    /// A sign, two bits of exponent, three of mantissa: up to 7.5 in steps of at least 1/8.
    E2M3,
    /// A sign, three bits of exponent, two of mantissa: up to 28 in steps of at least 1/16.
    E3M2,
}

impl Fp6 {
    /// Bits of the mantissa.
    const fn mantissa(self) -> u32 {
        match self {
            Fp6::E2M3 => 3,
            Fp6::E3M2 => 2,
        }
    }

    const fn bias(self) -> i32 {
        match self {
            Fp6::E2M3 => 1,
            Fp6::E3M2 => 3,
        }
    }

    /// The exponent of the largest number.
    const fn max_exponent(self) -> i32 {
        match self {
            Fp6::E2M3 => 2,
            Fp6::E3M2 => 4,
        }
    }

    /// The largest number: 7.5 or 28.
    pub const fn max(self) -> f32 {
        self.decode(0x1f)
    }

    /// What the low six bits of `code` stand for: sign, exponent, mantissa.
    pub const fn decode(self, code: u8) -> f32 {
        let m = self.mantissa();
        let magnitude = (code & 0x1f) as u32;
        let (exponent, fraction) = (magnitude >> m, magnitude & ((1 << m) - 1));
        // Without exponent bits a number is subnormal: no implicit one, the least exponent.
        let (units, exponent) = match exponent {
            0 => (fraction, 1),
            e => (fraction | 1 << m, e),
        };
        let value = units as f32 * power_of_two(exponent as i32 - self.bias() - m as i32);
        if code & 0x20 != 0 { -value } else { value }
    }

    /// The code of the number nearest to `v`, ties to even; beyond the largest, that of the largest.
    /// The sign is kept, that of zero too. NaN, which has no code, gives zero.
    pub fn encode(self, v: f32) -> u8 {
        if v.is_nan() {
            return 0;
        }
        let sign = if v.is_sign_negative() { 0x20 } else { 0 };
        let magnitude = v.abs().min(2.0 * self.max());
        let m = self.mantissa() as i32;
        let least = 1 - self.bias();
        let exponent = floor_log2(magnitude).max(least);
        // Whole steps of this binade. As many as make the next binade carry into the exponent.
        let steps = (magnitude * power_of_two(m - exponent)).round_ties_even() as u32;
        let code = ((exponent - least) as u32) * (1 << m) + steps;
        sign | code.min(0x1f) as u8
    }
}

/// 2^n for n of -126 to 127.
const fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// The exponent of a number that is not negative: the n with 2^n <= v < 2^(n + 1); -150 of zero.
fn floor_log2(v: f32) -> i32 {
    let bits = v.to_bits();
    match bits >> 23 {
        // Subnormal: the position of the highest bit counts.
        0 => 31 - bits.leading_zeros() as i32 - 149,
        e => e as i32 - 127,
    }
}

/// What an E8M0 scale stands for: 2^(e - 127), and NaN for 255.
pub const fn e8m0(e: u8) -> f32 {
    match e {
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        e => f32::from_bits((e as u32) << 23),
    }
}

/// 32 numbers in one of the formats of [`Fp6`], and their scale.
///
/// The specification leaves the layout open. Here the codes are a little-endian string of bits:
/// number i has bits 6 i to 6 i + 5, counted from the lowest bit of the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BlockMXFP6 {
    /// The shared scale, see [`e8m0`]: 255 makes every number NaN.
    pub scale: u8,
    /// The codes.
    pub codes: [u8; QK_MXFP6 * 6 / 8],
}

impl BlockMXFP6 {
    /// The block nearest to `src`, by the conversion of section 6.3 of the specification: the scale is
    /// the largest power of two in the largest magnitude, over that of the format; numbers are
    /// rounded to the nearest code, ties to even, and those beyond the largest become the largest. A
    /// number that is not finite makes the scale NaN.
    pub fn encode(format: Fp6, src: &[f32; QK_MXFP6]) -> BlockMXFP6 {
        if !src.iter().all(|v| v.is_finite()) {
            return BlockMXFP6 { scale: 255, codes: [0; 24] };
        }
        let peak = src.iter().fold(0.0f32, |peak, v| peak.max(v.abs()));
        let exponent = (floor_log2(peak) - format.max_exponent()).max(-127);
        // Dividing by the scale is multiplying by another power of two, and exact; what becomes
        // subnormal would be rounded to zero anyhow.
        let inverse = power_of_two(-exponent);
        let mut codes = [0; 24];
        for (v, bytes) in src.as_chunks::<4>().0.iter().zip(codes.as_chunks_mut::<3>().0) {
            let bits = (0..4).fold(0, |bits, i| bits | u32::from(format.encode(v[i] * inverse)) << (6 * i));
            *bytes = std::array::from_fn(|i| (bits >> (8 * i)) as u8);
        }
        BlockMXFP6 { scale: (exponent + 127) as u8, codes }
    }

    /// The code of number `i`, 0 to 31.
    ///
    /// # Panics
    /// If there is no such number.
    pub fn code(&self, i: usize) -> u8 {
        let bytes = &self.codes.as_chunks::<3>().0[i / 4];
        let bits = (0..3).fold(0, |bits, k| bits | u32::from(bytes[k]) << (8 * k));
        (bits >> (i % 4 * 6) & 0x3f) as u8
    }

    /// The numbers of the block, exactly; a scale near 2^127, which [`BlockMXFP6::encode`] does not
    /// give, can make them infinite.
    pub fn decode(&self, format: Fp6) -> [f32; QK_MXFP6] {
        let scale = e8m0(self.scale);
        std::array::from_fn(|i| format.decode(self.code(i)) * scale)
    }
}
