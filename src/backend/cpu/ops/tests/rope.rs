use super::super::*;
use super::{Poisoned, Rng, check};
use crate::backend::cpu::Isa;
use crate::graph::{RopeParams, RopeStyle};

pub(super) fn plain(n_rot: usize, freq_base: f32) -> RopeParams {
    RopeParams {
        n_rot,
        freq_base,
        freq_scale: 1.0,
        ext_factor: 0.0,
        attn_factor: 1.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        n_ctx_orig: 4096,
    }
}

pub(super) fn table_of(pos: &[i32], p: &RopeParams, factors: Option<&[f32]>) -> Vec<f32> {
    let mut out = vec![f32::NAN; pos.len() * p.n_rot];
    rope_table(pos, p, factors, &mut out);
    out
}

#[test]
fn angles_are_right_at_any_position() {
    let pos = [0, 1, 2, 77, 4095, 32767, 131_072, -3];
    for (n_rot, base) in [(2, 10_000.0), (64, 10_000.0), (128, 1e6), (96, 500_000.0)] {
        let mut p = plain(n_rot, base);
        for (scale, attn) in [(1.0, 1.0), (0.25, 1.0), (1.0, 1.19)] {
            (p.freq_scale, p.attn_factor) = (scale, attn);
            let factors: Vec<f32> = (0..n_rot / 2).map(|i| 1.0 + i as f32 * 0.3).collect();
            for factors in [None, Some(&factors[..])] {
                let got = table_of(&pos, &p, factors);
                let mut want = Vec::new();
                for &pos in &pos {
                    for i in 0..n_rot / 2 {
                        let f = factors.map_or(1.0, |f| f64::from(f[i]));
                        let freq = f64::from(base).powf(-2.0 * i as f64 / n_rot as f64);
                        let angle = f64::from(pos) * freq / f * f64::from(scale);
                        want.push(angle.cos() * f64::from(attn));
                        want.push(angle.sin() * f64::from(attn));
                    }
                }
                check("rope_table", &got, &want, 1e-6, 1.0);
            }
        }
    }
}

/// YaRN as its paper defines it, in the terms of llama.cpp's parameters.
#[test]
fn yarn_blends_between_its_bounds() {
    let p = RopeParams { freq_scale: 0.25, ext_factor: 1.0, n_ctx_orig: 8192, ..plain(128, 10_000.0) };
    // The pair that turns `r` times over the original context.
    let pair = |r: f64| 128.0 * (8192.0 / (r * std::f64::consts::TAU)).ln() / (2.0 * 10_000f64.ln());
    let (low, high) = (pair(32.0).floor(), pair(1.0).ceil());
    assert_eq!((low, high), (25.0, 50.0));
    let magnitude = 1.0 + 0.1 * 4f64.ln();
    let pos = [1, 100, 30_000];
    let got = table_of(&pos, &p, None);
    let mut want = Vec::new();
    for pos in pos {
        for i in 0..64 {
            let freq = 10_000f64.powf(-2.0 * i as f64 / 128.0);
            // 1: the original frequency; 0: interpolated.
            let keep = if (i as f64) < low {
                1.0
            } else if (i as f64) > high {
                0.0
            } else {
                1.0 - (i as f64 - low) / (high - low)
            };
            let angle = f64::from(pos) * freq * (keep + (1.0 - keep) * 0.25);
            want.push(angle.cos() * magnitude);
            want.push(angle.sin() * magnitude);
        }
    }
    check("yarn", &got, &want, 1e-6, 1.0);
}

/// Rotates plainly, in f64.
pub(super) fn rotated(style: RopeStyle, x: &[f64], table: &[f32], head_dim: usize, n_rot: usize) -> Vec<f64> {
    let mut y = x.to_vec();
    for (x, y) in x.chunks(head_dim).zip(y.chunks_mut(head_dim)) {
        for i in 0..n_rot / 2 {
            let (a, b) = match style {
                RopeStyle::Norm => (2 * i, 2 * i + 1),
                RopeStyle::Neox => (i, i + n_rot / 2),
            };
            let (cos, sin) = (f64::from(table[2 * i]), f64::from(table[2 * i + 1]));
            y[a] = x[a] * cos - x[b] * sin;
            y[b] = x[a] * sin + x[b] * cos;
        }
    }
    y
}

#[test]
fn heads_rotate() {
    let mut rng = Rng(7);
    let shapes = [(64, 64), (128, 128), (80, 32), (96, 72), (64, 10), (6, 2), (8, 0), (256, 130)];
    for &isa in Isa::available() {
        for style in [RopeStyle::Norm, RopeStyle::Neox] {
            for (head_dim, n_rot) in shapes {
                let n = 3 * head_dim;
                let table = table_of(&[1234], &plain(n_rot, 10_000.0), None);
                let mut x = rng.normals(n);
                let wide: Vec<f64> = x.iter().map(|&x| x.into()).collect();
                let want = rotated(style, &wide, &table, head_dim, n_rot);
                let mut dst = Poisoned::new(n);
                let t = table.as_ptr();
                // SAFETY: the set is available; rows hold 3 heads and the table `n_rot`.
                unsafe { rope(isa, style, dst.as_mut_ptr(), x.as_ptr(), t, 3, head_dim, n_rot) };
                check("rope", dst.get(), &want, 3e-7, 1.0);
                // SAFETY: as above; the destination is the source.
                unsafe { rope(isa, style, x.as_mut_ptr(), x.as_ptr(), t, 3, head_dim, n_rot) };
                assert_eq!(x, dst.get(), "in place");
            }
        }
    }
}
