#!/usr/bin/env python3
"""Makes tools/gfx1100/tests/vectors.txt: what single gfx1100 instructions give for corner values and for random
ones, worked out from the pseudocode of AMD's ISA document. That pseudocode comes from the PyPI package `tinygrad`
(its tables tinygrad/runtime/autogen/amd/rdna3); this file reads and runs it.

    pip download tinygrad --no-deps && unzip tinygrad-*.whl -d tinygrad
    pip install numpy
    python3 make_gfx1100.py tinygrad names > ../gfx1100/tests/vectors.txt

where `names` is a file with the instructions that are wanted, a word each.
"""

import random
import re
import sys
from fractions import Fraction

import numpy as np

np.seterr(all="ignore")
random.seed(11)

FLOATS = {16: np.float16, 32: np.float32, 64: np.float64}
BITS = {16: np.uint16, 32: np.uint32, 64: np.uint64}


def from_bits(bits, width):
    return np.array([bits & ((1 << width) - 1)], BITS[width]).view(FLOATS[width])[0]


def to_bits(x):
    width = x.dtype.itemsize * 8
    return int(np.array([x]).view(BITS[width])[0])


def is_float(x):
    return isinstance(x, np.floating)


def rounded(fraction, width, zero_sign=0):
    """A fraction to the nearest float, ties to even."""
    digits, least, most = {16: (11, -24, 15), 32: (24, -149, 127), 64: (53, -1074, 1023)}[width]
    if fraction == 0:
        return FLOATS[width](-0.0 if zero_sign else 0.0)
    sign, a = (-1, -fraction) if fraction < 0 else (1, fraction)
    e = a.numerator.bit_length() - a.denominator.bit_length()
    e = e if Fraction(2) ** e <= a else e - 1
    step = Fraction(2) ** max(e - digits + 1, least)
    n = a / step
    whole = n.numerator // n.denominator
    rest = n - whole
    whole += rest > Fraction(1, 2) or rest == Fraction(1, 2) and whole & 1
    value = whole * step
    if value >= Fraction(2) ** (most + 1):
        return FLOATS[width](sign * np.inf)
    return FLOATS[width](sign * float(value)) if value else FLOATS[width](sign * 0.0)


def fma(a, b, c):
    width = a.dtype.itemsize * 8
    if not all(np.isfinite([a, b, c])):
        return FLOATS[width](np.float64(a) * np.float64(b) + np.float64(c))
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if exact == 0:
        return FLOATS[width](np.float64(a) * np.float64(b) + np.float64(c)) if float(a) * float(b) == 0 or c != 0 else FLOATS[width](0.0)
    return rounded(exact, width)


def convert_float(x, width):
    if is_float(x):
        if np.isnan(x) and width == 64:
            # Widened by hand: numpy's way would quiet a signalling NaN.
            digits, own = {16: (42, 15), 32: (29, 31), 64: (0, 63)}[x.dtype.itemsize * 8]
            bits = to_bits(x)
            mantissa = bits & ((1 << (52 - digits)) - 1)
            return from_bits((bits >> own) << 63 | 0x7FF << 52 | mantissa << digits, 64)
        if not np.isfinite(x):
            return FLOATS[width](x)
        return rounded(Fraction(float(x)), width, np.signbit(x))
    return rounded(Fraction(x), width)


def to_int(x, low, high):
    if np.isnan(x):
        return 0
    if np.isinf(x):
        return high if x > 0 else low
    return max(low, min(high, int(x)))


def signext(x, width):
    x &= (1 << width) - 1
    return x - (1 << width) if width and x >> (width - 1) else x


class Register:
    """Bits that have no type of their own."""

    def __init__(self, bits=0):
        self.bits = bits


class Break(Exception):
    pass


TOKEN = re.compile(
    r"\s*(?:(\d+'0x[0-9a-fA-F]+|\d+'\d+\.\d+|\d+'-?\d+[UI]?|\d+'[UIBF]|0x[0-9a-fA-F]+[UL]*|\d+\.\d+F?|\d+[UL]*F?|[A-Za-z_]\w*)|(\*\*|<<|>>|<>|<=|>=|==|!=|&&|\|\||\+=|-=|[-+*/%&|^~!<>=?:.,;()\[\]{}]))"
)


