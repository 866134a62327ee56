//! DS: local memory (LDS), and permutations of lanes through its crossbar.

use super::Kind::{B32, B64, B96, B128, None};
use super::{Atomic, Class, Encoding, Exec, Kind, Op, Part};

const fn op(code: u16, name: &'static str, dst: Kind, src: &[Kind], exec: Exec) -> Op {
    Op { exec, ..Op::new(Encoding::Ds, code, name, dst, src, Class::Lds) }
}

const fn load(code: u16, name: &'static str, dst: Kind) -> Op {
    op(code, name, dst, &[B32], Exec::Load { bytes: 4 * dst.registers(), signed: false, part: Part::Whole })
}

const fn load_part(code: u16, name: &'static str, bytes: u8, signed: bool, part: Part) -> Op {
    op(code, name, B32, &[B32], Exec::Load { bytes, signed, part })
}

const fn load_two(code: u16, name: &'static str, dst: Kind, stride: u16) -> Op {
    op(code, name, dst, &[B32], Exec::LoadTwo { bytes: 2 * dst.registers(), stride })
}

const fn store(code: u16, name: &'static str, data: Kind) -> Op {
    op(code, name, None, &[B32, data], Exec::Store { bytes: 4 * data.registers(), part: Part::Whole })
}

const fn store_part(code: u16, name: &'static str, bytes: u8, part: Part) -> Op {
    op(code, name, None, &[B32, B32], Exec::Store { bytes, part })
}

const fn store_two(code: u16, name: &'static str, data: Kind, stride: u16) -> Op {
    op(code, name, None, &[B32, data, data], Exec::StoreTwo { bytes: 4 * data.registers(), stride })
}

const fn atomic(code: u16, name: &'static str, data: Kind, op: Atomic, returns: bool) -> Op {
    let src: &[Kind] = match op {
        Atomic::CompareSwap | Atomic::CompareSwapF32 => &[B32, data, data],
        _ => &[B32, data],
    };
    let dst = if returns { data } else { None };
    self::op(code, name, dst, src, Exec::Atomic { op, bytes: 4 * data.registers(), returns })
}

pub(super) static OPS: &[Op] = &[
    atomic(0, "ds_add_u32", B32, Atomic::Add, false),
    atomic(1, "ds_sub_u32", B32, Atomic::Sub, false),
    atomic(2, "ds_rsub_u32", B32, Atomic::ReverseSub, false),
    atomic(3, "ds_inc_u32", B32, Atomic::Inc, false),
    atomic(4, "ds_dec_u32", B32, Atomic::Dec, false),
    atomic(5, "ds_min_i32", B32, Atomic::MinI, false),
    atomic(6, "ds_max_i32", B32, Atomic::MaxI, false),
    atomic(7, "ds_min_u32", B32, Atomic::MinU, false),
    atomic(8, "ds_max_u32", B32, Atomic::MaxU, false),
    atomic(9, "ds_and_b32", B32, Atomic::And, false),
    atomic(10, "ds_or_b32", B32, Atomic::Or, false),
    atomic(11, "ds_xor_b32", B32, Atomic::Xor, false),
    store(13, "ds_store_b32", B32),
    store_two(14, "ds_store_2addr_b32", B32, 4),
    store_two(15, "ds_store_2addr_stride64_b32", B32, 256),
    atomic(16, "ds_cmpstore_b32", B32, Atomic::CompareSwap, false),
    atomic(18, "ds_min_f32", B32, Atomic::MinF32, false),
    atomic(19, "ds_max_f32", B32, Atomic::MaxF32, false),
    atomic(21, "ds_add_f32", B32, Atomic::AddF32, false),
    store_part(30, "ds_store_b8", 1, Part::Whole),
    store_part(31, "ds_store_b16", 2, Part::Whole),
    atomic(32, "ds_add_rtn_u32", B32, Atomic::Add, true),
    atomic(33, "ds_sub_rtn_u32", B32, Atomic::Sub, true),
    atomic(34, "ds_rsub_rtn_u32", B32, Atomic::ReverseSub, true),
    atomic(35, "ds_inc_rtn_u32", B32, Atomic::Inc, true),
    atomic(36, "ds_dec_rtn_u32", B32, Atomic::Dec, true),
    atomic(37, "ds_min_rtn_i32", B32, Atomic::MinI, true),
    atomic(38, "ds_max_rtn_i32", B32, Atomic::MaxI, true),
    atomic(39, "ds_min_rtn_u32", B32, Atomic::MinU, true),
    atomic(40, "ds_max_rtn_u32", B32, Atomic::MaxU, true),
    atomic(41, "ds_and_rtn_b32", B32, Atomic::And, true),
    atomic(42, "ds_or_rtn_b32", B32, Atomic::Or, true),
    atomic(43, "ds_xor_rtn_b32", B32, Atomic::Xor, true),
    atomic(45, "ds_storexchg_rtn_b32", B32, Atomic::Swap, true),
    atomic(48, "ds_cmpstore_rtn_b32", B32, Atomic::CompareSwap, true),
    atomic(50, "ds_min_rtn_f32", B32, Atomic::MinF32, true),
    atomic(51, "ds_max_rtn_f32", B32, Atomic::MaxF32, true),
    op(53, "ds_swizzle_b32", B32, &[B32], Exec::Swizzle),
    load(54, "ds_load_b32", B32),
    load_two(55, "ds_load_2addr_b32", B64, 4),
    load_two(56, "ds_load_2addr_stride64_b32", B64, 256),
    load_part(57, "ds_load_i8", 1, true, Part::Whole),
    load_part(58, "ds_load_u8", 1, false, Part::Whole),
    load_part(59, "ds_load_i16", 2, true, Part::Whole),
    load_part(60, "ds_load_u16", 2, false, Part::Whole),
    atomic(64, "ds_add_u64", B64, Atomic::Add, false),
    store(77, "ds_store_b64", B64),
    store_two(78, "ds_store_2addr_b64", B64, 8),
    store_two(79, "ds_store_2addr_stride64_b64", B64, 512),
    atomic(96, "ds_add_rtn_u64", B64, Atomic::Add, true),
    atomic(109, "ds_storexchg_rtn_b64", B64, Atomic::Swap, true),
    atomic(112, "ds_cmpstore_rtn_b64", B64, Atomic::CompareSwap, true),
    load(118, "ds_load_b64", B64),
    load_two(119, "ds_load_2addr_b64", B128, 8),
    load_two(120, "ds_load_2addr_stride64_b64", B128, 512),
    atomic(121, "ds_add_rtn_f32", B32, Atomic::AddF32, true),
    store_part(160, "ds_store_b8_d16_hi", 1, Part::High),
    store_part(161, "ds_store_b16_d16_hi", 2, Part::High),
    load_part(162, "ds_load_u8_d16", 1, false, Part::Low),
    load_part(163, "ds_load_u8_d16_hi", 1, false, Part::High),
    load_part(164, "ds_load_i8_d16", 1, true, Part::Low),
    load_part(165, "ds_load_i8_d16_hi", 1, true, Part::High),
    load_part(166, "ds_load_u16_d16", 2, false, Part::Low),
    load_part(167, "ds_load_u16_d16_hi", 2, false, Part::High),
    op(178, "ds_permute_b32", B32, &[B32, B32], Exec::Permute),
    op(179, "ds_bpermute_b32", B32, &[B32, B32], Exec::BackwardPermute),
    store(222, "ds_store_b96", B96),
    store(223, "ds_store_b128", B128),
    load(254, "ds_load_b96", B96),
    load(255, "ds_load_b128", B128),
];
