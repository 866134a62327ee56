//! Every type on every instruction set against sums in f64.

#![allow(clippy::single_range_in_vec_init, reason = "lists of ranges, some of one")]

use super::*;

const TYPES: [GgmlType; 8] = {
    use GgmlType::*;
    [F32, F16, BF16, Q4_0, Q8_0, Q4_K, Q5_K, Q6_K]
};

/// What the rounding of f32 sums may cost, relative to the sum of magnitudes.
const F32_ERROR: f64 = 2e-6;

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

fn set_scales(ty: GgmlType, block: &mut [u8], d: f32, d_min: f32) {
    let d = half::f16::from_f32(d).to_le_bytes();
    match ty {
        GgmlType::Q6_K => block[208..210].copy_from_slice(&d),
        GgmlType::Q4_K | GgmlType::Q5_K => {
            block[..2].copy_from_slice(&d);
            block[2..4].copy_from_slice(&half::f16::from_f32(d_min).to_le_bytes());
        }
        _ => block[..2].copy_from_slice(&d),
    }
}

/// Element `i` of a row: its value, and the magnitude that kernels see before an offset or a
/// minimum is taken away.
fn weight(ty: GgmlType, row: &[u8], i: usize) -> (f64, f64) {
    let f16 = |b: &[u8], at: usize| half::f16::from_le_bytes([b[at], b[at + 1]]).to_f64();
    let b = &row[i / ty.block_len() * ty.block_bytes()..][..ty.block_bytes()];
    let i = i % ty.block_len();
    let centred =
        |d: f64, q: i32, offset: i32| (d * (q - offset) as f64, d.abs() * (q.abs() + offset) as f64);
    match ty {
        GgmlType::F32 => {
            let v = f32::from_le_bytes(b.try_into().unwrap()) as f64;
            (v, v.abs())
        }
        GgmlType::F16 => (f16(b, 0), f16(b, 0).abs()),
        GgmlType::BF16 => {
            let v = half::bf16::from_le_bytes([b[0], b[1]]).to_f64();
            (v, v.abs())
        }
        GgmlType::Q4_0 => centred(f16(b, 0), (b[2 + i % 16] >> (i / 16 * 4) & 15) as i32, 8),
        GgmlType::Q8_0 => centred(f16(b, 0), b[2 + i] as i8 as i32 + 128, 128),
        GgmlType::Q6_K => {
            let (n, j, l) = (i / 128, i % 128 / 32, i % 32);
            let low = b[64 * n + 32 * (j % 2) + l] >> (j / 2 * 4) & 15;
            let high = b[128 + 32 * n + l] >> (2 * j) & 3;
            centred(f16(b, 208) * (b[192 + i / 16] as i8) as f64, (low | high << 4) as i32, 32)
        }
        _ => {
            // q4_K and q5_K: eight times 6 bits of scale and of minimum in 12 bytes.
            let (j, s) = (i / 32, &b[4..16]);
            let (sc, m) = if j < 4 {
                (s[j] & 63, s[4 + j] & 63)
            } else {
                (s[4 + j] & 15 | s[j - 4] >> 6 << 4, s[4 + j] >> 4 | s[j] >> 6 << 4)
            };
            let at = if ty == GgmlType::Q4_K { 16 } else { 48 };
            let mut q = b[at + i / 64 * 32 + i % 32] >> (j % 2 * 4) & 15;
            if ty == GgmlType::Q5_K {
                q |= (b[16 + i % 32] >> j & 1) << 4;
            }
            let (a, m) = (f16(b, 0) * sc as f64 * q as f64, f16(b, 2) * m as f64);
            (a - m, a.abs() + m.abs())
        }
    }
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

    /// Result and sum of magnitudes; the activations as the kernel sees them.
    fn exact(&self, r: usize, t: usize) -> (f64, f64) {
        let row_bytes = self.w.len() / self.n_rows;
        let row = &self.w[r * row_bytes..][..row_bytes];
        let x = &self.x[t * self.k..][..self.k];
        let seen: Vec<f64> = match act_kind(self.ty) {
            ActKind::F32 => x.iter().map(|&v| v as f64).collect(),
            ActKind::Q8 => x.chunks(32).flat_map(quantized_block).collect(),
        };
        let mut sums = (0.0, 0.0);
        for (i, a) in seen.iter().enumerate() {
            let (v, magnitude) = weight(self.ty, row, i);
            sums.0 += v * a;
            sums.1 += magnitude * a.abs();
        }
        sums
    }

    fn check(&self, isa: Isa) {
        let got = self.run(isa, &[0..self.n_rows]);
        let name = format!("{} {isa:?} k {} rows {} n {}", self.ty.name(), self.k, self.n_rows, self.n);
        for t in 0..self.n {
            let column = &got[t * (self.n_rows + 3)..][..self.n_rows + 3];
            assert!(column[self.n_rows..].iter().all(|v| v.is_nan()), "{name}: wrote beyond the rows");
            for r in 0..self.n_rows {
                let (want, magnitude) = self.exact(r, t);
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
    for ty in TYPES {
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
                let case = Case::random(ty, k, n_rows, n, &mut rng);
                for &isa in Isa::available() {
                    case.check(isa);
                }
            }
        }
    }
}

#[test]
fn extreme_weights_and_activations() {
    let mut rng = Random(2);
    for ty in TYPES {
        let k = 512;
        for n in [1, 6] {
            let mut case = Case::random(ty, k, 17, n, &mut rng);
            let check_all = |case: &Case| Isa::available().iter().for_each(|&isa| case.check(isa));
            // All activations at the largest magnitude, in all patterns of sign.
            for pattern in 0..4 {
                for (i, v) in case.x.iter_mut().enumerate() {
                    *v = if [false, true, i % 2 == 0, i % 32 < 16][pattern] { -1.5 } else { 1.5 };
                }
                check_all(&case);
                // All quants at one end or the other.
                for byte in [0x00, 0xff, 0x80, 0x7f, 0x81] {
                    if act_kind(ty) == ActKind::Q8 {
                        let mut ends = Case { w: case.w.clone(), x: case.x.clone(), ..case };
                        for block in ends.w.chunks_mut(ty.block_bytes()) {
                            block.fill(byte);
                            set_scales(ty, block, 0.01, -0.02);
                        }
                        check_all(&ends);
                    }
                }
            }
            // One huge value, the rest of its block small.
            case.x.iter_mut().for_each(|v| *v = rng.float() * 1e-3);
            case.x[40] = 1e6;
            check_all(&case);
            // Tiny and huge activations.
            case.x.iter_mut().for_each(|v| *v = rng.float() * 1e-30);
            check_all(&case);
            case.x.iter_mut().for_each(|v| *v = rng.float() * 1e30);
            check_all(&case);
            case.x.fill(0.0);
            check_all(&case);
            // The ends of what f16 scales hold; zero and subnormal blocks.
            for (d, d_min) in [(65504.0, -65504.0), (6e-8, 6e-8), (0.0, 0.0), (0.0, 1.0), (-3e-5, 2.0)] {
                case.x.iter_mut().for_each(|v| *v = rng.float());
                if act_kind(ty) == ActKind::Q8 {
                    for block in case.w.chunks_mut(ty.block_bytes()) {
                        set_scales(ty, block, d, d_min);
                    }
                }
                check_all(&case);
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_rows_or_other_columns() {
    let mut rng = Random(3);
    for ty in TYPES {
        let k = if ty.block_len() == 1 { 2100 } else { 2304 };
        for &isa in Isa::available() {
            let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            for n in [1, 4, 5, 23] {
                let case = Case::random(ty, k, 70, n, &mut rng);
                let whole = bits(case.run(isa, &[0..70]));
                let parts = bits(case.run(isa, &[32..64, 64..70, 0..7, 7..8, 8..32]));
                assert!(whole == parts, "{} {isa:?} n {n}", ty.name());
                let again = bits(case.run(isa, &[0..70]));
                assert!(whole == again, "{} {isa:?} n {n}", ty.name());
                // The last column alone with as many others as keep the way the same.
                let fewer = if n >= TILE_FROM { TILE_FROM } else { 1 };
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
    for ty in TYPES {
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
    for ty in TYPES.into_iter().filter(|&ty| act_kind(ty) == ActKind::Q8) {
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
                for i in 0..512 {
                    let (v, _) = weight(ty, row, i);
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
    for ty in TYPES {
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
