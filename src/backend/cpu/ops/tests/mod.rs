//! Every kernel on every instruction set of this machine, against f64 mathematics written plainly.

mod attention;
mod elementwise;
mod experts;
mod kv;
mod rope;

use super::KvType;
use crate::quant::{GgmlType, dequantize, quantize};

pub const TYPES: [KvType; 4] = [KvType::F32, KvType::F16, KvType::Bf16, KvType::Q8_0];

fn ggml(ty: KvType) -> GgmlType {
    match ty {
        KvType::F32 => GgmlType::F32,
        KvType::F16 => GgmlType::F16,
        KvType::Bf16 => GgmlType::BF16,
        KvType::Q8_0 => GgmlType::Q8_0,
    }
}

/// Elements as `ty`, by the reference quantisation.
pub fn pack(ty: KvType, x: &[f32]) -> Vec<u8> {
    let mut out = vec![0; ty.row_bytes(x.len())];
    quantize(ggml(ty), x, &mut out).unwrap();
    out
}

/// What the bytes of a row mean exactly.
pub fn unpack(ty: KvType, bytes: &[u8]) -> Vec<f32> {
    let mut out = vec![0.0; bytes.len() * 32 / ty.row_bytes(32)];
    dequantize(ggml(ty), bytes, &mut out).unwrap();
    out
}

/// A small generator of reproducible numbers (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    /// Uniform in 0 .. 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
    /// About normal, mean 0 and deviation 1.
    pub fn normal(&mut self) -> f32 {
        ((0..12).map(|_| self.unit()).sum::<f64>() - 6.0) as f32
    }
    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }
}

/// A destination whose untouched elements are recognised: `n` elements and a margin around them.
pub struct Poisoned(Vec<f32>);

const MARGIN: usize = 32;

impl Poisoned {
    pub fn new(n: usize) -> Self {
        Poisoned(vec![f32::from_bits(0x7FC0_DEAD); n + 2 * MARGIN])
    }
    pub fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0[MARGIN..].as_mut_ptr()
    }
    /// The elements, once it is known that the margins are as they were.
    pub fn get(&self) -> &[f32] {
        let n = self.0.len();
        for &x in self.0[..MARGIN].iter().chain(&self.0[n - MARGIN..]) {
            assert_eq!(x.to_bits(), 0x7FC0_DEAD, "written outside the row");
        }
        &self.0[MARGIN..n - MARGIN]
    }
}

/// Checks `|got - want| <= bound * max(|want|, floor)` for each pair.
pub fn check(what: &str, got: &[f32], want: &[f64], bound: f64, floor: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(g) - w).abs() / w.abs().max(floor);
        assert!(error <= bound, "{what}: element {i} is {g}, should be {w}: error {error:.2e} > {bound:.0e}");
    }
}
