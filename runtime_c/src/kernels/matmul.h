/* Shapes of a MatMul, and the product of two activations. */
#ifndef CMF_KERNELS_MATMUL_H
#define CMF_KERNELS_MATMUL_H

#include "kernels/kernel.h"

typedef struct cmf_matmul_shape {
    int32_t m, k, n;
    uint32_t rank;               /* of the broadcast leading dimensions */
    int32_t dims[CMF_MAX_RANK];
    size_t a_step[CMF_MAX_RANK], b_step[CMF_MAX_RANK]; /* matrices from index to index; 0: broadcast */
    uint64_t batches;            /* of the result */
    size_t a_batches, b_batches; /* matrices in each input */
    uint8_t a_vector, b_vector;
} cmf_matmul_shape;

/* The matrices of both inputs that a matrix of the result is made of. */
void cmf_matmul_batch(const cmf_matmul_shape *s, size_t batch, size_t *a, size_t *b);

size_t cmf_matmul_activations_scratch(const cmf_matmul_shape *s, const cmf_op_call *call);
void cmf_matmul_activations(const cmf_matmul_shape *s, const cmf_op_call *call, float low, float high);

#endif
