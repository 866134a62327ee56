//! Weight types against vectors from ggml, see tools/vectors/make_vectors.py.

use std::collections::BTreeSet;

use rocmforge::Error;
use rocmforge::quant::{GgmlType, dequantize, quantize, quantize_weighted};

const VECTORS: &[u8] = include_bytes!("data/quant-vectors.bin");

/// A record of the file; make_vectors.py says what the kinds mean.
struct Vector {
    ty: GgmlType,
    kind: u32,
    blocks: Vec<u8>,
    values: Vec<f32>,
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

fn vectors() -> Vec<Vector> {
    let mut left = VECTORS;
    let mut out = Vec::new();
    while let Some((head, rest)) = left.split_at_checked(16) {
        let head: Vec<u32> = head.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect();
        let (kind, n, n_blocks) = (head[1], head[2] as usize, head[3] as usize);
        let n_values = if kind < 4 { 4 * n } else { 0 };
        let (body, rest) = rest.split_at(n_values + n_blocks);
        left = rest;
        let (blocks, values) = match kind {
            0 => body.split_at(n_blocks),
            _ => {
                let (values, blocks) = body.split_at(n_values);
                (blocks, values)
            }
        };
        let ty = GgmlType::from_id(head[0]).expect("a known type");
        out.push(Vector { ty, kind, blocks: blocks.to_vec(), values: floats(values) });
    }
    out
}

fn quantizable() -> BTreeSet<GgmlType> {
    all().into_iter().filter(|t| !t.needs_importance()).collect()
}

/// Every type that can be stored.
fn all() -> BTreeSet<GgmlType> {
    GgmlType::ALL.iter().copied().filter(|t| t.has_codec()).collect()
}

#[test]
fn dequantisation_is_exact() {
    let mut seen = BTreeSet::new();
    for v in vectors().iter().filter(|v| v.kind == 0) {
        let mut out = vec![f32::NAN; v.values.len()];
        dequantize(v.ty, &v.blocks, &mut out).unwrap();
        for (i, (got, want)) in out.iter().zip(&v.values).enumerate() {
            assert!(
                got.to_bits() == want.to_bits(),
                "{} block {} weight {}: {got:e}, want {want:e}",
                v.ty.name(),
                i / v.ty.block_len(),
                i % v.ty.block_len(),
            );
        }
        seen.insert(v.ty);
    }
    assert_eq!(seen, all());
}

#[test]
fn quantisation_is_that_of_the_reference() {
    let vectors = vectors();
    let rows = &vectors.iter().find(|v| v.kind == 2).unwrap().values;
    let mut seen = BTreeSet::new();
    for v in vectors.iter().filter(|v| matches!(v.kind, 1 | 4)) {
        let values = if v.kind == 1 { &v.values } else { rows };
        let mut out = vec![0xaa; v.blocks.len()];
        quantize(v.ty, values, &mut out).unwrap();
        assert_blocks(v.ty, values, &out, &v.blocks);
        seen.insert(v.ty);
    }
    assert_eq!(seen, quantizable());
}

#[test]
fn weighted_quantisation_is_that_of_the_reference() {
    let vectors = vectors();
    let values = |kind| &vectors.iter().find(|v| v.kind == kind).unwrap().values;
    let (rows, importance) = (values(2), values(3));
    let mut seen = BTreeSet::new();
    for v in vectors.iter().filter(|v| v.kind == 5) {
        let mut out = vec![0xaa; v.blocks.len()];
        let size = v.ty.row_bytes(importance.len()).unwrap();
        for (row, out) in rows.chunks(importance.len()).zip(out.chunks_mut(size)) {
            quantize_weighted(v.ty, row, importance, out).unwrap();
        }
        assert_blocks(v.ty, rows, &out, &v.blocks);
        seen.insert(v.ty);
    }
    assert_eq!(seen.len() + 3, all().len(), "all but the three float types");
}

fn assert_blocks(ty: GgmlType, values: &[f32], got: &[u8], want: &[u8]) {
    let (n, size) = (ty.block_len(), ty.block_bytes());
    for (i, (got, want)) in got.chunks(size).zip(want.chunks(size)).enumerate() {
        assert_eq!(got, want, "{} block {i}, made of {:?}", ty.name(), &values[i * n..][..n]);
    }
}

/// Quantising what blocks stand for changes no weight by more than half a step of the format.
#[test]
fn round_trip_error_is_bounded() {
    // The largest error as a share of the largest magnitude in a block of zero-mean noise.
    let bounds = [
        (GgmlType::F32, 0.0),
        (GgmlType::F16, 1.0 / 2048.0),
        (GgmlType::BF16, 1.0 / 256.0),
        (GgmlType::Q4_0, 1.0 / 8.0 + 1e-3),
        (GgmlType::Q8_0, 0.5 / 127.0 + 1e-3),
        (GgmlType::Q4_K, 1.0 / 8.0),
        (GgmlType::Q5_K, 1.0 / 16.0),
        (GgmlType::Q6_K, 1.0 / 24.0),
    ];
    let mut state = 1u64;
    let noise: Vec<f32> = (0..4096)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    for (ty, bound) in bounds {
        let mut blocks = vec![0; ty.row_bytes(noise.len()).unwrap()];
        let mut back = vec![0.0; noise.len()];
        quantize(ty, &noise, &mut blocks).unwrap();
        dequantize(ty, &blocks, &mut back).unwrap();
        let worst = noise.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= bound, "{}: error {worst}, bound {bound}", ty.name());
    }
}

