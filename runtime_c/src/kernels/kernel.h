/* Ops: one const record each. An op sees tensors, its options and scratch memory; it knows no planner and no file. */
#ifndef CMF_KERNELS_KERNEL_H
#define CMF_KERNELS_KERNEL_H

#include "base/model.h"
#include "base/status.h"
#include "encodings/encoding.h"

struct cmf_isa_kernels; /* kernels/isa.h: the vector kernels of one instruction set */

/* A tensor during planning and running. Row-major, no strides; elements at least 4-byte aligned, 64-byte aligned in the
 * arena with 64 readable bytes behind them. */
typedef struct cmf_array {
    uint8_t dtype;
    uint8_t rank;
    uint8_t has_affine;
    uint8_t known;        /* planning: data holds the contents already (constant or evaluated) */
    int32_t dims[CMF_MAX_RANK];
    float scale;
    int32_t zero_point;
    void *data;           /* NULL during planning unless known; NULL for a weight */
    const cmf_tree *tree; /* weight */
} cmf_array;

/* Runs task(context, index, thread) for index < count on the session's threads. */
typedef struct cmf_workers {
    uint32_t threads;            /* at least 1 */
    const cmf_parallel *parallel; /* NULL: in the caller's thread */
} cmf_workers;
void cmf_workers_run(const cmf_workers *workers, cmf_task task, void *context, uint32_t count);

typedef struct cmf_op_call {
    const cmf_node *node;
    const cmf_array *const *inputs; /* node->input_count; NULL where absent */
    cmf_array *const *outputs;      /* node->output_count */
    const struct cmf_isa_kernels *isa;
    const cmf_workers *workers;
    void *scratch;                  /* run: the bytes `scratch` asked for, 64-byte aligned */
    size_t scratch_size;
    void *kept;                     /* the bytes `keep` asked for, filled by `prepare`; lives as long as the session */
    cmf_policy policy;
    cmf_error *error;
} cmf_op_call;

/* How a node computes, for tools: texts in static storage, "" where there is nothing to tell. cmf.h, cmf_node_info. */
typedef struct cmf_way {
    const char *method, *weights;
} cmf_way;

typedef struct cmf_op {
    const char *name; /* as in cmf.fbs */
    uint16_t id;
    uint8_t min_inputs, max_inputs; /* 255: any number */
    uint8_t outputs;
    /* Sets dtype, rank and dims of the outputs from inputs and options; checks everything that `run` relies on. Where an output's contents depend on
     * inputs' contents for its shape (Reshape, Slice, ...) those inputs must be `known`. */
    cmf_status (*infer)(const cmf_op_call *call);
    /* Scratch for all threads together; NULL: none. Shapes are inferred. */
    cmf_status (*scratch)(const cmf_op_call *call, size_t *bytes);
    /* Memory for what is computed once when the session is made (basis matrices, transformed weights); NULL: none. */
    cmf_status (*keep)(const cmf_op_call *call, size_t *bytes);
    cmf_status (*prepare)(const cmf_op_call *call);
    /* Cannot fail after infer succeeded, but for data-dependent causes (an index out of range). */
    cmf_status (*run)(const cmf_op_call *call);
    /* Multiply-adds (or elements moved) of one run, saturating; NULL: the elements of the outputs. */
    uint64_t (*work)(const cmf_op_call *call);
    /* The way that `run` takes; NULL: there is only one. */
    void (*way)(const cmf_op_call *call, cmf_way *way);
    /* May output 0 share input 0's memory? */
    uint8_t in_place;
    /* `run` leaves Node.activation to cmf_op_run. */
    uint8_t leaves_activation;
    /* The outputs' contents follow from the inputs' shapes alone (Shape). */
    uint8_t from_shapes;
} cmf_op;

/* The record of an op; NULL where this build lacks it. Table: kernels/ops.def. */
const cmf_op *cmf_op_get(uint16_t id);
/* The input of an op that may be a weight; -1: none. */
int32_t cmf_op_weight_input(uint16_t id);
/* Runs an op and what it leaves of the node's activation. Nothing is run for an empty output. */
cmf_status cmf_op_run(const cmf_op *op, const cmf_op_call *call);

/* Helpers shared by ops (kernels/array.c). */
size_t cmf_array_count(const cmf_array *array);            /* elements */
size_t cmf_array_bytes(const cmf_array *array);
cmf_status cmf_array_set(cmf_array *array, uint8_t dtype, uint32_t rank, const int32_t *dims, cmf_error *error); /* checks limits */
/* Broadcast shape of a and b (numpy rules). */
cmf_status cmf_array_broadcast(const cmf_array *a, const cmf_array *b, cmf_array *out, cmf_error *error);
/* Applies a node's fused activation to n floats. */
void cmf_apply_activation(const cmf_node *node, float *x, size_t n);

#endif
