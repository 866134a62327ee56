// Products of a quantised matrix and a few columns: y[c][r] = sum over k of w[r][k] * x[c][k], compiled once
// for each weight type (RF_TYPE).
//
// x is packed (args.h): bytes with a scale for each 32, so a product of groups is eight dot4. Columns may be
// normed lazily: then they are x * weight and end in sums of squares, of which the factor 1 / sqrt(mean + eps) is
// made here, while the weights are on their way.
//
// Grid: (tiles of TILE rows of all matrices, columns / C). Block: THREADS, or NORM_THREADS for matvec_norm_1; each wave
// makes ROWS rows of the tile, or parts of them.
// Bytes moved: the matrix once, and x once a block (from L2).
// What can be done with the sums:
//   matvec_C         + bias + residual -> y
//   matvec_norm_C    the same, and the result * norm -> packed, lazily normed: what the next product reads
//   matvec_swiglu_C  matrices 0 and 1 are gate and up; silu(gate) * up -> packed
//   matvec_id        column p by the matrix of the expert that the sorted row p belongs to -> y    (grid y: pairs)
// Error: that of x in 8 bits (half a step of each group's scale), and of f32 sums of k / 32 products.
// Called by src/backend/hip/lower.
// budget: b128 dot4
#include "matvec.h"

typedef RF_TYPE T;

KERNEL(THREADS) matvec_id(MatVec a) {
    LDS Sums<T, 1, THREADS / WAVE> sums;
    const int pair = block_y(), n_rows = a.w[0].n_rows / a.n_expert, first = block_x() * TILE, row = first + lane();
    if (pair >= a.offsets[a.n_expert]) return;
    int e = 0;
    while (a.offsets[e + 1] <= pair) e++;
    const long start = (long)e * n_rows;
    products<1>(a, a.w, start + first, start + n_rows, pair, &sums);
    barrier();
    if (thread() < TILE && row < n_rows) a.y[0][(long)pair * a.stride[0] + row] = total(a, sums, 0, lane());
}

// Blocks to a multiprocessor, see KERNEL_AT.
#define BLOCKS (T::BLOCK > 32 ? 2 : 3)
KERNEL_AT(THREADS, BLOCKS) matvec_1(MatVec a) { plain<T, 1>(a, piece_of(a, block_x())); }
KERNEL_AT(NORM_THREADS, 1) matvec_norm_1(MatVec a) { then_norm<T, 1>(a); }
KERNEL_AT(THREADS, 2) matvec_swiglu_1(MatVec a) { swiglu<T, 1>(a); }

#define MATVEC(C)                                                                                           \
    KERNEL(THREADS) matvec_##C(MatVec a) { plain<T, C>(a, piece_of(a, block_x())); }                         \
    KERNEL(THREADS) matvec_norm_##C(MatVec a) { then_norm<T, C>(a); }                                       \
    KERNEL(THREADS) matvec_swiglu_##C(MatVec a) { swiglu<T, C>(a); }
MATVEC(2)
MATVEC(4)
MATVEC(8)
