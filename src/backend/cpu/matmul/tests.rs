//! Every type on every instruction set against sums in f64.

#![allow(clippy::single_range_in_vec_init, reason = "lists of ranges, some of one")]

use super::*;

use crate::quant::dequantize;

fn types() -> impl Iterator<Item = GgmlType> {
    GgmlType::ALL.iter().copied().filter(|ty| ty.is_computable())
}

/// What the rounding of f32 sums may cost, relative to the sum of magnitudes.
const F32_ERROR: f64 = 1e-6;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }
    /// In [-1, 1).
    fn float(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 30) as f32 - 1.0
    }
}

/// Random bytes with sane scales; the caller may overwrite parts.
fn random_weights(ty: GgmlType, k: usize, n_rows: usize, rng: &mut Random) -> Vec<u8> {
    let blocks = n_rows * k / ty.block_len();
    let mut data = Vec::with_capacity(blocks * ty.block_bytes());
    for _ in 0..blocks {
        let at = data.len();
        let f = rng.float();
        match ty {
            GgmlType::F32 => data.extend(f.to_le_bytes()),
            GgmlType::F16 => data.extend(half::f16::from_f32(f).to_le_bytes()),
            GgmlType::BF16 => data.extend(half::bf16::from_f32(f).to_le_bytes()),
            _ => {
                data.extend((0..ty.block_bytes()).map(|_| rng.next() as u8));
                set_scales(ty, &mut data[at..], f * 0.02, rng.float() * 0.02);
            }
        }
    }
    data
}

/// Bytes at which a block has the f16 factor of its scales, and that of its minima.
fn factors_at(ty: GgmlType) -> (usize, Option<usize>) {
    use GgmlType::*;
    match ty {
        Q4_1 | Q5_1 | Q4_K | Q5_K => (0, Some(2)),
        Q2_K => (80, Some(82)),
        Q3_K => (108, None),
        Q6_K => (208, None),
        TQ1_0 => (52, None),
        TQ2_0 => (64, None),
        _ => (0, None),
    }
}

fn set_scales(ty: GgmlType, block: &mut [u8], d: f32, d_min: f32) {
    let bits = half::f16::from_f32(d).to_le_bytes();
    match ty {
        // A power of two; half of 2^(e - 127).
        GgmlType::MXFP4 => block[0] = (d.to_bits() >> 23) as u8,
        // Four bits in each of four words.
        GgmlType::IQ1_M => {
            for i in 0..4 {
                let byte = &mut block[49 + 2 * i];
                *byte = *byte & 15 | (bits[i / 2] >> (i % 2 * 4)) << 4;
            }
        }
        _ => {
            let (at, min_at) = factors_at(ty);
            block[at..at + 2].copy_from_slice(&bits);
            if let Some(at) = min_at {
                block[at..at + 2].copy_from_slice(&half::f16::from_f32(d_min).to_le_bytes());
            }
        }
    }
}

/// The largest magnitude that kernels may see in a block before an offset or a minimum is taken
/// away: from its factors and the type's largest scales, quants and offsets.
fn magnitude(ty: GgmlType, block: &[u8]) -> f64 {
    use GgmlType::*;
    let f16 = |at: usize| half::f16::from_le_bytes([block[at], block[at + 1]]).to_f64().abs();
    let (at, min_at) = factors_at(ty);
    let d = match ty {
        MXFP4 => (block[0] as f64 - 128.0).exp2(),
        IQ1_M => {
            let bits = (0..4).fold(0u16, |bits, i| bits | (block[49 + 2 * i] as u16 >> 4) << (4 * i));
            half::f16::from_bits(bits).to_f64().abs()
        }
        _ => f16(at),
    };
    let (most, most_min) = match ty {
        Q4_0 => (24, 0),
        Q4_1 => (15, 1),
        Q5_0 => (48, 0),
        Q5_1 => (31, 1),
        Q8_0 | IQ4_NL => (384, 0),
        Q2_K => (15 * 3, 15),
        Q3_K => (32 * 12, 0),
        Q4_K => (63 * 15, 63),
        Q5_K => (63 * 31, 63),
        Q6_K => (128 * 96, 0),
        IQ4_XS => (32 * 384, 0),
        MXFP4 => (36, 0),
        IQ1_S | IQ1_M => (15 * 27 / 8, 0),
        IQ2_XXS | IQ2_XS | IQ2_S => (31 * 129 / 8, 0),
        IQ3_XXS => (31 * 186 / 4, 0),
        IQ3_S => (31 * 45, 0),
        TQ1_0 | TQ2_0 => (4, 0),
        other => panic!("{} is not computable", other.name()),
    };
    most as f64 * d + min_at.map_or(0.0, |at| most_min as f64 * f16(at))
}

