// matvec.hip's matvec_1 for matrices of different types, as some files have queries, keys and values: a block finds out
// which type it has to do with.
//
// Grid, block, bytes moved and error: as there. Called by src/backend/hip/lower.
#include "matvec.h"

KERNEL_AT(THREADS, 2) matvec_1(MatVec arguments) {
    const Piece piece = piece_of(arguments, block_x());
    // Loaded once for all types; what they have in common would be kept in private memory otherwise.
    const MatVec a = arguments;
    switch (piece.type) {
#define TYPE(number, name)                                                                                  \
    case number: return plain<name, 1>(a, piece);
        TYPE(2, q4_0)
        TYPE(3, q4_1)
        TYPE(6, q5_0)
        TYPE(7, q5_1)
        TYPE(8, q8_0)
        TYPE(10, q2_k)
        TYPE(11, q3_k)
        TYPE(12, q4_k)
        TYPE(13, q5_k)
        TYPE(14, q6_k)
        TYPE(16, iq2_xxs)
        TYPE(17, iq2_xs)
        TYPE(18, iq3_xxs)
        TYPE(19, iq1_s)
        TYPE(20, iq4_nl)
        TYPE(21, iq3_s)
        TYPE(22, iq2_s)
        TYPE(23, iq4_xs)
        TYPE(29, iq1_m)
        TYPE(34, tq1_0)
        TYPE(35, tq2_0)
        TYPE(39, mxfp4)
    }
}