def tokens(text):
    at, out = 0, []
    text = text.strip()
    while at < len(text):
        m = TOKEN.match(text, at)
        if not m:
            raise SyntaxError(text[at : at + 30])
        out.append(m.group(1) or m.group(2))
        at = m.end()
    return out


class Expr:
    """Reads an expression and works it out as it goes; `env` holds variables."""

    def __init__(self, text, env):
        self.t, self.at, self.env = tokens(text), 0, env

    def peek(self):
        return self.t[self.at] if self.at < len(self.t) else None

    def take(self, want=None):
        token = self.peek()
        if want is not None and token != want:
            raise SyntaxError(f"{want} expected, {token} found in {' '.join(self.t)}")
        self.at += 1
        return token

    def value(self):
        condition = self.binary(0)
        if self.peek() == "?":
            self.take()
            a = self.value()
            self.take(":")
            b = self.value()
            return a if truth(condition) else b
        return condition

    LEVELS = [["||"], ["&&"], ["|"], ["^"], ["&"], ["==", "!=", "<>"], ["<", "<=", ">", ">="], ["<<", ">>"], ["+", "-"], ["*", "/", "%"], ["**"]]

    def binary(self, level):
        if level == len(self.LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in self.LEVELS[level]:
            op = self.take()
            right = self.binary(level + 1)
            left = apply(op, plain(left), plain(right))
        return left

    def unary(self):
        token = self.peek()
        if token in ("-", "~", "!", "+"):
            self.take()
            x = plain(self.unary())
            if token == "-":
                return -x
            if token == "+":
                return x
            return ~x if token == "~" else int(not truth(x))
        return self.postfix(self.primary())

    def postfix(self, x):
        while self.peek() in (".", "["):
            if self.take() == ".":
                x = typed(x, self.take())
            else:
                x = self.index(x)
        return x

    def index(self, x):
        first = plain(self.value())
        if isinstance(x, Masks):
            self.take("]")
            return x
        if self.peek() == ":":
            self.take()
            low = plain(self.value())
            self.take("]")
            if low > first:
                width = low - first + 1
                return Register(int(f"{raw(x):0{width}b}"[::-1], 2))
            return Register(raw(x) >> low & ((1 << (first - low + 1)) - 1))
        if self.peek() == "+":
            raise SyntaxError("+:")
        self.take("]")
        if isinstance(x, list):
            return x[first]
        return raw(x) >> first & 1

    def primary(self):
        token = self.take()
        if token == "(":
            x = self.value()
            self.take(")")
            return x
        if token == "{":
            parts = [self.value()]
            while self.peek() == ",":
                self.take()
                parts.append(self.value())
            self.take("}")
            bits = 0
            for part in parts:
                bits = bits << 32 | raw(part) & 0xFFFFFFFF
            return Register(bits)
        m = re.fullmatch(r"(\d+)'([UIBF])", token)
        if m and self.peek() == "(":
            self.take("(")
            x = plain(self.value())
            self.take(")")
            return cast(x, m.group(2), int(m.group(1)))
        m = re.fullmatch(r"(\d+)'(.+?)[UI]?", token)
        if m and "." in token:
            return FLOATS[int(m.group(1))](m.group(2))
        if m:
            return int(m.group(2), 0)
        if re.fullmatch(r"0x[0-9a-fA-F]+[UL]*", token):
            return int(token.rstrip("UL"), 16)
        if re.fullmatch(r"\d+[UL]*", token):
            return int(token.rstrip("UL"))
        if re.fullmatch(r"\d+\.\d+F", token):
            return np.float32(token[:-1])
        if re.fullmatch(r"\d+\.\d+", token):
            return np.float64(token)
        if self.peek() == "(":
            self.take("(")
            arguments = []
            while self.peek() != ")":
                arguments.append(plain(self.value()))
                if self.peek() == ",":
                    self.take()
            self.take(")")
            return self.env.call(token, arguments)
        return self.env.get(token)


def truth(x):
    return bool(plain(x))


def plain(x):
    if isinstance(x, Masks):
        return x.bit
    return x.bits if isinstance(x, Register) else x


def raw(x):
    if isinstance(x, Register):
        return x.bits
    return to_bits(x) if is_float(x) else int(x)


def typed(x, name):
    if isinstance(x, Mode):
        return 1
    if isinstance(x, Masks):
        return x
    if isinstance(x, Denormal):
        return x
    kind, width = name[0], int(name[1:])
    if kind == "f":
        if is_float(x) and (x.dtype.itemsize * 8 == width or np.isinf(x)):
            return FLOATS[width](x)
        return from_bits(raw(x), width)
    bits = raw(x) & ((1 << width) - 1)
    if kind == "i":
        return signext(bits, width)
    return Register(bits) if kind == "b" else bits


def cast(x, kind, width):
    if kind == "F":
        # A constant that is given by its bits.
        if not is_float(x) and x > 0xFF000000:
            return from_bits(x, width)
        return convert_float(x, width)
    if is_float(x):
        return raw(x)
    x &= (1 << width) - 1
    return signext(x, width) if kind == "I" else x


def apply(op, a, b):
    if isinstance(b, Denormal):
        assert op == "=="
        tiny = np.finfo(a.dtype).tiny if a.dtype == np.float32 else np.float64(np.finfo(np.float32).tiny)
        return int(a != 0 and abs(a) < tiny)
    if op == "**":
        if is_float(a):
            width = a.dtype.itemsize * 8
            return Power(b, width)
        return a**b
    if isinstance(b, Power) or isinstance(a, Power):
        power, x = (b, a) if isinstance(b, Power) else (a, b)
        assert op == "*"
        width = x.dtype.itemsize * 8
        if not np.isfinite(x) or x == 0:
            return x
        return rounded(Fraction(float(x)) * Fraction(2) ** max(-3000, min(3000, power.exponent)), width)
    if op in ("==", "!=", "<>", "<", "<=", ">", ">="):
        return int({"==": a == b, "!=": a != b, "<>": a < b or a > b if is_float(a) else a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op])
    if op == "&&":
        return int(truth(a) and truth(b))
    if op == "||":
        return int(truth(a) or truth(b))
    if is_float(a) and is_float(b) and a.dtype == b.dtype == np.float16 and op in "+-*":
        wide = apply(op, np.float64(a), np.float64(b))
        return np.float16(wide)
    return {
        "|": lambda: a | b,
        "^": lambda: a ^ b,
        "&": lambda: a & b,
        "<<": lambda: a << b,
        ">>": lambda: a >> b,
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "/": lambda: a / b,
        "%": lambda: a % b,
    }[op]()


class Power:
    """2 to an exponent, however large; only multiplied with."""

    def __init__(self, exponent, width):
        self.exponent, self.width = int(exponent), width


class Env:
    def __init__(self, **given):
        self.v = given
        self.lambdas = {}

    def get(self, name):
        constants = {"INF": np.float64(np.inf), "PI": np.float64(np.pi)}
        if name in self.v:
            return self.v[name]
        if name in constants:
            return constants[name]
        raise KeyError(name)

    def call(self, name, a):
        if name in self.lambdas:
            names, body = self.lambdas[name]
            inner = Env(**{**self.v, **dict(zip(names, a))})
            return plain(Expr(body, inner).value())
        x = a[0]
        width = x.dtype.itemsize * 8 if is_float(x) else 0
        exponent_bits = {16: 5, 32: 8, 64: 11}
        mantissa_bits = {16: 10, 32: 23, 64: 52}
        simple = {
            "mantissa": lambda: FLOATS[width](np.frexp(np.float64(x))[0]),
            "fma": lambda: fma(*a),
            "abs": lambda: from_bits(to_bits(x) & ~(1 << (width - 1)), width) if width else abs(x),
            "sign": lambda: to_bits(x) >> (width - 1),
            "isNAN": lambda: int(np.isnan(x)),
            "cvtToQuietNAN": lambda: x,
            "floor": lambda: np.floor(x),
            "trunc": lambda: np.trunc(x),
            "fract": lambda: x - np.floor(x),
            "sqrt": lambda: FLOATS[width](np.sqrt(np.float64(x))),
            "log2": lambda: FLOATS[width](np.log2(np.float64(x))),
            "pow": lambda: np.float32(np.float64(a[0]) ** np.float64(a[1])),
            "exponent": lambda: to_bits(x) >> mantissa_bits[width] & ((1 << exponent_bits[width]) - 1),
            "isEven": lambda: int(np.fmod(x, 2) == 0),
            "signext": lambda: x,
            "signext_from_bit": lambda: signext(x, a[1]),
            "ldexp": lambda: apply("*", x, Power(a[1], 32)),
        }
        if name in simple:
            return simple[name]()
        if name in ("isSignalNAN", "isQuietNAN"):
            # The pseudocode asks after widening, which numpy does without quieting; the bit is the mantissa's first.
            if not np.isnan(x):
                return 0
            quiet = self.v["quiet"](x)
            return int(quiet if name == "isQuietNAN" else not quiet)
        m = re.fullmatch(r"([fiu])(\d+)_to_([fiu])(\d+)", name)
        if m:
            kind, bits = m.group(3), int(m.group(4))
            if kind == "f":
                return convert_float(x, bits)
            if kind == "u":
                return to_int(x, 0, (1 << bits) - 1) if width else max(0, min(x, (1 << bits) - 1))
            low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
            return to_int(x, low, high) if width else max(low, min(x, high))
        m = re.fullmatch(r"v_(max|min)3?_([iu])\d+", name)
        if m:
            return (max if m.group(1) == "max" else min)(a)
        m = re.fullmatch(r"v_(max|min)3?_f\d+", name)
        if m:
            best = a[0]
            for y in a[1:]:
                best = extreme(m.group(1), best, y)
            return best
        m = re.fullmatch(r"v_cvt_([iu])16_f32", name)
        if m:
            return to_int(x, *((0, 65535) if m.group(1) == "u" else (-32768, 32767)))
        raise KeyError(name)


def extreme(which, a, b):
    for x in (a, b):
        if np.isnan(x) and not quiet(x):
            width = x.dtype.itemsize * 8
            return from_bits(to_bits(x) | 1 << {16: 9, 32: 22, 64: 51}[width], width)
    if np.isnan(b):
        return a
    if np.isnan(a):
        return b
    if a == b == 0:
        negative = a if np.signbit(a) else b
        other = b if np.signbit(a) else a
        return other if which == "max" else negative
    return (a if a > b else b) if which == "max" else (a if a < b else b)


def statements(code):
    """Lines without comments, lambdas of several lines joined."""
    lines = [line.split("//")[0].strip() for line in code.split("\n")]
    text = "\n".join(line for line in lines if line)
    out, depth, current = [], 0, ""
    for line in text.split("\n"):
        current += (" " if current else "") + line
        depth += line.count("(") - line.count(")")
        ends = line.endswith((";", "then", "else", "do", "endif", "endfor")) or True
        if depth == 0 and ends:
            out.append(current.rstrip(";").strip())
            current = ""
    return out


def block_end(lines, at, begin, end):
    depth = 0
    for n in range(at, len(lines)):
        if re.match(begin, lines[n]):
            depth += 1
        if re.match(end, lines[n]):
            depth -= 1
            if depth == 0:
                return n
    raise SyntaxError("no end")


def execute(lines, env):
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("if "):
            end = block_end(lines, at, r"if ", r"endif")
            depth, start, parts, condition = 0, at + 1, [], line[3:-5]
            for n in range(at, end + 1):
                if lines[n].startswith("if "):
                    depth += 1
                elif depth == 1 and (lines[n].startswith("elsif ") or lines[n] == "else" or n == end):
                    parts.append((condition, lines[start:n]))
                    condition = lines[n][6:-5] if lines[n].startswith("elsif") else "1"
                    start = n + 1
                if re.match("endif", lines[n]):
                    depth -= 1
            for condition, body in parts:
                if truth(Expr(condition, env).value()):
                    execute(body, env)
                    break
            at = end + 1
            continue
        if line.startswith("for "):
            end = block_end(lines, at, r"for ", r"endfor")
            m = re.fullmatch(r"for (\w+) in (.+?) : (.+) do", line)
            first, last = plain(Expr(m.group(2), env).value()), plain(Expr(m.group(3), env).value())
            try:
                for n in range(first, last + 1):
                    env.v[m.group(1)] = n
                    execute(lines[at + 1 : end], env)
            except Break:
                pass
            at = end + 1
            continue
        at += 1
        if line == "break":
            raise Break
        if line.startswith("declare "):
            m = re.fullmatch(r"declare (\w+) : .*?(?:\[(\d+)\])?", line)
            env.v[m.group(1)] = [0] * int(m.group(2)) if m.group(2) else Register()
            continue
        m = re.fullmatch(r"(\w+) = lambda\(([^)]*)\) \((.*)\)", line, re.S)
        if m:
            env.lambdas[m.group(1)] = ([n.strip() for n in m.group(2).split(",")], m.group(3))
            continue
        m = re.fullmatch(r"\{ D1\.[iu]1, D0\.[iu]64 \} = (.*)", line)
        if m:
            # 65 bits: the highest is the second result.
            wide = wide_value(m.group(1), env)
            env.v["D0"] = Register(wide & ((1 << 64) - 1))
            env.v["D1"] = wide >> 64 & 1
            continue
        assign(line, env)


def wide_value(text, env):
    inner = text[len("65'B(") : -1]
    inner = re.sub(r"65'[IU]\(", "(", inner)
    return Expr(inner, env).value()


def assign(line, env):
    m = re.fullmatch(r"([A-Z]+\w*|[a-z]\w*)((?:\.\w+|\[(?:[^\[\]]|\[[^\]]*\])*\])*) (\+|-)?= (.*)", line, re.S)
    if not m:
        raise SyntaxError(line)
    name, path, change, text = m.groups()
    if change:
        text = f"{name}{path} {change} ({text})"
    value = plain(Expr(text, env).value())
    if isinstance(value, Power):
        raise SyntaxError("a power alone")
    old = env.v.get(name, Register())
    parts = re.findall(r"\.\w+|\[(?:[^\[\]]|\[[^\]]*\])*\]", path)
    if isinstance(old, Masks) and parts:
        env.v[name] = Masks(int(truth(value)))
        return
    if not parts:
        env.v[name] = value if is_float(value) else value
        return
    width, shift, kind = 64, 0, None
    for part in parts:
        if part[0] == ".":
            kind, width = part[1], min(width, int(part[2:]))
        elif re.fullmatch(r"\[\d+ : \d+\]", part):
            high, low = (plain(Expr(p, env).value()) for p in part[1:-1].split(":"))
            shift, width = low, high - low + 1
        else:
            at = plain(Expr(part[1:-1], env).value())
            if isinstance(old, list):
                old[at] = value
                return
            shift, width = at, 1
    if is_float(value):
        if kind == "f" and value.dtype.itemsize * 8 != width:
            value = convert_float(value, width)
        bits = to_bits(value)
    else:
        bits = value
    mask = ((1 << width) - 1) << shift
    keep = raw(old) if "[" in path else 0
    env.v[name] = Register(keep & ~mask | bits << shift & mask)


# --- Instructions and values.

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


def quiet(x):
    return bool(to_bits(x) >> {16: 9, 32: 22, 64: 51}[x.dtype.itemsize * 8] & 1)


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


class Masks:
    """A register of a bit a lane, of which there is one lane."""

    def __init__(self, bit):
        self.bit = bit


class Mode:
    """The mode register: IEEE is set."""


class Denormal:
    """What a number is compared with to ask whether it is denormal, as an f32 in all places."""


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
