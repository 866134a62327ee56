#!/usr/bin/env python3
"""Writes src/quant/grid_data.rs: the grids of the IQ types, packed.

    python3 -m venv VENV && VENV/bin/pip install gguf numpy
    VENV/bin/python tools/vectors/make_grids.py

The values are those of the PyPI package `gguf`. A point of a grid becomes one u16: coordinate i,
as an index of the values that the grid's coordinates take, in bits 2 i (grids of 8 coordinates) or
3 i (grids of 4).
"""

import pathlib

import numpy as np
from gguf import quants

OUT = pathlib.Path(__file__).resolve().parents[2] / "src" / "quant" / "grid_data.rs"
GRIDS = [quants.IQ1_S, quants.IQ2_XXS, quants.IQ2_XS, quants.IQ2_S, quants.IQ3_XXS, quants.IQ3_S]


def main():
    lines = ["//! Made by tools/vectors/make_grids.py: do not edit.", ""]
    for q in GRIDS:
        q.init_grid()
        n, dims = q.grid_shape
        index = np.searchsorted(np.array(q.grid_map), q.grid.reshape(n, dims))
        bits = 16 // dims if dims == 8 else 3
        packed = (index << (bits * np.arange(dims))).sum(axis=1)
        lines += ["#[rustfmt::skip]", f"pub(in crate::quant) const {q.__name__}: [u16; {n}] = ["]
        lines += ["    " + " ".join(f"{v:#06x}," for v in packed[i : i + 13]) for i in range(0, n, 13)]
        lines += ["];", ""]
    OUT.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
