//! MXFP6 against the tables and rules of the OCP MX specification 1.0.

use rocmforge::quant::{BlockMXFP6, Fp6, e8m0};

const FORMATS: [Fp6; 2] = [Fp6::E2M3, Fp6::E3M2];

/// The numbers without sign, in the order of their codes.
#[rustfmt::skip]
const NUMBERS: [[f32; 32]; 2] = [
    [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.875,
     2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5],
    [0.0, 0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.25, 1.5, 1.75,
     2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 14.0, 16.0, 20.0, 24.0, 28.0],
];

fn noise(n: usize) -> impl Iterator<Item = f32> {
    let mut state = 5u64;
    (0..n).map(move |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

#[test]
fn codes_stand_for_the_numbers_of_the_specification() {
    for (format, numbers) in FORMATS.into_iter().zip(NUMBERS) {
        for (code, number) in (0..).zip(numbers) {
            assert_eq!(format.decode(code).to_bits(), number.to_bits());
            assert_eq!(format.decode(code | 0x20).to_bits(), (-number).to_bits());
            assert_eq!(format.encode(number), code);
            assert_eq!(format.encode(-number), code | 0x20, "{format:?} -{number}");
        }
        assert_eq!(format.max(), numbers[31]);
    }
}

#[test]
fn numbers_are_rounded_to_the_nearest_and_ties_to_even() {
    for (format, numbers) in FORMATS.into_iter().zip(NUMBERS) {
        for (code, pair) in (0u8..).zip(numbers.windows(2)) {
            let middle = (pair[0] + pair[1]) / 2.0;
            assert_eq!(format.encode(middle), code + code % 2, "{format:?} {middle}");
            assert_eq!(format.encode(middle.next_down()), code);
            assert_eq!(format.encode(middle.next_up()), code + 1);
            assert_eq!(format.encode(-middle.next_up()), (code + 1) | 0x20);
        }
        for v in noise(5000).map(|v| v * 1.1 * format.max()) {
            let error = |c: u8| (f64::from(format.decode(c)) - f64::from(v)).abs();
            let least = (0..64).map(error).fold(f64::INFINITY, f64::min);
            assert_eq!(error(format.encode(v)), least, "{format:?} {v}");
        }
    }
}

#[test]
fn what_is_too_large_becomes_the_largest() {
    for format in FORMATS {
        let max = format.max();
        for v in [max, max.next_up(), 1.25 * max, 100.0 * max, f32::MAX, f32::INFINITY] {
            assert_eq!((format.encode(v), format.encode(-v)), (0x1f, 0x3f), "{format:?} {v}");
        }
        assert_eq!((format.encode(0.0), format.encode(-0.0)), (0, 0x20));
        assert_eq!((format.encode(1e-45), format.encode(-1e-45)), (0, 0x20));
        assert_eq!(format.encode(f32::NAN), 0);
    }
}

#[test]
fn scales_are_powers_of_two() {
    for e in 0..255 {
        assert_eq!(f64::from(e8m0(e)), 2f64.powi(i32::from(e) - 127));
    }
    assert!(e8m0(255).is_nan());
}

#[test]
fn the_scale_is_the_power_of_two_of_the_peak_over_that_of_the_format() {
    for (format, max_exponent) in [(Fp6::E2M3, 2), (Fp6::E3M2, 4)] {
        let cases: [(f32, i32); 9] = [
            (1.0, 0),
            (1.99, 0),
            (2.0, 1),
            (0.75, -1),
            (f32::MAX, 127),
            (1e-30, -100),
            (f32::MIN_POSITIVE, -126),
            (1e-45, -149),
            (3e-39, -128),
        ];
        for (peak, log2) in cases {
            let mut src = [0.0; 32];
            src[7] = -peak;
            src[8] = peak / 3.0;
            let scale = BlockMXFP6::encode(format, &src).scale;
            assert_eq!(i32::from(scale) - 127, (log2 - max_exponent).max(-127), "{format:?} {peak}");
        }
        assert_eq!(BlockMXFP6::encode(format, &[0.0; 32]).decode(format), [0.0; 32]);
        assert_eq!(BlockMXFP6::encode(format, &[-0.0; 32]).decode(format).map(f32::to_bits), [1 << 31; 32]);
    }
}

#[test]
fn blocks_hold_the_rounded_numbers() {
    for format in FORMATS {
        for scale in [1.0, 1e-3, 3e7, 1e-36, 1e-41, 1e37] {
            let src: Vec<f32> = noise(320).map(|v| v * scale).collect();
            for src in src.as_chunks::<32>().0 {
                let block = BlockMXFP6::encode(format, src);
                let unit = f64::from(e8m0(block.scale));
                for (i, (v, back)) in src.iter().zip(block.decode(format)).enumerate() {
                    let want = format.encode((f64::from(*v) / unit) as f32);
                    assert_eq!(block.code(i), want);
                    assert_eq!(f64::from(back), f64::from(format.decode(want)) * unit);
                }
            }
        }
        // What a block holds it keeps.
        let src: [f32; 32] = std::array::from_fn(|i| format.decode(i as u8 * 2 + 1));
        let block = BlockMXFP6::encode(format, &src);
        assert_eq!((block.scale, block.decode(format)), (127, src));
    }
}

#[test]
fn codes_lie_in_a_string_of_bits() {
    let src: [f32; 32] = std::array::from_fn(|i| Fp6::E2M3.decode((i as u8 * 5 + 31) % 64));
    let block = BlockMXFP6::encode(Fp6::E2M3, &src);
    let bits: Vec<u8> = block.codes.iter().flat_map(|b| (0..8).map(move |i| b >> i & 1)).collect();
    for i in 0..32 {
        let code = (0..6).fold(0, |c, k| c | bits[6 * i + k] << k);
        assert_eq!(code, (i as u8 * 5 + 31) % 64);
    }
}

#[test]
fn one_number_that_is_not_finite_makes_the_scale_nan() {
    for format in FORMATS {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut src = [1.0; 32];
            src[31] = odd;
            let block = BlockMXFP6::encode(format, &src);
            assert_eq!(block.scale, 255);
            assert!(block.decode(format).iter().all(|v| v.is_nan()));
        }
    }
}
