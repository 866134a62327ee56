//! Single instructions and short runs of them whose results follow from something other than the ISA document's
//! pseudocode: exact quotients, permutations, matrices element by element, modes, and what must be refused.

use half::{bf16, f16};
use rocmforge_gfx1100::isa::{Fault, Program, Register};
use rocmforge_gfx1100::{LANES, Lanes, Mode, Wave, sgpr};

/// Decodes code that is written out beside its text, which the decoder must agree with.
fn program(code: &[(&str, &[u32])]) -> Program {
    let bytes: Vec<u8> = code.iter().flat_map(|(_, words)| *words).flat_map(|w| w.to_le_bytes()).collect();
    let program = Program::decode(&bytes, 0x1000).unwrap_or_else(|e| panic!("{e}"));
    let texts: Vec<String> = program.insts.iter().map(|i| i.to_string()).collect();
    assert_eq!(texts, code.iter().map(|(text, _)| *text).collect::<Vec<_>>());
    program
}

/// Runs a program to its end.
fn run(program: &Program, wave: &mut Wave) -> Result<(), Fault> {
    while wave.pc < program.insts.len() {
        if let Some(inst) = program.step(wave)? {
            panic!("{inst} is not for registers alone");
        }
    }
    Ok(())
}

/// Runs code on a wave.
fn execute(wave: &mut Wave, code: &[(&str, &[u32])]) -> Result<(), Fault> {
    wave.pc = 0;
    run(&program(code), wave)
}

fn wave() -> Wave {
    Wave::new(32, Mode::default())
}

fn floats(values: impl Fn(usize) -> f32) -> Lanes {
    std::array::from_fn(|l| values(l).to_bits())
}

/// Numbers that repeat themselves from run to run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as u32
    }
}

/// The eleven instructions that compilers make of a division of f32 give the exact quotient, rounded once.
#[test]
fn division() {
    let code: &[(&str, &[u32])] = &[
        ("v_div_scale_f32 v3, null, v1, v1, v0", &[0xd6fc7c03, 0x04020301]),
        ("v_div_scale_f32 v4, vcc_lo, v0, v1, v0", &[0xd6fc6a04, 0x04020300]),
        ("v_rcp_f32_e32 v5, v3", &[0x7e0a5503]),
        ("v_fma_f32 v6, -v3, v5, 1.0", &[0xd6130006, 0x23ca0b03]),
        ("v_fmac_f32_e32 v5, v6, v5", &[0x560a0b06]),
        ("v_mul_f32_e32 v6, v4, v5", &[0x100c0b04]),
        ("v_fma_f32 v7, -v3, v6, v4", &[0xd6130007, 0x24120d03]),
        ("v_fmac_f32_e32 v6, v7, v5", &[0x560c0b07]),
        ("v_fma_f32 v3, -v3, v6, v4", &[0xd6130003, 0x24120d03]),
        ("v_div_fmas_f32 v3, v3, v5, v6", &[0xd6370003, 0x041a0b03]),
        ("v_div_fixup_f32 v3, v3, v1, v0", &[0xd6270003, 0x04020303]),
    ];
    let program = program(code);
    let corners = [
        0.0,
        -0.0,
        1.0,
        -3.0,
        1e30,
        1e-30,
        f32::MAX,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        1e38,
        2e-38,
        1e-42,
        f32::INFINITY,
        f32::NAN,
        127.0,
        0.1,
    ];
    let mut pairs: Vec<(f32, f32)> = corners.iter().flat_map(|&a| corners.map(|b| (a, b))).collect();
    let mut random = Random(7);
    pairs.extend((0..32 * 200).map(|_| (f32::from_bits(random.next()), f32::from_bits(random.next()))));
    for pairs in pairs.chunks(LANES) {
        let mut wave = wave();
        wave.set_vgpr(0, floats(|l| pairs[l % pairs.len()].0));
        wave.set_vgpr(1, floats(|l| pairs[l % pairs.len()].1));
        run(&program, &mut wave).unwrap_or_else(|e| panic!("{e}"));
        for (l, (a, b)) in pairs.iter().enumerate() {
            let (got, exact) = (f32::from_bits(wave.v[3][l]), a / b);
            let both_nan = got.is_nan() && exact.is_nan();
            // Where the scaled quotient is rounded before it becomes denormal, a unit of those may be lost.
            let close = exact.is_subnormal() && (got - exact).abs() <= f32::from_bits(1);
            assert!(
                both_nan || close || got.to_bits() == exact.to_bits(),
                "{a:e} / {b:e}: {got:e}, not {exact:e}"
            );
        }
    }
}

