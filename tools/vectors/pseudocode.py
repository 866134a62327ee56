"""Runs the pseudocode of AMD's ISA document: `statements` takes it apart, `execute` runs it on an `Env`. Integers are
Python's, floats numpy's of their width."""

import re
from fractions import Fraction

import numpy as np

np.seterr(all="ignore")

FLOATS = {16: np.float16, 32: np.float32, 64: np.float64}
BITS = {16: np.uint16, 32: np.uint32, 64: np.uint64}


def from_bits(bits, width):
    return np.array([bits & ((1 << width) - 1)], BITS[width]).view(FLOATS[width])[0]


def to_bits(x):
    width = x.dtype.itemsize * 8
    return int(np.array([x]).view(BITS[width])[0])


def quiet(x):
    return bool(to_bits(x) >> {16: 9, 32: 22, 64: 51}[x.dtype.itemsize * 8] & 1)


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


class Masks:
    """A register of a bit a lane, of which there is one lane."""

    def __init__(self, bit):
        self.bit = bit


class Mode:
    """The mode register: IEEE is set."""


class Denormal:
    """What a number is compared with to ask whether it is denormal, as an f32 in all places."""


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
        if depth == 0:
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