/// The values of a row and their [`magnitude`]s.
fn weights(ty: GgmlType, row: &[u8]) -> Vec<(f64, f64)> {
    let mut values = vec![0f32; row.len() / ty.block_bytes() * ty.block_len()];
    dequantize(ty, row, &mut values).unwrap();
    let blocks = row.chunks(ty.block_bytes()).zip(values.chunks(ty.block_len()));
    let pairs = blocks.flat_map(|(block, values)| {
        let bound = (act_kind(ty) == ActKind::Q8).then(|| magnitude(ty, block));
        values.iter().map(move |&v| (v as f64, bound.unwrap_or(v.abs() as f64)))
    });
    pairs.collect()
}

struct Case {
    ty: GgmlType,
    k: usize,
    n_rows: usize,
    n: usize,
    w: Vec<u8>,
    x: Vec<f32>,
}

impl Case {
    fn random(ty: GgmlType, k: usize, n_rows: usize, n: usize, rng: &mut Random) -> Case {
        let w = random_weights(ty, k, n_rows, rng);
        Case { ty, k, n_rows, n, w, x: (0..k * n).map(|_| rng.float()).collect() }
    }

    fn acts(&self, isa: Isa) -> (Vec<u8>, usize) {
        match act_kind(self.ty) {
            ActKind::F32 => (bytemuck::cast_slice(&self.x).to_vec(), self.k * 4),
            ActKind::Q8 => {
                let row_bytes = act_row_bytes(self.k) + 64;
                let mut data = vec![0xcc; row_bytes * self.n];
                for (x, out) in self.x.chunks(self.k).zip(data.chunks_mut(row_bytes)) {
                    quantize_act(isa, x, &mut out[..act_row_bytes(self.k)]);
                }
                (data, row_bytes)
            }
        }
    }

    /// `[n, n_rows + 3]`; the three are NaN, and so is every row that is in none of `ranges`.
    fn run(&self, isa: Isa, ranges: &[Range<usize>]) -> Vec<f32> {
        // Weights end where a page may end: an odd address and not a byte too many.
        let mut unaligned = vec![0u8; 1];
        unaligned.extend(&self.w);
        let w = Weight { ty: self.ty, data: &unaligned[1..], k: self.k, n_rows: self.n_rows };
        let (data, row_bytes) = self.acts(isa);
        let aligned: Vec<f32> =
            data.chunks_exact(4).map(|b| f32::from_ne_bytes(b.try_into().unwrap())).collect();
        let x = Acts { data: bytemuck::cast_slice(&aligned), row_bytes, n: self.n };
        let stride = self.n_rows + 3;
        let mut dst = vec![f32::NAN; stride * self.n];
        let mut scratch = vec![0xaa; scratch_bytes(self.ty, self.k, self.n)];
        for range in ranges {
            // SAFETY: dst has a row of `stride` for each column; the set is available.
            unsafe {
                matmul(isa, &w, range.clone(), &x, dst.as_mut_ptr(), stride, &mut scratch);
            }
        }
        dst
    }

    /// Results and sums of magnitudes, row by row; the activations as the kernel sees them.
    fn exact(&self) -> Vec<Vec<(f64, f64)>> {
        let seen = |x: &[f32]| -> Vec<f64> {
            match act_kind(self.ty) {
                ActKind::F32 => x.iter().map(|&v| v as f64).collect(),
                ActKind::Q8 => x.chunks(32).flat_map(quantized_block).collect(),
            }
        };
        let columns: Vec<Vec<f64>> = self.x.chunks(self.k).map(seen).collect();
        let row = |row: &[u8]| {
            let weights = weights(self.ty, row);
            let dot = |x: &Vec<f64>| {
                let terms = weights.iter().zip(x).map(|((v, magnitude), a)| (v * a, magnitude * a.abs()));
                terms.fold((0.0, 0.0), |sums, term| (sums.0 + term.0, sums.1 + term.1))
            };
            columns.iter().map(dot).collect()
        };
        self.w.chunks(self.w.len() / self.n_rows).map(row).collect()
    }

