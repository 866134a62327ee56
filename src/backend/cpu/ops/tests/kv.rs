use super::super::*;
use super::rope::{plain, rotated, table_of};
use super::{Rng, TYPES, pack, unpack};
use crate::backend::cpu::Isa;
use crate::graph::RopeStyle;

/// The largest error of a value rounded to `ty`, in a block whose largest magnitude is `max`.
fn rounding(ty: KvType, value: f64, max: f64) -> f64 {
    match ty {
        KvType::F32 => 0.0,
        KvType::F16 => value.abs() / 2048.0,
        KvType::Bf16 => value.abs() / 256.0,
        KvType::Q8_0 => max / 254.0 * 1.001 + value.abs() / 2048.0,
    }
}

fn check_rounded(what: &str, ty: KvType, got: &[f32], want: &[f64]) {
    for (b, (got, want)) in got.chunks(32).zip(want.chunks(32)).enumerate() {
        let max = want.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
            let (error, bound) = ((f64::from(g) - w).abs(), rounding(ty, w, max) + 1e-6 * max);
            assert!(error <= bound, "{what} {ty:?}: element {i} of block {b} is {g}, should be {w}");
        }
    }
}

#[test]
fn writes_reach_their_cell_only() {
    let mut rng = Rng(8);
    let (n_head_kv, n_cells, cell) = (3, 5, 2);
    for &isa in Isa::available() {
        for (ty, dims) in TYPES.map(|ty| (ty, if ty == KvType::Q8_0 { [64, 32, 96] } else { [64, 80, 37] })) {
            for dim in dims {
                let row = rng.normals(n_head_kv * dim);
                let bytes = ty.row_bytes(dim);
                let mut cache = vec![0x5Au8; n_head_kv * n_cells * bytes];
                // SAFETY: the set is available; the cache has the stated shape.
                unsafe {
                    kv_write(isa, ty, cache.as_mut_ptr(), n_cells, cell, row.as_ptr(), n_head_kv, dim);
                }
                for (i, got) in cache.chunks(bytes).enumerate() {
                    let (h, c) = (i / n_cells, i % n_cells);
                    if c != cell {
                        assert!(got.iter().all(|&b| b == 0x5A), "another cell was written");
                        continue;
                    }
                    let row = &row[h * dim..][..dim];
                    if ty != KvType::Q8_0 {
                        assert_eq!(got, pack(ty, row), "{isa:?} {ty:?}");
                    }
                    let want: Vec<f64> = row.iter().map(|&x| x.into()).collect();
                    check_rounded("written", ty, &unpack(ty, got), &want);
                }
            }
        }
    }
}

/// Blocks at the ends of the range, and damage that has to show.
#[test]
fn unusual_blocks() {
    let write = |isa, ty, row: &[f32]| {
        let mut out = vec![0u8; KvType::row_bytes(ty, row.len())];
        // SAFETY: the set is available; a cache of one head and one cell.
        unsafe { kv_write(isa, ty, out.as_mut_ptr(), 1, 0, row.as_ptr(), 1, row.len()) };
        unpack(ty, &out)
    };
    for &isa in Isa::available() {
        for x in [0.0, 1e-38, 1e-12, 3.0, 60_000.0, 1e6] {
            let row: Vec<f32> = (0..32).map(|i| x * (i as f32 - 16.0) / 16.0).collect();
            let got = write(isa, KvType::Q8_0, &row);
            // Scales below f16's are zero.
            let bound = (x / 253.0 + x / 2048.0).max(127.0 * 6e-8);
            assert!(got.iter().zip(&row).all(|(g, w)| (g - w).abs() <= bound), "{isa:?} {x}: {got:?}");
        }
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for ty in TYPES {
                let mut row = vec![1.0; 64];
                row[40] = bad;
                let got = write(isa, ty, &row);
                assert!(!got[40].is_finite(), "{isa:?} {ty:?}: {bad} became {}", got[40]);
                assert!(got[..32].iter().all(|x| (x - 1.0).abs() < 0.01), "{isa:?} {ty:?}");
            }
        }
    }
}

#[test]
fn keys_rotate_in_place() {
    let mut rng = Rng(9);
    for &isa in Isa::available() {
        for style in [RopeStyle::Norm, RopeStyle::Neox] {
            for ty in TYPES {
                for (dim, n_rot) in [(64, 64), (128, 64), (96, 72), (32, 10), (80, 80)] {
                    if ty == KvType::Q8_0 && dim % 32 != 0 {
                        continue;
                    }
                    let mut row = pack(ty, &rng.normals(dim));
                    let before: Vec<f64> = unpack(ty, &row).iter().map(|&x| x.into()).collect();
                    let table = table_of(&[-77], &plain(n_rot, 10_000.0), None);
                    let mut scratch = vec![f32::NAN; dim];
                    let (t, s) = (table.as_ptr(), scratch.as_mut_ptr());
                    // SAFETY: the set is available; a row and scratch of `dim`, a table of `n_rot`.
                    unsafe { kv_rope(isa, ty, style, row.as_mut_ptr(), t, dim, n_rot, s) };
                    let want = rotated(style, &before, &table, dim, n_rot);
                    check_rounded("rotated", ty, &unpack(ty, &row), &want);
                }
            }
        }
    }
}
