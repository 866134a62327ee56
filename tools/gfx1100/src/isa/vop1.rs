//! VOP1: vector instructions of one operand.

use super::float;
use super::lanes::{Elem, F16, both, valu};
use super::{Class, Encoding, Exec, Fault, File, Inst, Kind, Op, Register, flag};
use crate::wave::{LANES, Wave};

pub(super) static OPS: &[Op] = valu! { Vop1:
    3 v_cvt_i32_f64 (a: f64) -> i32: Double = a as i32;
    4 v_cvt_f64_i32 (a: i32) -> f64: Double = a as f64;
    5 v_cvt_f32_i32 (a: i32) -> f32 = a as f32;
    6 v_cvt_f32_u32 (a: u32) -> f32 = a as f32;
    7 v_cvt_u32_f32 (a: f32) -> u32 = a as u32;
    8 v_cvt_i32_f32 (a: f32) -> i32 = a as i32;
    10 v_cvt_f16_f32 (a: f32) -> F16 = F16(a);
    11 v_cvt_f32_f16 (a: F16) -> f32 = a.0;
    12 v_cvt_nearest_i32_f32 (a: f32) -> i32 = (a + 0.5).floor() as i32;
    13 v_cvt_floor_i32_f32 (a: f32) -> i32 = a.floor() as i32;
    14 v_cvt_off_f32_i4 (a: u32) -> f32 = ((a as i32) << 28 >> 28) as f32 / 16.0;
    15 v_cvt_f32_f64 (a: f64) -> f32: Double = a as f32;
    16 v_cvt_f64_f32 (a: f32) -> f64: Double = a as f64;
    17 v_cvt_f32_ubyte0 (a: u32) -> f32 = (a & 0xff) as f32;
    18 v_cvt_f32_ubyte1 (a: u32) -> f32 = (a >> 8 & 0xff) as f32;
    19 v_cvt_f32_ubyte2 (a: u32) -> f32 = (a >> 16 & 0xff) as f32;
    20 v_cvt_f32_ubyte3 (a: u32) -> f32 = (a >> 24) as f32;
    21 v_cvt_u32_f64 (a: f64) -> u32: Double = a as u32;
    22 v_cvt_f64_u32 (a: u32) -> f64: Double = a as f64;
    23 v_trunc_f64 (a: f64) -> f64: Double = a.trunc();
    24 v_ceil_f64 (a: f64) -> f64: Double = a.ceil();
    25 v_rndne_f64 (a: f64) -> f64: Double = a.round_ties_even();
    26 v_floor_f64 (a: f64) -> f64: Double = a.floor();
    32 v_fract_f32 (a: f32) -> f32 = float::fract_32(a);
    33 v_trunc_f32 (a: f32) -> f32 = a.trunc();
    34 v_ceil_f32 (a: f32) -> f32 = a.ceil();
    35 v_rndne_f32 (a: f32) -> f32 = a.round_ties_even();
    36 v_floor_f32 (a: f32) -> f32 = a.floor();
    37 v_exp_f32 (a: f32) -> f32: Transcendental = float::exp2(a);
    39 v_log_f32 (a: f32) -> f32: Transcendental = float::log2(a);
    42 v_rcp_f32 (a: f32) -> f32: Transcendental = float::rcp(a);
    43 v_rcp_iflag_f32 (a: f32) -> f32: Transcendental = float::rcp(a);
    46 v_rsq_f32 (a: f32) -> f32: Transcendental = float::rsq(a);
    47 v_rcp_f64 (a: f64) -> f64: Double = 1.0 / a;
    49 v_rsq_f64 (a: f64) -> f64: Double = 1.0 / a.sqrt();
    51 v_sqrt_f32 (a: f32) -> f32: Transcendental = float::sqrt(a);
    52 v_sqrt_f64 (a: f64) -> f64: Double = a.sqrt();
    53 v_sin_f32 (a: f32) -> f32: Transcendental = float::sin(a);
    54 v_cos_f32 (a: f32) -> f32: Transcendental = float::cos(a);
    55 v_not_b32 (a: u32) -> u32 = !a;
    56 v_bfrev_b32 (a: u32) -> u32 = a.reverse_bits();
    57 v_clz_i32_u32 (a: u32) -> i32 = if a == 0 { -1 } else { a.leading_zeros() as i32 };
    58 v_ctz_i32_b32 (a: u32) -> i32 = if a == 0 { -1 } else { a.trailing_zeros() as i32 };
    59 v_cls_i32 (a: i32) -> i32 = match a ^ a >> 31 { 0 => -1, x => x.leading_zeros() as i32 };
    60 v_frexp_exp_i32_f64 (a: f64) -> i32: Double = float::frexp_exp(a);
    61 v_frexp_mant_f64 (a: f64) -> f64: Double = float::frexp_mant(a);
    62 v_fract_f64 (a: f64) -> f64: Double = float::fract_64(a);
    63 v_frexp_exp_i32_f32 (a: f32) -> i32 = float::frexp_exp(a as f64);
    64 v_frexp_mant_f32 (a: f32) -> f32 = float::frexp_mant(a as f64) as f32;
    80 v_cvt_f16_u16 (a: u16) -> F16 = F16(a as f32);
    81 v_cvt_f16_i16 (a: i16) -> F16 = F16(a as f32);
    82 v_cvt_u16_f16 (a: F16) -> u16 = a.0 as u16;
    83 v_cvt_i16_f16 (a: F16) -> i16 = a.0 as i16;
    84 v_rcp_f16 (a: F16) -> F16: Transcendental = F16(1.0 / a.0);
    85 v_sqrt_f16 (a: F16) -> F16: Transcendental = F16(a.0.sqrt());
    86 v_rsq_f16 (a: F16) -> F16: Transcendental = F16(1.0 / a.0.sqrt());
    87 v_log_f16 (a: F16) -> F16: Transcendental = F16(a.0.log2());
    88 v_exp_f16 (a: F16) -> F16: Transcendental = F16(a.0.exp2());
    91 v_floor_f16 (a: F16) -> F16 = F16(a.0.floor());
    92 v_ceil_f16 (a: F16) -> F16 = F16(a.0.ceil());
    93 v_trunc_f16 (a: F16) -> F16 = F16(a.0.trunc());
    94 v_rndne_f16 (a: F16) -> F16 = F16(a.0.round_ties_even());
    95 v_fract_f16 (a: F16) -> F16 = F16(float::fract_16(a.0));
    105 v_not_b16 (a: u16) -> u16 = !a;
    106 v_cvt_i32_i16 (a: i16) -> i32 = a as i32;
    107 v_cvt_u32_u16 (a: u16) -> u32 = a as u32;
};

