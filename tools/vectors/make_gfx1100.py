#!/usr/bin/env python3
"""Makes tools/gfx1100/tests/vectors.txt: what single gfx1100 instructions give for corner values and for random
ones, worked out from the pseudocode of AMD's ISA document. That pseudocode comes from the PyPI package `tinygrad`
(its tables tinygrad/runtime/autogen/amd/rdna3); `pseudocode.py` runs it.

    pip download tinygrad --no-deps && unzip tinygrad-*.whl -d tinygrad
    pip install numpy
    python3 make_gfx1100.py tinygrad names > ../gfx1100/tests/vectors.txt

where `names` is a file with the instructions that are wanted, a word each.
"""

import random
import re
import sys

import numpy as np

from pseudocode import Denormal, Env, FLOATS, Masks, Mode, Register, execute, quiet, raw, statements, to_bits, truth

random.seed(11)

CORNERS = {
    "i": [0, 1, 2, -1, -2, 7, 15, 16, 31, 32, 33, 63, 64, 0xFF, 0x80, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, -0x80000000, 0x55555555, 0x7FFFFF, 0x800000, 0x01020408, 0x0C0D0B08],
    "f32": [0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x00000001, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0x3F000000, 0x3FC00000, 0x40200000, 0xC0200000, 0x3F7FFFFF, 0x4F000000, 0xCF000000, 0x4F800000, 0x477FE000, 0x477FF000, 0x477FEFFF, 0x33800000, 0x33000000, 0x33000001, 0x4B000001, 0x7E800000, 0x01000000, 0x0A000000, 0x75000000],
    "f16": [0x0000, 0x8000, 0x3C00, 0xBC00, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x7C01, 0x3800, 0x3E00, 0x4100, 0x3BFF, 0x6400, 0x0200, 0x1400],
    "f64": [0, 1 << 63, 0x3FF0000000000000, 0xBFF0000000000000, 1, 0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x7FF0000000000001, 0x3FE0000000000000, 0x3FF8000000000000, 0x4004000000000000, 0x41DFFFFFFFC00000, 0x41E0000000000000, 0x47EFFFFFEFFFFFFF, 0x47EFFFFFF0000000, 0x36A0000000000000, 0x3690000000000000],
}


def sample(kind):
    """The bits of an operand."""
    if kind in ("f32", "f16", "f64"):
        width = int(kind[1:])
        if random.random() < 0.6:
            return random.choice(CORNERS[kind])
        if random.random() < 0.5:
            return to_bits(FLOATS[width](random.uniform(-8, 8)))
        return random.getrandbits(width)
    width = int(kind[1:])
    x = random.choice(CORNERS["i"]) if random.random() < 0.6 else random.getrandbits(width)
    return x & ((1 << width) - 1)


def kinds_of(code):
    """How the pseudocode reads each operand: the widest."""
    out = []
    for n in range(3):
        uses = re.findall(rf"\bS{n}(?:\[[^\]]*\])?\.([fiub])(\d+)", code)
        uses += [("b", "32")] if re.search(rf"\bS{n}\[", code) else []
        if not uses:
            out.append("b32" if re.search(rf"\bS{n}\b", code) else None)
            continue
        floats = [u for u in uses if u[0] == "f"]
        width = max(int(u[1]) for u in uses)
        if floats and not re.search(rf"\bS{n}\[", code):
            out.append("f" + floats[0][1])
        elif floats:
            out.append("p16")
        else:
            out.append("b64" if width == 64 else "b32")
    return out


def draw(kind):
    if kind == "p16":
        return sample("f16") | sample("f16") << 16
    if kind == "f16":
        return sample("f16") | random.getrandbits(16) << 16
    return sample(kind)


def drawn(kinds):
    """Operands of a case; now and then two are the same."""
    values = [draw(k) if k else 0 for k in kinds]
    if kinds[0] == kinds[1] and random.random() < 0.2:
        values[1] = values[0]
    return values


