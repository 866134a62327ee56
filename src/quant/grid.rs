//! The grids of the IQ types: tables of points of 8 (IQ1, IQ2) or 4 (IQ3) coordinates, of which a
//! block names one for each 8 or 4 weights. They are constants of the formats.

#[path = "grid_data.rs"]
pub(super) mod data;

/// IQ1_S and IQ1_M: coordinates -1, 0 and 1, byte i being coordinate i as an `i8`.
pub(crate) static IQ1: [u64; 2048] = points_of_8(&data::IQ1_S, [0xff, 0, 1, 0]);
/// IQ2_XXS: coordinates 8, 25 and 43, byte i being coordinate i.
pub(crate) static IQ2_XXS: [u64; 256] = points_of_8(&data::IQ2_XXS, IQ2_VALUES);
/// IQ2_XS, as [`IQ2_XXS`].
pub(crate) static IQ2_XS: [u64; 512] = points_of_8(&data::IQ2_XS, IQ2_VALUES);
/// IQ2_S, as [`IQ2_XXS`].
pub(crate) static IQ2_S: [u64; 1024] = points_of_8(&data::IQ2_S, IQ2_VALUES);
/// IQ3_XXS: coordinates 4, 12, .., 52 and 62, byte i being coordinate i.
pub(crate) static IQ3_XXS: [u32; 256] = points_of_4(&data::IQ3_XXS, [4, 12, 20, 28, 36, 44, 52, 62]);
/// IQ3_S: odd coordinates 1 to 15, byte i being coordinate i.
pub(crate) static IQ3_S: [u32; 512] = points_of_4(&data::IQ3_S, [1, 3, 5, 7, 9, 11, 13, 15]);

const IQ2_VALUES: [u8; 4] = [8, 25, 43, 0];

const fn points_of_8<const N: usize>(packed: &[u16; N], values: [u8; 4]) -> [u64; N] {
    let mut out = [0; N];
    let mut k = 0;
    while k < N {
        let mut i = 0;
        while i < 8 {
            out[k] |= (values[(packed[k] >> (2 * i) & 3) as usize] as u64) << (8 * i);
            i += 1;
        }
        k += 1;
    }
    out
}

const fn points_of_4<const N: usize>(packed: &[u16; N], values: [u8; 8]) -> [u32; N] {
    let mut out = [0; N];
    let mut k = 0;
    while k < N {
        let mut i = 0;
        while i < 4 {
            out[k] |= (values[(packed[k] >> (3 * i) & 7) as usize] as u32) << (8 * i);
            i += 1;
        }
        k += 1;
    }
    out
}

/// The signs of 8 weights of which 7 bits are stored: bit i set means that weight i is negative,
/// and the eighth bit makes their number even.
#[inline]
pub(crate) const fn signs_of(stored: u8) -> u8 {
    let low = stored & 0x7f;
    low | ((low.count_ones() & 1) << 7) as u8
}
