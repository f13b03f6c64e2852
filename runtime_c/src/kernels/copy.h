/* Copies between a dense tensor and a strided view of another. */
#ifndef CMF_KERNELS_COPY_H
#define CMF_KERNELS_COPY_H

#include "kernels/array.h"

/* target (dense, dims[rank]) = source[sum of index[i] * strides[i]]; strides in elements, may be 0 or negative. */
void cmf_copy_view(void *target, const void *source, uint32_t rank, const int32_t *dims, const ptrdiff_t *strides,
                   uint32_t element_size);
/* n elements of `element_size` bytes, all equal to *value. */
void cmf_fill(void *target, const void *value, uint32_t element_size, size_t n);

/* For ops that move codes from `input`: an i8 output of another affine is recoded afterwards, in place. */
void cmf_recode_output(const cmf_array *input, const cmf_array *output);

#endif