def main():
    root = sys.argv[1]
    sys.path.insert(0, root)
    tables = open(f"{root}/tinygrad/runtime/autogen/amd/rdna3/str_pcode.py").read()
    enums = open(f"{root}/tinygrad/runtime/autogen/amd/rdna3/enum.py").read()
    code = {}
    for m in re.finditer(r"^  (\w+)\.(\w+): ('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"),?$", tables, re.M):
        code[m.group(1), m.group(2)] = eval(m.group(3))
    numbers, current = {}, None
    for line in enums.split("\n"):
        if m := re.match(r"class (\w+)\(", line):
            current = m.group(1)
        if m := re.match(r"  (\w+) = (\d+)$", line):
            numbers[current, m.group(1)] = int(m.group(2))
    wanted = set(open(sys.argv[2]).read().split())
    print("# Made by tools/vectors/make_gfx1100.py. Each block: a name, what its result is, its words, then a line a lane")
    print("# or a case. Vector: operands, result, mask. Scalar: operands, old result, condition; result, condition.")
    # The document's scaling in these is not what undoes itself, and quotients that overflow are forgotten; whole divisions are tested instead.
    wanted -= {"v_div_scale_f32", "v_div_fmas_f32", "v_div_fixup_f32"}
    # These have no form with a free choice of registers.
    wanted -= {"v_dot2acc_f32_f16", "v_pk_fmac_f16", "v_swap_b32"}
    # A table that the document draws; a product that it adds to the wrong operand; what it leaves open for zeros and
    # denormals; rounding that it does in a way that fails for large numbers. Tested by hand.
    wanted -= {"v_cvt_off_f32_i4", "v_fmac_dx9_zero_f32", "v_frexp_exp_i32_f32", "v_frexp_exp_i32_f64"}
    wanted -= {"v_rndne_f16", "v_rndne_f32", "v_rndne_f64"}
    left = []
    for name in sorted(wanted):
        try:
            emit(name, code, numbers)
        except (SyntaxError, KeyError, AssertionError, TypeError, ValueError, AttributeError) as e:
            left.append(f"{name} ({type(e).__name__} {str(e)[:60]})")
    print(f"{len(left)} left out: " + ", ".join(left), file=sys.stderr)


def find(name, code):
    upper = name.upper()
    for table, suffix in (("VOP1Op", "_E32"), ("VOP2Op", "_E32"), ("VOPCOp", "_E32"), ("VOP3Op", ""), ("VOP3SDOp", ""), ("VOP3POp", ""), ("SOP1Op", ""), ("SOP2Op", ""), ("SOPCOp", ""), ("SOPKOp", "")):
        if (table, upper + suffix) in code:
            return table, upper + suffix
    raise KeyError("no pseudocode")


