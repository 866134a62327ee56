#!/usr/bin/env python3
"""Writes tests/data/quant-vectors.bin, which tests/quant.rs reads.

    python3 -m venv VENV && VENV/bin/pip install gguf numpy
    VENV/bin/python tools/vectors/make_vectors.py --ggml-base libggml-base.so

Dequantised values come from the PyPI package `gguf` and from a llama.cpp build's libggml-base,
whose path is given, and must be equal, so that the two references vouch for each other; the
package has no Q1_0 and Q2_0. Quantised blocks come from the library's ggml_quantize_chunk, and from
the package where it can quantise.

The file is a sequence of records, all little-endian:
    u32 type (ggml's number), u32 kind, u32 n (weights), u32 bytes (of blocks)
    kind 0: blocks, then the n f32 that they stand for
    kind 1: n f32, then the blocks that they become
    kind 2: n f32, rows of 256 for kinds 4 and 5 of any type
    kind 3: n f32, the importance of each column of such a row
    kind 4: the blocks that the rows of kind 2 become
    kind 5: the blocks that they become when the columns have the importance of kind 3
"""

import argparse
import ctypes
import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "quant-vectors.bin"


class NewType(int):
    """A type that the package does not know."""

    name = "Q2_0"


Q2_0 = NewType(42)
SIZES = GGML_QUANT_SIZES | {Q2_0: (64, 18)}
FLOATS = [T.F32, T.F16, T.BF16]
# For each block type, the byte positions of its f16 scales.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.IQ2_XXS: [0], T.IQ2_XS: [0], T.IQ2_S: [0], T.IQ3_XXS: [0], T.IQ3_S: [0],
    T.IQ1_S: [0], T.IQ1_M: [], T.IQ4_NL: [0], T.IQ4_XS: [0],
    T.TQ1_0: [52], T.TQ2_0: [64], T.MXFP4: [], T.NVFP4: [], T.Q1_0: [0],
    Q2_0: [0],
}
BY_LIBRARY_ONLY = [T.Q1_0, Q2_0]
ROW = 256


