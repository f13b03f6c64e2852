/* The basis of dct weights (FORMAT.md 3.7). */
#ifndef CMF_ENCODINGS_DCT_H
#define CMF_ENCODINGS_DCT_H

#include <stdint.h>

#define CMF_DCT_MAX_BLOCK 32u

/* The orthonormal DCT-II of n points: d[n][n], row k is frequency k. Computed in f64 and rounded. */
void cmf_dct_matrix(uint32_t n, float *d);

#endif