def emit(name, code, numbers):
    table, key = find(name, code)
    text = code[table, key]
    kinds = kinds_of(text)
    lines = statements(text)
    number = numbers[table, key]
    if table.startswith("SOP"):
        return emit_scalar(name, table, number, kinds, lines, text)
    if "OPSEL_HI" in text:
        kinds = ["b32"] * 3
        lines = [line for line in lines if line != "declare S : 32'B[3]"]
    n = sum(k is not None for k in kinds)
    out = re.search(r"\bD0(?:\[[^\]]*\])?\.([fiub])(\d+)", text)
    is_compare = table == "VOPCOp" or "CMP" in key
    result = "mask" if is_compare else (("p16" if "D0[" in text or "tmp[" in text and "f16" in text else out.group(1) + out.group(2)) if out else "b32")
    if key == "V_FMA_MIX_F32":
        result = "f32"
    has_mask = table == "VOP3SDOp"
    carry_in = "_CI_" in key
    base = {"VOP1Op": 384, "VOP2Op": 256, "VOPCOp": 0}.get(table, 0)
    if (table, key) == ("VOP2Op", key) and carry_in:
        table, base = "VOP3SDOp", 256
        has_mask = True
    # Operands in v0, v2, v4; result in v8; masks in s10 (in) and s12 (out, and comparisons' result).
    sources = [256 + 2 * i for i in range(3)]
    if carry_in or name.startswith("v_cndmask"):
        sources[2] = 10
        n = 3
    for i in range(n, 3):
        sources[i] = 128 if is_compare else 0
    if table == "VOP3POp":
        neg = 0
        if "iu" in name:
            neg = random.choice([1, 2, 3])
        first = 0xCC000000 | number << 16 | 0x4000 | 8
        second = sources[0] | sources[1] << 9 | sources[2] << 18 | 3 << 27 | neg << 29
        mix = "OPSEL_HI" in text
        if mix:
            hi, sel = random.getrandbits(3), random.getrandbits(3)
            first = 0xCC000000 | number << 16 | (hi >> 2 & 1) << 14 | sel << 11 | 8
            second = sources[0] | sources[1] << 9 | sources[2] << 18 | (hi & 3) << 27
            kinds = ["p16" if hi >> i & 1 else "f32" for i in range(3)]
    else:
        neg, mix = 0, False
        first = 0b110101 << 26 | (number + base) << 16 | (12 if is_compare and "CMPX" not in key else 126 if is_compare else 8) | (12 << 8 if has_mask else 0)
        second = sources[0] | sources[1] << 9 | sources[2] << 18
    rows = []
    for _ in range(32):
        values = drawn(kinds)
        old = random.getrandbits(32) if out and out.group(2) in ("16",) else 0
        if "FMAC" in key or "DOT2ACC" in key:
            old = draw("f16" if "F16" in key and "F32" not in key else "f32")
        carry = random.getrandbits(1)
        env = Env(
            S0=Register(values[0]), S1=Register(values[1]), S2=Register(values[2]), D0=Register(old), D1=0,
            VCC=Masks(carry), EXEC=[0] * 64, laneId=len(rows) % 32, WAVE32=1, ROUND_MODE=0, quiet=quiet,
            WAVE_MODE=None, NEG=Register(neg), DENORM=Denormal(), NAN=Register(0x7FC00000),
            UNDERFLOW_F32=np.float32(0.0), OVERFLOW_F32=np.float32(np.inf),
        )
        env.v["WAVE_MODE"] = Mode()
        if mix:
            env.v["S"] = [Register(v) for v in values]
            env.v["OPSEL_HI"], env.v["OPSEL"] = Register(hi), Register(sel)
        if is_compare:
            env.v["D0"] = env.v["EXEC"] = Masks(0)
        execute(lines, env)
        if is_compare:
            bit = env.v["EXEC" if "EXEC" in text else "D0"].bit
            rows.append((values[:n], 0, carry, 0, bit))
            continue
        d0 = raw(env.v["D0"])
        mask = env.v["mask"] if "mask" in env.v else env.v.get("D1", 0)
        if not isinstance(env.v["VCC"], Masks):
            env.v["VCC"] = Masks(raw(env.v["VCC"]) & 1)
        if has_mask:
            mask = env.v["VCC"].bit
        if has_mask and "D1" in env.v and name.startswith("v_mad"):
            mask = raw(env.v["D1"])
        if "FRACT" in key:
            # The document's subtraction rounds to 1 just below an integer; the instruction stays below.
            one, below = {16: (0x3C00, 0x3BFF), 32: (0x3F800000, 0x3F7FFFFF), 64: (0x3FF << 52, (0x3FF << 52) - 1)}[int(out.group(2))]
            d0 = below if d0 & ((1 << int(out.group(2))) - 1) == one else d0
        if result.endswith("16") and result != "p16":
            d0 = old & 0xFFFF0000 | d0 & 0xFFFF
        rows.append((values[:n] if not (carry_in or name.startswith("v_cndmask")) else values[:2], old, carry, d0, int(mask)))
    print(f"\nvector {name} {result} {first:08x} {second:08x}")
    for values, old, carry, d0, mask in rows:
        print(" ".join(f"{v:x}" for v in values), f"| {old:x} {carry} | {d0:x} {mask}")


def emit_scalar(name, table, number, kinds, lines, text):
    n = sum(k is not None for k in kinds)
    out = re.search(r"\bD0\.([fiub])(\d+)", text)
    result = out.group(1) + out.group(2) if out else "none"
    rows = []
    # Operands in s0 and s2, result in s8.
    if table == "SOP2Op":
        word = 0b10 << 30 | number << 23 | 8 << 16 | 2 << 8
    elif table == "SOP1Op":
        word = 0b101111101 << 23 | 8 << 16 | number << 8
    elif table == "SOPCOp":
        word = 0b101111110 << 23 | number << 16 | 2 << 8
    else:
        raise KeyError("SOPK")
    for _ in range(32):
        values = drawn(kinds)
        old, scc = random.getrandbits(64), random.getrandbits(1)
        exec_mask = random.getrandbits(32)
        env = Env(S0=Register(values[0]), S1=Register(values[1]), D0=Register(old), SCC=scc, EXEC=Register(exec_mask))
        execute(lines, env)
        d0 = raw(env.v["D0"]) & ((1 << 64) - 1)
        if result != "none" and result.endswith("32"):
            d0, old = d0 & 0xFFFFFFFF, old & 0xFFFFFFFF
        rows.append((values[:n], old, scc, exec_mask, d0, int(truth(env.v["SCC"])), raw(env.v["EXEC"]) & 0xFFFFFFFF))
    print(f"\nscalar {name} {result} {word:08x}")
    for values, old, scc, e, d0, after, now in rows:
        print(" ".join(f"{v:x}" for v in values), f"| {old:x} {scc} {e:x} | {d0:x} {after} {now:x}")


if __name__ == "__main__":
    main()