/// Moves: what was not written may be moved.
pub(super) static MOVES: &[Op] = &[
    Op {
        exec: Exec::Nothing,
        flags: flag::SHORT_ONLY,
        ..Op::new(Encoding::Vop1, 0, "v_nop", Kind::None, &[], Class::Other)
    },
    mov(
        1,
        "v_mov_b32",
        Kind::B32,
        both!(|w, i| {
            let x = u32::get(w, i, 0);
            let defined = w.defined(i, 0, 0);
            u32::put(w, i, x);
            w.set_defined(i, 0, defined);
        }),
    ),
    Op {
        flags: flag::CROSSES_LANES | flag::SHORT_ONLY,
        exec: Exec::Checked(read_first_lane),
        ..Op::new(Encoding::Vop1, 2, "v_readfirstlane_b32", Kind::Mask, &[Kind::B32], Class::Vector)
    },
    mov(
        28,
        "v_mov_b16",
        Kind::B16,
        both!(|w, i| {
            let x = u16::get(w, i, 0);
            let defined = w.defined(i, 0, 0);
            u16::put(w, i, x);
            // The other half may have been written before.
            let before = w.v_defined[i.dst.number as usize];
            w.set_defined(i, 0, defined | before);
        }),
    ),
    Op {
        flags: flag::MOVES | flag::SHORT_ONLY | flag::READS_DST,
        ..mov(101, "v_swap_b32", Kind::B32, Exec::Compute(swap))
    },
];

const fn mov(code: u16, name: &'static str, kind: Kind, exec: Exec) -> Op {
    Op { flags: flag::MOVES, exec, ..Op::new(Encoding::Vop1, code, name, kind, &[kind], Class::Vector) }
}

fn swap(wave: &mut Wave, inst: &Inst) {
    let (to, from) = (inst.dst.number as usize, inst.src[0].number as usize);
    let exec = wave.exec();
    for lane in (0..LANES).filter(|l| exec >> l & 1 != 0) {
        let kept = wave.v[to][lane];
        wave.v[to][lane] = wave.v[from][lane];
        wave.v[from][lane] = kept;
    }
    let differ = (wave.v_defined[to] ^ wave.v_defined[from]) & exec;
    if differ != 0 {
        wave.suspects.add(to);
        wave.suspects.add(from);
    }
    wave.v_defined[to] ^= differ;
    wave.v_defined[from] ^= differ;
}

/// A scalar from a lane of a vector register.
pub(super) fn read_lane(wave: &mut Wave, inst: &Inst, lane: u32) -> Result<(), Fault> {
    let lane = lane as usize % LANES;
    let o = inst.src[0];
    let value = match o.file {
        File::Vector => {
            if wave.v_defined[o.number as usize] >> lane & 1 == 0 {
                return Err(Fault::Undefined { register: Register::Vector(o.number), lanes: 1 << lane });
            }
            wave.v[o.number as usize][lane]
        }
        _ => super::scalar::value(wave, inst, 0),
    };
    super::scalar::set(wave, inst, value);
    Ok(())
}

/// From the first active lane; without one, from lane 0.
fn read_first_lane(wave: &mut Wave, inst: &Inst) -> Result<(), Fault> {
    read_lane(wave, inst, wave.exec().trailing_zeros() % LANES as u32)
}
