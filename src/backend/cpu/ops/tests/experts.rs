use super::super::*;
use super::{Poisoned, Rng, check};
use crate::backend::cpu::Isa;

#[test]
fn top_k_is_the_head_of_a_stable_sort() {
    let mut rng = Rng(20);
    for (n, k) in [(1i32, 1), (2, 1), (3, 3), (8, 2), (32, 4), (128, 8), (128, 1), (257, 257)] {
        for round in 0..50 {
            // Few distinct values, so that most are tied.
            let x: Vec<f32> = (0..n)
                .map(|_| if round % 2 == 0 { rng.normal() } else { (rng.unit() * 4.0).floor() as f32 })
                .collect();
            let mut want: Vec<i32> = (0..n).collect();
            want.sort_by(|&a, &b| x[b as usize].total_cmp(&x[a as usize]));
            let mut got = vec![-1; k];
            top_k(&x, &mut got);
            assert_eq!(got, want[..k], "{n} {k} {x:?}");
        }
    }
}

#[test]
fn top_k_of_anything_is_different_places() {
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1.0];
    let mut rng = Rng(21);
    for k in 1..=6 {
        for _ in 0..200 {
            let x: Vec<f32> = (0..6).map(|_| bad[(rng.unit() * 6.0) as usize]).collect();
            let mut got = vec![-1; k];
            top_k(&x, &mut got);
            got.sort_unstable();
            got.dedup();
            assert!(got.len() == k && got.iter().all(|i| (0..6).contains(i)), "{x:?} {got:?}");
        }
    }
}

#[test]
fn expert_weights_are_the_softmax_of_the_chosen() {
    let mut rng = Rng(22);
    for (n, k, spread) in [(8, 2, 1.0), (128, 8, 5.0), (64, 1, 1.0), (16, 16, 40.0)] {
        for scale in [1.0f32, 2.5] {
            let logits: Vec<f32> = rng.normals(n).iter().map(|x| x * spread + 300.0).collect();
            let mut ids = vec![0; k];
            top_k(&logits, &mut ids);
            let e: Vec<f64> = ids
                .iter()
                .map(|&i| (f64::from(logits[i as usize]) - f64::from(logits[ids[0] as usize])).exp())
                .collect();
            let sum: f64 = e.iter().sum();
            let want: Vec<f64> = e.iter().map(|e| e / sum * f64::from(scale)).collect();
            let mut got = vec![f32::NAN; k];
            expert_weights(&logits, &ids, scale, &mut got);
            check("expert weights", &got, &want, 1e-6, 1e-30);
        }
    }
    let mut got = [0.0; 2];
    expert_weights(&[1.0, f32::NAN, 2.0], &[2, 1], 1.0, &mut got);
    assert!(got.iter().all(|w| w.is_nan()), "a NaN shows");
}

#[test]
fn groups_hold_each_pair_once_in_order() {
    let mut rng = Rng(23);
    for (n_expert, k, rows, capacity) in
        [(1, 1, 1, 1), (8, 2, 1, 2), (8, 2, 37, 128), (128, 8, 64, 512), (5, 3, 0, 12)]
    {
        let mut ids = Vec::new();
        for _ in 0..rows {
            // Leave some experts without a row.
            let logits: Vec<f32> =
                (0..n_expert).map(|e| rng.normal() - 9.0 * (e % 3 == 1) as u8 as f32).collect();
            let mut row = vec![0; k];
            top_k(&logits, &mut row);
            ids.extend(row);
        }
        let mut out = vec![-7; n_expert + 1 + 2 * capacity];
        group_by_expert(&ids, k, n_expert, capacity, &mut out);
        let (offsets, rest) = out.split_at(n_expert + 1);
        let (sorted, places) = rest.split_at(capacity);
        let mut pairs: Vec<(i32, i32)> = ids.iter().enumerate().map(|(i, &e)| (e, (i / k) as i32)).collect();
        pairs.sort_unstable();
        assert_eq!(sorted[..ids.len()], pairs.iter().map(|p| p.1).collect::<Vec<_>>());
        assert_eq!((offsets[0], offsets[n_expert]), (0, ids.len() as i32));
        for e in 0..n_expert {
            let of_e = pairs.iter().filter(|p| p.0 == e as i32).count() as i32;
            assert_eq!(offsets[e + 1] - offsets[e], of_e);
        }
        for (i, &e) in ids.iter().enumerate() {
            assert_eq!(pairs[places[i] as usize], (e, (i / k) as i32));
        }
    }
}

#[test]
fn combine_is_the_weighted_sum_of_rows() {
    let mut rng = Rng(24);
    for &isa in Isa::available() {
        for n in [1, 3, 8, 15, 16, 17, 64, 100, 257] {
            for k in [1, 2, 3, 8] {
                let (stride, n_rows) = (n + 5, 11);
                let y = rng.normals(stride * n_rows);
                let (weights, x) = (rng.normals(k), rng.normals(n));
                let places: Vec<i32> = (0..k).map(|_| (rng.unit() * n_rows as f64) as i32).collect();
                for residual in [false, true] {
                    let want: Vec<f64> = (0..n)
                        .map(|i| {
                            let at = |j: usize| f64::from(y[places[j] as usize * stride + i]);
                            let sum: f64 = (0..k).map(|j| f64::from(weights[j]) * at(j)).sum();
                            sum + if residual { f64::from(x[i]) } else { 0.0 }
                        })
                        .collect();
                    let mut dst = Poisoned::new(n);
                    let from = if residual { x.as_ptr() } else { std::ptr::null() };
                    let rows = Rows { first: y.as_ptr(), stride };
                    // SAFETY: the set is available; the rows have the stated lengths.
                    unsafe {
                        combine(isa, dst.as_mut_ptr(), rows, places.as_ptr(), weights.as_ptr(), from, k, n);
                    }
                    check(&format!("combine {isa:?} n {n} k {k}"), dst.get(), &want, 2e-6, 1.0);
                }
            }
        }
    }
}