/// Each control of DPP takes what it says, and a register that is its own source is read before it is written.
#[test]
fn lanes_of_a_row() {
    const OLD: u32 = 99;
    type Case = (&'static str, &'static [u32], fn(usize) -> Option<usize>);
    let cases: &[Case] = &[
        ("quad_perm:[1,0,3,2] row_mask:0xf bank_mask:0xf", &[0x7e0202fa, 0xff00b100], |l| Some(l ^ 1)),
        ("row_shl:1 row_mask:0xf bank_mask:0xf", &[0x7e0202fa, 0xff010100], |l| {
            (l % 16 != 15).then_some(l + 1)
        }),
        ("row_ror:3 row_mask:0xf bank_mask:0xf", &[0x7e0202fa, 0xff012300], |l| {
            Some((l & 16) | ((l + 13) % 16))
        }),
        ("row_mirror row_mask:0xf bank_mask:0xf", &[0x7e0202fa, 0xff014000], |l| Some(l ^ 15)),
        ("row_half_mirror row_mask:0xf bank_mask:0xf", &[0x7e0202fa, 0xff014100], |l| Some(l ^ 7)),
        ("row_share:5 row_mask:0xf bank_mask:0xf", &[0x7e0202fa, 0xff015500], |l| Some(l & 16 | 5)),
        ("row_xmask:6 row_mask:0xf bank_mask:0xf", &[0x7e0202fa, 0xff016600], |l| Some(l ^ 6)),
        ("dpp8:[7,6,5,4,3,2,1,0]", &[0x7e0202e9, 0x05397700], |l| Some(l ^ 7)),
        ("row_xmask:1 row_mask:0x2 bank_mask:0x5", &[0x7e0202fa, 0x25016100], |l| {
            (l >= 16 && l / 4 % 2 == 0).then_some(l ^ 1)
        }),
    ];
    for (control, words, from) in cases {
        let mut wave = wave();
        wave.set_vgpr(0, std::array::from_fn(|l| 1000 + l as u32));
        wave.set_vgpr(1, [OLD; LANES]);
        execute(&mut wave, &[(&format!("v_mov_b32_dpp v1, v0 {control}"), words)])
            .unwrap_or_else(|e| panic!("{e}"));
        let expected: Lanes = std::array::from_fn(|l| from(l).map_or(OLD, |at| 1000 + at as u32));
        assert_eq!(wave.v[1], expected, "{control}");
    }
    // Past the end of a row: zero where that is asked for.
    let mut w = wave();
    w.set_vgpr(0, std::array::from_fn(|l| 1000 + l as u32));
    w.set_vgpr(1, [OLD; LANES]);
    let shifted = "v_mov_b32_dpp v1, v0 row_shr:1 row_mask:0xf bank_mask:0xf bound_ctrl:1";
    execute(&mut w, &[(shifted, &[0x7e0202fa, 0xff091100])]).unwrap_or_else(|e| panic!("{e}"));
    let expected: Lanes = std::array::from_fn(|l| if l % 16 == 0 { 0 } else { 999 + l as u32 });
    assert_eq!(w.v[1], expected);
    let mut w = wave();
    w.set_vgpr(0, std::array::from_fn(|l| l as u32));
    let swapped = "v_mov_b32_dpp v0, v0 row_xmask:1 row_mask:0xf bank_mask:0xf";
    execute(&mut w, &[(swapped, &[0x7e0002fa, 0xff016100])]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(w.v[0], std::array::from_fn(|l| l as u32 ^ 1));
    let mut w = wave();
    w.set_vgpr(0, floats(|l| l as f32));
    let summed = "v_add_f32_dpp v0, v0, v0 row_xmask:8 row_mask:0xf bank_mask:0xf";
    execute(&mut w, &[(summed, &[0x060000fa, 0xff016800])]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(w.v[0], floats(|l| (l + (l ^ 8)) as f32));
}

/// Lanes by selectors, by number, and the first.
#[test]
fn lanes_by_number() {
    let ids: Lanes = std::array::from_fn(|l| 100 + l as u32);
    let selectors = 0x0123_4567_89ab_cdefu64;
    for (text, words, row) in [
        ("v_permlane16_b32 v1, v0, s0, s1", [0xd65b0001, 0x00040100], 0),
        ("v_permlanex16_b32 v1, v0, s0, s1", [0xd65c0001, 0x00040100], 16),
    ] {
        let mut wave = wave();
        wave.set_vgpr(0, ids);
        wave.set_sgpr(0, selectors as u32);
        wave.set_sgpr(1, (selectors >> 32) as u32);
        execute(&mut wave, &[(text, &words)]).unwrap_or_else(|e| panic!("{e}"));
        // The selectors count down from 15.
        assert_eq!(wave.v[1], std::array::from_fn(|l| ids[(l & 16 ^ row) | (15 - l % 16)]), "{text}");
    }
    let mut w = wave();
    w.set_vgpr(0, ids);
    w.set_sgpr(0, 7);
    w.set_sgpr(1, 40);
    let code: &[(&str, &[u32])] = &[("v_readlane_b32 s0, v0, s1", &[0xd7600000, 0x00000300])];
    execute(&mut w, code).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(w.s[0], ids[8], "a lane's number wraps");
    execute(&mut w, &[("v_writelane_b32 v0, s0, 5", &[0xd7610000, 0x00010a00])])
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((w.v[0][5], w.v[0][4]), (ids[8], ids[4]));
    w.set_sgpr(sgpr::EXEC, 0xf000);
    execute(&mut w, &[("v_readfirstlane_b32 s0, v0", &[0x7e000500])]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(w.s[0], ids[12]);
}

/// What must not be guessed.
#[test]
fn refusals() {
    let expect = |w: &mut Wave, text: &str, words: &[u32], fault: Fault| {
        assert_eq!(execute(w, &[(text, words)]), Err(fault), "{text}");
    };
    let add = ("v_add_f32_e32 v2, v0, v1", [0x06040300u32]);
    let undefined = |n, lanes| Fault::Undefined { register: Register::Vector(n), lanes };
    let mut w = wave();
    w.set_vgpr(0, [0; LANES]);
    expect(&mut w, add.0, &add.1, undefined(1, !0));
    w.v_defined[1] = 0xffff;
    expect(&mut w, add.0, &add.1, undefined(1, 0xffff_0000));
    // In the lanes that are active, it was written.
    w.set_sgpr(sgpr::EXEC, 0xff);
    assert_eq!(execute(&mut w, &[(add.0, &add.1)]), Ok(()));
    assert_eq!(w.v_defined[2], 0xff);
    for pending in [0, 1, 2] {
        let mut w = wave();
        w.set_vgpr(0, [0; LANES]);
        w.set_vgpr(1, [0; LANES]);
        w.v_pending[pending] = 1;
        expect(&mut w, add.0, &add.1, Fault::NotWaited(Register::Vector(pending as u8)));
    }
    let compare = ("v_cmp_gt_i32_e64 s4, s0, v0", [0xd4440004u32, 0x00020000]);
    let mut w = wave();
    w.set_vgpr(0, [0; LANES]);
    expect(&mut w, compare.0, &compare.1, Fault::Undefined { register: Register::Scalar(0), lanes: 0 });
    w.set_sgpr(0, 1);
    w.s_pending = 1;
    expect(&mut w, compare.0, &compare.1, Fault::NotWaited(Register::Scalar(0)));
    // A neighbour that is not active has nothing to give.
    let mut w = wave();
    w.set_vgpr(0, [0; LANES]);
    w.set_vgpr(1, [0; LANES]);
    w.set_sgpr(sgpr::EXEC, 1);
    let swapped = "v_mov_b32_dpp v1, v0 row_xmask:6 row_mask:0xf bank_mask:0xf";
    let fault = |from| Fault::InactiveLane { lane: 0, from, register: Register::Vector(0) };
    expect(&mut w, swapped, &[0x7e0202fa, 0xff016600], fault(6));
    w.set_sgpr(0, 0);
    w.set_sgpr(1, 0);
    expect(&mut w, "v_permlanex16_b32 v1, v0, s0, s1", &[0xd65c0001, 0x00040100], fault(16));
    // Bytes that are no instruction, and a clamp where there is none.
    assert!(matches!(Program::decode(&[0xff; 4], 0), Err(Fault::Unknown { .. })));
    let clamped: Vec<u8> =
        [0xd5038000u32 + (0x1b << 16), 0x00020300].iter().flat_map(|w| w.to_le_bytes()).collect();
    assert!(matches!(Program::decode(&clamped, 0), Err(Fault::Unsupported(_))));
    // A matrix whose two copies differ, and one while lanes sleep.
    let wmma: (&str, &[u32]) = (
        "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:3], v[8:11], v[16:23] neg_lo:[1,1,0]",
        &[0xcc444010, 0x7c421100],
    );
    let mut w = wave();
    for n in 0..32 {
        w.set_vgpr(n, [0; LANES]);
    }
    w.v[2][20] = 1;
    assert!(matches!(execute(&mut w, &[wmma]), Err(Fault::Unsupported(_))));
    w.v[2][4] = 1;
    assert_eq!(execute(&mut w, &[wmma]), Ok(()));
    w.set_sgpr(sgpr::EXEC, 0x7fff_ffff);
    assert!(matches!(execute(&mut w, &[wmma]), Err(Fault::Unsupported(_))));
}

/// Moves carry what was not written; it is an error when it is used.
#[test]
fn moves_of_nothing() {
    let mov = ("v_mov_b16_e32 v0.h, v1.l", &[0x7f003901u32][..]);
    let select = ("v_cndmask_b32_e32 v2, v0, v1, vcc_lo", &[0x02040300u32][..]);
    let mut w = wave();
    assert_eq!(execute(&mut w, &[mov]), Ok(()));
    assert_eq!(w.v_defined[0], 0);
    w.set_vgpr(0, [5; LANES]);
    w.set_sgpr(sgpr::VCC, 0xf0);
    assert_eq!(execute(&mut w, &[select]), Ok(()));
    assert_eq!(w.v_defined[2], !0xf0, "the lanes that took what nobody wrote");
    // The low half of a sum needs no high half.
    let mad = ("v_mad_u64_u32 v[2:3], null, v0, 3, v[4:5]", &[0xd6fe7c02u32, 0x04110700][..]);
    w.set_vgpr(4, [1; LANES]);
    assert_eq!(execute(&mut w, &[mad]), Ok(()));
    assert_eq!((w.v[2][0], w.v_defined[2], w.v_defined[3]), (16, !0, 0));
}

/// A dual instruction's halves read before either writes.
#[test]
fn duals() {
    let mut w = wave();
    w.set_vgpr(0, [1; LANES]);
    w.set_vgpr(1, [2; LANES]);
    let swap = ("v_dual_mov_b32 v0, v1 :: v_dual_mov_b32 v1, v0", &[0xca100101u32, 0x00000100][..]);
    execute(&mut w, &[swap]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((w.v[0], w.v[1]), ([2; LANES], [1; LANES]));
    execute(&mut w, &[("v_swap_b32 v0, v1", &[0x7e00cb01])]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((w.v[0], w.v[1]), ([1; LANES], [2; LANES]));
}

/// What one instruction makes of one or two values.
fn one(text: &str, words: &[u32], a: u32, b: u32) -> u32 {
    with_mode(text, words, a, b, Mode::default())
}

fn with_mode(text: &str, words: &[u32], a: u32, b: u32, mode: Mode) -> u32 {
    let mut w = Wave::new(32, mode);
    w.set_vgpr(0, [a; LANES]);
    w.set_vgpr(1, [b; LANES]);
    w.set_vgpr(2, [0x0d00_0c08; LANES]);
    execute(&mut w, &[(text, words)]).unwrap_or_else(|e| panic!("{e}"));
    w.v[if text.contains(" v3,") {
        3
    } else if text.contains(" v2,") {
        2
    } else {
        1
    }][7]
}

/// Those that the pseudocode leaves open or gets wrong.
#[test]
fn by_hand() {
    let f = f32::to_bits;
    let rndne = |x: f32| f32::from_bits(one("v_rndne_f32_e32 v1, v0", &[0x7e024700], f(x), 0));
    for (x, y) in [(0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, -0.0), (-1.5, -2.0), (8388609.0, 8388609.0)] {
        assert_eq!(f(rndne(x)), f(y), "{x}");
    }
    let off = |x: u32| f32::from_bits(one("v_cvt_off_f32_i4_e32 v1, v0", &[0x7e021d00], x, 0));
    assert_eq!([off(0), off(1), off(7), off(8), off(15)], [0.0, 0.0625, 0.4375, -0.5, -0.0625]);
    let exponent = |x: f32| one("v_frexp_exp_i32_f32_e32 v1, v0", &[0x7e027f00], f(x), 0) as i32;
    assert_eq!([exponent(1.0), exponent(0.75), exponent(0.0), exponent(f32::from_bits(1))], [1, 0, 0, -148]);
    let toward_zero = |a: f32| one("v_cvt_pk_rtz_f16_f32_e32 v2, v0, v1", &[0x5e040300], f(a), f(-a));
    for (x, y) in
        [(1.0, 0x3c00), (65519.0, 0x7bff), (65535.0, 0x7bff), (1.0 + 1.0 / 1025.0, 0x3c00), (0.0, 0)]
    {
        assert_eq!(toward_zero(x), y | (y | 0x8000) << 16, "{x}");
    }
    // Bytes 0 to 3 of the second operand, 4 to 7 of the first; 8 the sign of byte 1; 12 zero, 13 ones.
    let bytes = one("v_perm_b32 v3, v0, v1, v2", &[0xd6440003, 0x040a0300], 0x0706_0504, 0x0302_8100);
    assert_eq!(bytes, 0xff00_00ff, "selectors 0x0d, 0, 0x0c, 8");
    // 1 / (2 pi) as a constant, bits as the document gives them.
    let inverse = one("v_mul_f32_e32 v1, 0.15915494, v0", &[0x100200f8], f(1.0), 0);
    assert_eq!(inverse, 0x3e22_f983);
    let clamped = |a: f32, b: f32| {
        f32::from_bits(one("v_add_f32_e64 v2, -|v0|, v1 clamp mul:2", &[0xd5038102, 0x28020300], f(a), f(b)))
    };
    assert_eq!(
        [clamped(-0.25, 0.5), clamped(0.25, 9.0), clamped(3.0, 0.0), clamped(f32::NAN, 0.0)],
        [0.5, 1.0, 0.0, 0.0]
    );
    assert_eq!(one("v_cvt_f16_f32_e32 v1.h, v0", &[0x7f021500], f(1.0), 0xabcd), 0x3c00_abcd);
}

/// Denormals are kept or flushed as the mode says, on the way in and out each on its own.
#[test]
fn denormals() {
    let add = |a: f32, b: f32, mode| {
        let bits = with_mode("v_add_f32_e32 v2, v0, v1", &[0x06040300], a.to_bits(), b.to_bits(), mode);
        f32::from_bits(bits)
    };
    let least = f32::MIN_POSITIVE;
    let tiny = f32::from_bits(0x0040_0000);
    let keep = Mode::default();
    let in_only = Mode { denormals_32_out: false, ..keep };
    let none = Mode { denormals_32_in: false, ..in_only };
    assert_eq!(add(tiny, tiny, keep), least);
    assert_eq!(add(tiny, tiny, in_only), least);
    assert_eq!(add(tiny, tiny, none), 0.0);
    assert_eq!(add(1.5 * least, -least, keep), tiny);
    assert_eq!(add(1.5 * least, -least, in_only), 0.0);
    // FLOAT_DENORM_MODE_32 of a descriptor: 2 keeps results only; both kinds of float on their own.
    let mode = Mode::from_rsrc1(2 << 16 | 3 << 18).unwrap_or_else(|e| panic!("{e}"));
    assert!(!mode.denormals_32_in && mode.denormals_32_out && mode.denormals_16_64_in);
    assert!(Mode::from_rsrc1(1 << 12).is_err(), "rounding upward");
    let widen = |mode| with_mode("v_cvt_f32_f16_e32 v1, v0.l", &[0x7e021700], 1, 0, mode);
    assert_eq!(f32::from_bits(widen(keep)), 2f32.powi(-24));
    assert_eq!(widen(Mode { denormals_16_64_in: false, ..keep }), 0);
}

/// Scalar instructions with a constant, and what changes EXEC.
#[test]
fn constants_and_masks() {
    let mut w = wave();
    w.set_vgpr(0, std::array::from_fn(|l| l as u32));
    let mut step = |code: &[(&str, &[u32])]| {
        execute(&mut w, code).unwrap_or_else(|e| panic!("{e}"));
        (w.s[0], w.scc, w.exec(), w.s[4])
    };
    assert_eq!(step(&[("s_movk_i32 s0, 0x8000", &[0xb0008000])]).0, -32768i32 as u32);
    let sum = step(&[("s_addk_i32 s0, 0x7fff", &[0xb7807fff])]);
    assert_eq!((sum.0, sum.1), (!0, false));
    assert!(!step(&[("s_cmpk_lt_i32 s0, 0xffff", &[0xb380ffff])]).1, "-1 is not below -1");
    assert!(!step(&[("s_cmpk_lt_u32 s0, 0xffff", &[0xb680ffff])]).1, "the constant is extended by zeros");
    assert_eq!(step(&[("s_mulk_i32 s0, 0xffff", &[0xb800ffff])]).0, 1);
    assert_eq!(step(&[("s_movk_i32 s0, 0x4", &[0xb0000004])]).0, 4);
    // Lanes below 4 go on; then a comparison of those only, the others' bits 0.
    let code: &[(&str, &[u32])] = &[
        ("v_cmpx_gt_i32_e64 s0, v0", &[0xd4c4007e, 0x00020000]),
        ("s_movk_i32 s0, 0x2", &[0xb0000002]),
        ("v_cmp_gt_i32_e64 s4, s0, v0", &[0xd4440004, 0x00020000]),
    ];
    let after = step(code);
    assert_eq!((after.2, after.3), (0xf, 0x3));
}

/// Matrices, element by element: A's row and B's column of a lane, where each sum lands.
#[test]
fn matrices() {
    let mut random = Random(3);
    let value = |random: &mut Random| (random.next() % 256) as i32 - 128;
    let mut a = [[0i32; 16]; 16];
    let mut b = [[0i32; 16]; 16];
    let mut c = [[0i32; 16]; 16];
    for m in [&mut a, &mut b, &mut c] {
        m.iter_mut().flatten().for_each(|x| *x = value(&mut random));
    }
    // a[row][k], b[column][k].
    let exact = |narrow: fn(i32) -> i32, row: usize, column: usize| -> i32 {
        (0..16).map(|k| narrow(a[row][k]) * narrow(b[column][k])).sum::<i32>() + c[row][column]
    };
    let set = |w: &mut Wave, first: u8, m: &[[i32; 16]; 16], bits: u32, encode: &dyn Fn(i32) -> u32| {
        let per = 32 / bits as usize;
        for register in 0..16 / per {
            let word = |l: usize| {
                (0..per).fold(0, |word, n| word | encode(m[l % 16][register * per + n]) << (n as u32 * bits))
            };
            w.set_vgpr(first + register as u8, std::array::from_fn(word));
        }
    };
    type Case<'a> = (&'a str, [u32; 2], u32, Box<dyn Fn(i32) -> u32>, fn(i32) -> i32, bool);
    let same: fn(i32) -> i32 = |x| x;
    let cases: Vec<Case> = vec![
        (
            "v_wmma_f32_16x16x16_f16 v[16:23], v[0:7], v[8:15], v[16:23]",
            [0xcc404010, 0x1c421100],
            16,
            Box::new(|x| f16::from_f32(x as f32).to_bits() as u32),
            same,
            true,
        ),
        (
            "v_wmma_f32_16x16x16_bf16 v[16:23], v[0:7], v[8:15], v[16:23]",
            [0xcc414010, 0x1c421100],
            16,
            Box::new(|x| bf16::from_f32(x as f32).to_bits() as u32),
            same,
            true,
        ),
        (
            "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:3], v[8:11], v[16:23] neg_lo:[1,1,0]",
            [0xcc444010, 0x7c421100],
            8,
            Box::new(|x| x as u32 & 0xff),
            same,
            false,
        ),
        (
            "v_wmma_i32_16x16x16_iu4 v[16:23], v[0:1], v[8:9], v[16:23] neg_lo:[1,1,0]",
            [0xcc454010, 0x7c421100],
            4,
            Box::new(|x| x as u32 & 0xf),
            |x| x << 28 >> 28,
            false,
        ),
    ];
    for (text, words, bits, encode, narrow, float) in cases {
        let mut w = wave();
        set(&mut w, 0, &a, bits, &encode);
        set(&mut w, 8, &b, bits, &encode);
        let bits_of = |x: i32| if float { (x as f32).to_bits() } else { x as u32 };
        for i in 0..8 {
            w.set_vgpr(16 + i as u8, std::array::from_fn(|l| bits_of(c[2 * i + l / 16][l % 16])));
        }
        execute(&mut w, &[(text, &words)]).unwrap_or_else(|e| panic!("{text}: {e}"));
        for i in 0..8 {
            let expected: Lanes = std::array::from_fn(|l| bits_of(exact(narrow, 2 * i + l / 16, l % 16)));
            assert_eq!(w.v[16 + i], expected, "{text}: register {i}");
        }
    }
}