    fn check(&self) {
        let exact = self.exact();
        for &isa in Isa::available() {
            let got = self.run(isa, &[0..self.n_rows]);
            let name = format!("{} {isa:?} k {} rows {} n {}", self.ty.name(), self.k, self.n_rows, self.n);
            for (t, column) in got.chunks(self.n_rows + 3).enumerate() {
                assert!(column[self.n_rows..].iter().all(|v| v.is_nan()), "{name}: wrote beyond the rows");
                for (r, row) in exact.iter().enumerate() {
                    let (want, magnitude) = row[t];
                    let error = (column[r] as f64 - want).abs();
                    assert!(
                        error <= F32_ERROR * magnitude + 1e-35,
                        "{name}: [{t}][{r}] is {} instead of {want}, error {:e} of {magnitude}",
                        column[r],
                        error / magnitude
                    );
                }
            }
        }
    }
}

/// The 8-bit activations, by their definition.
fn quantized_block(x: &[f32]) -> Vec<f64> {
    let max = x.iter().fold(0f32, |m, v| m.max(v.abs()));
    let inverse = if max == 0.0 { 0.0 } else { 127.0 / max };
    let d = (max / 127.0) as f64;
    x.iter().map(|v| d * (v * inverse).round_ties_even() as f64).collect()
}

fn lengths(ty: GgmlType) -> Vec<usize> {
    match ty.block_len() {
        1 => vec![1, 3, 7, 8, 17, 31, 64, 100, 2048, 2051, 4100],
        32 => vec![32, 64, 96, 224, 256, 288, 544, 896, 2080, 4864],
        _ => vec![256, 512, 768, 2304, 4352],
    }
}

#[test]
fn all_types_sets_and_shapes() {
    let mut rng = Random(1);
    for ty in types() {
        for k in lengths(ty) {
            let shapes: &[(usize, usize)] = if k > 1000 {
                &[(1, 1), (33, 2), (5, 7)]
            } else {
                &[
                    (1, 1),
                    (15, 2),
                    (16, 3),
                    (17, 4),
                    (33, 5),
                    (1, 6),
                    (2, 7),
                    (31, 8),
                    (35, 9),
                    (3, 17),
                    (65, 64),
                ]
            };
            for &(n_rows, n) in shapes {
                Case::random(ty, k, n_rows, n, &mut rng).check();
            }
        }
    }
}