class Library:
    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        self.lib.ggml_quantize_requires_imatrix.restype = ctypes.c_bool
        self.lib.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]

    def dequantize(self, ty, blocks):
        n, size = SIZES[ty]
        out = np.zeros(blocks.size // size * n, np.float32)
        f = getattr(self.lib, f"dequantize_row_{ty.name.lower().replace('_k', '_K')}")
        f.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        f.restype = None
        f(blocks.ctypes.data, out.ctypes.data, out.size)
        return out

    def requires_weights(self, ty):
        return self.lib.ggml_quantize_requires_imatrix(int(ty))

    def quantize(self, ty, x, weights=None):
        n, size = SIZES[ty]
        out = np.zeros(x.size // n * size, np.uint8)
        weights = None if weights is None else weights.ctypes.data
        got = self.lib.ggml_quantize_chunk(int(ty), x.ctypes.data, out.ctypes.data, 0, x.size // ROW, ROW, weights)
        assert got == out.size
        return out


def raw_blocks(ty, rng):
    """Blocks of random bits with ordinary and extreme, but finite, scales."""
    _, size = SIZES[ty]
    ordinary = rng.normal(0, 0.01, 3).astype(np.float16).view(np.uint16)
    # Zeros, the smallest and largest subnormals, the smallest normal, the largest numbers, one.
    extreme = np.array([0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x7BFF, 0xFBFF, 0x3C00], np.uint16)
    scales = np.concatenate([ordinary, extreme])
    blocks = rng.integers(0, 256, (scales.size + 2, size), dtype=np.uint8)
    blocks[-2, :], blocks[-1, :] = 0, 255
    for k, at in enumerate(SCALES[ty]):
        column = np.concatenate([np.roll(scales, 3 * k), np.array([0x2E66, 0x2E66], np.uint16)])
        blocks[:, at : at + 2] = column.view(np.uint8).reshape(-1, 2)
    if ty == T.IQ1_M:  # whose scale is in the upper four bits of four u16
        column = np.concatenate([scales, np.array([0x2E66, 0x2E66], np.uint16)])
        parts = blocks[:, 48:].copy().view(np.uint16)
        parts = parts & 0xFFF | (column[:, None] >> (4 * np.arange(4, dtype=np.uint16)) & 15) << 12
        blocks[:, 48:] = parts.astype(np.uint16).view(np.uint8)
    return blocks.reshape(-1)


def rows(rng):
    """Rows to quantise."""
    n = ROW
    normal = lambda scale: rng.normal(0, scale, n)
    ramp = np.arange(n) / n
    outlier = normal(0.01)
    outlier[n // 3] = -7.5
    mixed = np.where(rng.random(n) < 0.5, 0.0, normal(1.0))
    halves = np.concatenate([normal(1e-3)[: n // 2], normal(30.0)[: n // 2]])
    holes = np.where(np.arange(n) // 16 % 3 == 1, 0.0, normal(0.1))
    out = [
        np.zeros(n), np.ones(n), -np.ones(n), np.full(n, 0.3), ramp, -ramp, ramp - 0.5,
        normal(0.02), normal(0.02), normal(1.0), normal(1.0), abs(normal(0.5)), -abs(normal(0.5)),
        outlier, mixed, halves, holes, normal(1e-6), normal(1e-12), normal(1e-20), normal(1e4), normal(1e8),
        rng.integers(-8, 8, n) / 8.0, rng.integers(-2, 3, n) + 0.5, rng.standard_cauchy(n),
    ] + [normal(0.05) for _ in range(8)]
    return np.concatenate(out).astype(np.float32)


def importance(rng):
    """Of columns: the mean squares of activations, a few of them large and a few zero."""
    w = rng.lognormal(0, 1.5, ROW)
    w[rng.integers(0, ROW, 4)] = 1000.0
    w[40:48] = w[64:112] = 0.0
    return w.astype(np.float32)


def float_bits(ty, rng):
    if ty == T.F32:
        return rng.normal(0, 1, 32).astype(np.float32).view(np.uint8)
    edges = np.array([0, 1, 0x3FF, 0x400, 0x7BFF, 0x7C00, 0x3C00, 0x7F, 0x80, 0x7F7F, 0x7F80], np.uint16)
    bits = np.concatenate([edges, edges | 0x8000, rng.integers(0, 65536, 300).astype(np.uint16)])
    exponent, mantissa = (0x7C00, 0x3FF) if ty == T.F16 else (0x7F80, 0x7F)
    nan = ((bits & exponent) == exponent) & ((bits & mantissa) != 0)
    return bits[~nan].view(np.uint8)


def float_row(rng):
    """Numbers on, just below and just above the middle between two neighbours of f16 and bf16."""
    middles = np.array([0x3F801000, 0x3F803000, 0x3F808000, 0x3F818000, 0x33000000, 0x477FF000, 0x7F7F8000], np.uint32)
    near = np.concatenate([middles - 1, middles, middles + 1])
    near = np.concatenate([near, near | 0x80000000]).astype(np.uint32).view(np.float32)
    wide = rng.normal(0, 1, 200) * 10.0 ** rng.integers(-12, 8, 200)
    return np.concatenate([near, wide, [0.0, -0.0, 65504, 65519.996, 65520, -1e30]]).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ggml-base", required=True, help="path of libggml-base.so")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    args = parser.parse_args()
    lib = Library(str(args.ggml_base))
    rng = np.random.default_rng(args.seed)
    np.seterr(all="ignore")

    with open(args.out, "wb") as out:

        def record(ty, kind, n, *parts):
            out.write(struct.pack("<4I", ty, kind, n, sum(p.size for p in parts if p.dtype == np.uint8)))
            for part in parts:
                out.write(part.tobytes())

        for ty in FLOATS:
            blocks = float_bits(ty, rng)
            values = dequantize(blocks, ty)
            record(ty, 0, values.size, blocks, values.astype(np.float32))
            x = float_row(rng)
            record(ty, 1, x.size, x, quantize(x, ty).view(np.uint8))
        x, weights = rows(rng), importance(rng)
        record(0, 2, x.size, x)
        record(0, 3, weights.size, weights)
        for ty in SCALES:
            blocks = raw_blocks(ty, rng)
            values = lib.dequantize(ty, blocks)
            if ty not in BY_LIBRARY_ONLY:
                package = dequantize(blocks, ty).astype(np.float32)
                assert np.array_equal(package.view(np.uint32), values.view(np.uint32)), f"the references disagree on {ty.name}"
            record(ty, 0, values.size, blocks, values)
            if not lib.requires_weights(ty):
                blocks = lib.quantize(ty, x)
                try:
                    package = blocks if ty in BY_LIBRARY_ONLY else quantize(x, ty)
                except NotImplementedError:
                    package = blocks
                assert np.array_equal(package, blocks), f"the references disagree on {ty.name}"
                record(ty, 4, x.size, blocks)
            record(ty, 5, x.size, lib.quantize(ty, x, weights))
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