#[test]
fn blocks_need_no_alignment() {
    let values: Vec<f32> = (0..512).map(|i| (i as f32 * 0.37).sin()).collect();
    for ty in quantizable() {
        let n = ty.row_bytes(values.len()).unwrap();
        let mut odd = vec![0; n + 1];
        let mut even = vec![0; n];
        quantize(ty, &values, &mut odd[1..]).unwrap();
        quantize(ty, &values, &mut even).unwrap();
        assert_eq!(odd[1..], even, "{}", ty.name());
        let (mut a, mut b) = (vec![0.0; 512], vec![0.0; 512]);
        dequantize(ty, &odd[1..], &mut a).unwrap();
        dequantize(ty, &even, &mut b).unwrap();
        assert_eq!(a, b, "{}", ty.name());
    }
}

/// Numbers that no model should hold give some result, and nothing else.
#[test]
fn odd_numbers_do_not_panic() {
    let odd = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, -1e-45, 0.0];
    for ty in all() {
        for shift in 0..odd.len() {
            let values: Vec<f32> = (0..512).map(|i| odd[i * (shift + 1) % odd.len()]).collect();
            let mut blocks = vec![0; ty.row_bytes(512).unwrap()];
            if !ty.needs_importance() {
                quantize(ty, &values, &mut blocks).unwrap();
            }
            for importance in [&[1.0; 512], &[0.0; 512]] {
                quantize_weighted(ty, &values, importance, &mut blocks).unwrap();
            }
            quantize_weighted(ty, &values, &values, &mut blocks).unwrap();
        }
        for byte in 0..=255 {
            let blocks = vec![byte; ty.row_bytes(512).unwrap()];
            dequantize(ty, &blocks, &mut vec![0.0; 512]).unwrap();
        }
    }
}

#[test]
fn wrong_sizes_and_types_are_refused() {
    let refused = |r: Result<(), Error>, text: &str| match r {
        Err(Error::InvalidArgument(m) | Error::Unsupported(m)) => assert!(m.contains(text), "{m}"),
        r => panic!("want an error with {text:?}, got {r:?}"),
    };
    refused(dequantize(GgmlType::Q4_0, &[0; 18], &mut [0.0; 31]), "q4_0");
    refused(dequantize(GgmlType::Q4_0, &[0; 17], &mut [0.0; 32]), "18 bytes, not 17");
    refused(dequantize(GgmlType::Q4_K, &[0; 144], &mut [0.0; 512]), "288 bytes, not 144");
    refused(quantize(GgmlType::Q6_K, &[0.0; 256], &mut [0; 211]), "210 bytes, not 211");
    refused(quantize(GgmlType::Q8_0, &[0.0; 33], &mut [0; 34]), "whole number of q8_0 blocks");
    refused(dequantize(GgmlType::Q8_K, &[0; 292], &mut [0.0; 256]), "q8_K");
    refused(quantize(GgmlType::IQ2_XXS, &[0.0; 256], &mut [0; 66]), "imatrix");
    refused(quantize_weighted(GgmlType::Q4_0, &[0.0; 32], &[0.0; 31], &mut [0; 18]), "31 columns");
    refused(quantize(GgmlType::I32, &[0.0], &mut [0; 4]), "i32");
}

/// Sizes as ggml's type table gives them.
#[test]
fn types_have_the_sizes_of_ggml() {
    let table = [
        (0, "f32", 1, 4),
        (1, "f16", 1, 2),
        (2, "q4_0", 32, 18),
        (3, "q4_1", 32, 20),
        (6, "q5_0", 32, 22),
        (7, "q5_1", 32, 24),
        (8, "q8_0", 32, 34),
        (9, "q8_1", 32, 36),
        (10, "q2_K", 256, 84),
        (11, "q3_K", 256, 110),
        (12, "q4_K", 256, 144),
        (13, "q5_K", 256, 176),
        (14, "q6_K", 256, 210),
        (15, "q8_K", 256, 292),
        (16, "iq2_xxs", 256, 66),
        (17, "iq2_xs", 256, 74),
        (18, "iq3_xxs", 256, 98),
        (19, "iq1_s", 256, 50),
        (20, "iq4_nl", 32, 18),
        (21, "iq3_s", 256, 110),
        (22, "iq2_s", 256, 82),
        (23, "iq4_xs", 256, 136),
        (24, "i8", 1, 1),
        (25, "i16", 1, 2),
        (26, "i32", 1, 4),
        (27, "i64", 1, 8),
        (28, "f64", 1, 8),
        (29, "iq1_m", 256, 56),
        (30, "bf16", 1, 2),
        (34, "tq1_0", 256, 54),
        (35, "tq2_0", 256, 66),
        (39, "mxfp4", 32, 17),
        (40, "nvfp4", 64, 36),
        (41, "q1_0", 128, 18),
        (42, "q2_0", 64, 18),
    ];
    assert_eq!(table.len(), GgmlType::ALL.len());
    for (id, name, len, bytes) in table {
        let ty = GgmlType::from_id(id).unwrap();
        assert_eq!((ty as u32, ty.name(), ty.block_len(), ty.block_bytes()), (id, name, len, bytes));
    }
    for id in [4, 5, 31, 32, 33, 36, 37, 38, 43, u32::MAX] {
        assert_eq!(GgmlType::from_id(id), None);
    }
}