#[test]
fn extreme_weights_and_activations() {
    let mut rng = Random(2);
    for ty in types() {
        let k = 512;
        for n in [1, 6] {
            let mut case = Case::random(ty, k, 17, n, &mut rng);
            // All activations at the largest magnitude, in all patterns of sign.
            for pattern in 0..4 {
                for (i, v) in case.x.iter_mut().enumerate() {
                    *v = if [false, true, i % 2 == 0, i % 32 < 16][pattern] { -1.5 } else { 1.5 };
                }
                case.check();
                // All quants at one end or the other.
                for byte in [0x00, 0xff, 0x80, 0x7f, 0x81] {
                    if act_kind(ty) == ActKind::Q8 {
                        let mut ends = Case { w: case.w.clone(), x: case.x.clone(), ..case };
                        for block in ends.w.chunks_mut(ty.block_bytes()) {
                            block.fill(byte);
                            set_scales(ty, block, 0.01, -0.02);
                        }
                        ends.check();
                    }
                }
            }
            // One huge value, the rest of its block small.
            case.x.iter_mut().for_each(|v| *v = rng.float() * 1e-3);
            case.x[40] = 1e6;
            case.check();
            // Tiny and huge activations.
            case.x.iter_mut().for_each(|v| *v = rng.float() * 1e-30);
            case.check();
            case.x.iter_mut().for_each(|v| *v = rng.float() * 1e30);
            case.check();
            case.x.fill(0.0);
            case.check();
            // The ends of what f16 scales hold; zero and subnormal blocks.
            for (d, d_min) in [(65504.0, -65504.0), (6e-8, 6e-8), (0.0, 0.0), (0.0, 1.0), (-3e-5, 2.0)] {
                case.x.iter_mut().for_each(|v| *v = rng.float());
                if act_kind(ty) == ActKind::Q8 {
                    for block in case.w.chunks_mut(ty.block_bytes()) {
                        set_scales(ty, block, d, d_min);
                    }
                }
                case.check();
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_rows_or_other_columns() {
    let mut rng = Random(3);
    for ty in types() {
        let k = if ty.block_len() == 1 { 2100 } else { 2304 };
        for &isa in Isa::available() {
            let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            for n in [1, 4, 5, 23, 70] {
                let case = Case::random(ty, k, 70, n, &mut rng);
                let whole = bits(case.run(isa, &[0..70]));
                let parts = bits(case.run(isa, &[32..64, 64..70, 0..7, 7..8, 8..32]));
                assert!(whole == parts, "{} {isa:?} n {n}", ty.name());
                let again = bits(case.run(isa, &[0..70]));
                assert!(whole == again, "{} {isa:?} n {n}", ty.name());
                // The last column alone with as many others as keep the way the same.
                let fewer = if n >= 64 {
                    64
                } else if n >= TILE_FROM {
                    TILE_FROM
                } else {
                    1
                };
                let x = case.x[k * (n - fewer)..].to_vec();
                let last = bits(Case { x, n: fewer, ..case }.run(isa, &[0..70]));
                assert!(whole[73 * (n - 1)..] == last[73 * (fewer - 1)..], "{} {isa:?} n {n}", ty.name());
            }
        }
    }
}

#[test]
fn only_the_rows_asked_for_are_written() {
    let mut rng = Random(4);
    for ty in types() {
        for &isa in Isa::available() {
            for n in [1, 9] {
                let case = Case::random(ty, 256, 50, n, &mut rng);
                let whole = case.run(isa, &[0..50]);
                let part = case.run(isa, &[13..40]);
                for (i, (a, b)) in whole.iter().zip(&part).enumerate() {
                    if (13..40).contains(&(i % 53)) {
                        assert_eq!(a.to_bits(), b.to_bits());
                    } else {
                        assert!(b.is_nan(), "{} {isa:?}: element {i}", ty.name());
                    }
                }
                assert!(case.run(isa, &[7..7]).iter().all(|v| v.is_nan()));
            }
        }
    }
}

/// The error against f32 activations is no larger than with the activations that ggml uses:
/// blocks of 32 with an f16 scale (q8_0), or of 256 with an f32 scale (q8_K) for the K types.
#[test]
fn activation_error_is_at_most_that_of_ggml() {
    let mut rng = Random(5);
    for ty in types().filter(|&ty| act_kind(ty) == ActKind::Q8) {
        let mut case = Case::random(ty, 512, 64, 32, &mut rng);
        // Heavy tails, as activations have.
        case.x.iter_mut().for_each(|v| *v = v.powi(3));
        let got = case.run(Isa::detect().unwrap(), &[0..64]);
        let (mut ours, mut theirs, mut power) = (0.0, 0.0, 0.0);
        for t in 0..case.n {
            let x = &case.x[t * 512..][..512];
            let len = if ty.block_len() == 256 { 256 } else { 32 };
            let peer: Vec<f64> = x
                .chunks(len)
                .flat_map(|x| {
                    let max = x.iter().fold(0f32, |m, v| m.max(v.abs()));
                    let inverse = 127.0 / max;
                    let d = max / 127.0;
                    let d = if len == 32 { half::f16::from_f32(d).to_f64() } else { d as f64 };
                    x.iter().map(move |v| d * (v * inverse).round() as f64).collect::<Vec<_>>()
                })
                .collect();
            let row_bytes = case.w.len() / 64;
            for r in 0..64 {
                let row = &case.w[r * row_bytes..][..row_bytes];
                let (mut exact, mut other) = (0.0, 0.0);
                for (i, (v, _)) in weights(ty, row).into_iter().enumerate() {
                    exact += v * x[i] as f64;
                    other += v * peer[i];
                }
                ours += (got[t * 67 + r] as f64 - exact).powi(2);
                theirs += (other - exact).powi(2);
                power += exact.powi(2);
            }
        }
        println!("{}: NMSE {:.2e}, ggml's {:.2e}", ty.name(), ours / power, theirs / power);
        assert!(ours <= theirs * 1.02, "{}", ty.name());
    }
}

#[test]
fn bad_activations_show_in_the_result() {
    let mut rng = Random(6);
    for ty in types() {
        for n in [1, 5] {
            let mut case = Case::random(ty, 512, 20, n, &mut rng);
            case.x[300] = f32::NAN;
            for &isa in Isa::available() {
                let got = case.run(isa, &[0..20]);
                assert!(got[..20].iter().all(|v| v.is_nan()), "{} {isa:?}", ty.name());
                assert!(got.get(23..43).is_none_or(|v| v.iter().all(|v| v.is_finite())));
            }
        }
    }
}
