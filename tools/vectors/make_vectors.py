#!/usr/bin/env python3
"""Writes tests/data/quant-vectors.bin, which tests/quant.rs reads.

    python3 -m venv VENV && VENV/bin/pip install gguf numpy
    VENV/bin/python tools/vectors/make_vectors.py --ggml-base libggml-base.so

Dequantised values, and quantised blocks of the types F16, BF16, Q4_0 and Q8_0, come from the PyPI
package `gguf`. That package cannot quantise K-quants: those blocks come from the functions
quantize_row_*_ref of a llama.cpp build's libggml-base, whose path is given; the blocks that the
library makes of Q4_0 and Q8_0 are compared with the package's here, so that the two references
vouch for each other.

The file is a sequence of records, all little-endian:
    u32 type (ggml's number), u32 kind (0 dequantise, 1 quantise), u32 n (weights), u32 bytes (of blocks)
    kind 0: the blocks, then n f32 that they stand for
    kind 1: n f32, then the blocks that they become
"""

import argparse
import ctypes
import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "quant-vectors.bin"
FLOATS = [T.F32, T.F16, T.BF16]
# For each block type, the byte positions of its f16 scales.
SCALES = {T.Q4_0: [0], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
REFERENCE = {
    T.Q4_0: "quantize_row_q4_0_ref",
    T.Q8_0: "quantize_row_q8_0_ref",
    T.Q4_K: "quantize_row_q4_K_ref",
    T.Q5_K: "quantize_row_q5_K_ref",
    T.Q6_K: "quantize_row_q6_K_ref",
}


def by_library(lib, ty, x):
    n, size = GGML_QUANT_SIZES[ty]
    out = np.zeros(x.size // n * size, np.uint8)
    f = getattr(lib, REFERENCE[ty])
    f.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    f.restype = None
    f(x.ctypes.data, out.ctypes.data, x.size)
    return out


def raw_blocks(ty, rng):
    """Blocks of random bits with ordinary and extreme, but finite, scales."""
    _, size = GGML_QUANT_SIZES[ty]
    ordinary = rng.normal(0, 0.01, 8).astype(np.float16).view(np.uint16)
    # Zeros, the smallest and largest subnormals, the smallest normal, the largest numbers, one.
    extreme = np.array([0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x7BFF, 0xFBFF, 0x3C00], np.uint16)
    scales = np.concatenate([ordinary, extreme])
    blocks = rng.integers(0, 256, (scales.size + 2, size), dtype=np.uint8)
    blocks[-2, :], blocks[-1, :] = 0, 255
    for k, at in enumerate(SCALES[ty]):
        column = np.concatenate([np.roll(scales, 3 * k), np.array([0x2E66, 0x2E66], np.uint16)])
        blocks[:, at : at + 2] = column.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(-1)


def rows(n, rng):
    """Blocks of n weights to quantise."""
    normal = lambda scale: rng.normal(0, scale, n)
    ramp = np.arange(n) / n
    outlier = normal(0.01)
    outlier[n // 3] = -7.5
    mixed = np.where(rng.random(n) < 0.5, 0.0, normal(1.0))
    halves = np.concatenate([normal(1e-3)[: n // 2], normal(30.0)[: n // 2]])
    out = [
        np.zeros(n), np.ones(n), -np.ones(n), np.full(n, 0.3), ramp, -ramp, ramp - 0.5,
        normal(0.02), normal(0.02), normal(1.0), normal(1.0), abs(normal(0.5)), -abs(normal(0.5)),
        outlier, mixed, halves, normal(1e-6), normal(1e-12), normal(1e-20), normal(1e4), normal(1e8),
        rng.integers(-8, 8, n) / 8.0, rng.integers(-2, 3, n) + 0.5, rng.standard_cauchy(n),
    ]
    return np.concatenate(out).astype(np.float32)


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
    lib = ctypes.CDLL(str(args.ggml_base))
    rng = np.random.default_rng(args.seed)
    np.seterr(all="ignore")

    with open(args.out, "wb") as out:

        def record(ty, kind, n, blocks, values):
            out.write(struct.pack("<4I", ty, kind, n, blocks.size))
            for part in (values, blocks) if kind else (blocks, values):
                out.write(part.tobytes())

        for ty in FLOATS:
            blocks = float_bits(ty, rng)
            values = dequantize(blocks, ty)
            record(ty, 0, values.size, blocks, values.astype(np.float32))
            x = float_row(rng)
            record(ty, 1, x.size, quantize(x, ty).view(np.uint8), x)
        for ty in SCALES:
            n, _ = GGML_QUANT_SIZES[ty]
            blocks = raw_blocks(ty, rng)
            values = dequantize(blocks, ty)
            record(ty, 0, values.size, blocks, values.astype(np.float32))
            x = rows(n, rng)
            blocks = by_library(lib, ty, x)
            if ty in (T.Q4_0, T.Q8_0):
                assert np.array_equal(quantize(x, ty), blocks), f"the references disagree on {ty.name}"
            record(ty, 1, x.size, blocks, x)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
