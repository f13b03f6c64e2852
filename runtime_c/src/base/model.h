/* A model as the runtime sees it: arrays read once from the metadata block, pointing into the file. */
#ifndef CMF_BASE_MODEL_H
#define CMF_BASE_MODEL_H

#include "base/tree.h"
#include "cmf.h"

#define CMF_NO_VALUE (-1)

/* Where a value comes from; container/graph.c proves that every value has one place. */
enum { CMF_ORIGIN_NONE = 0, CMF_ORIGIN_DATA, CMF_ORIGIN_TREE, CMF_ORIGIN_INPUT, CMF_ORIGIN_NODE };

typedef struct cmf_value {
    const char *name;   /* NUL-terminated, "" if none */
    uint8_t dtype;      /* cmf_dtype */
    uint8_t has_affine;
    uint8_t has_shape;
    uint8_t rank;
    uint8_t origin;     /* CMF_ORIGIN_... */
    int32_t dims[CMF_MAX_RANK]; /* -1-k: symbol k */
    float scale;
    int32_t zero_point;
    cmf_bytes data;       /* constant */
    const cmf_tree *tree; /* weight */
} cmf_value;

/* Options of all ops, one field for each fact; what an op does not use is at its default. Counts and the ranges of
 * FORMAT.md 1.3 are checked by container/: kernel, strides, dilations 1 .. 32767, pads 0 .. 32767, axis and axes -8 .. 7,
 * perm a permutation, floats finite, group at least 1. */
typedef struct cmf_node_options {
    uint32_t kernel[2], strides[2], dilations[2], pads[4]; /* pads: top left bottom right */
    uint32_t group;
    int32_t axis;
    int32_t start, end;      /* Shape */
    float epsilon, alpha, beta;
    uint8_t axes_count, perm_count; /* at most CMF_MAX_RANK */
    uint8_t keepdims, ceil_mode, count_include_pad;
    uint8_t mode, coordinates;      /* Resize, Pad */
    uint8_t gelu_tanh;
    int8_t axes[CMF_MAX_RANK];
    uint8_t perm[CMF_MAX_RANK];
} cmf_node_options;

typedef struct cmf_node {
    const char *name;
    uint16_t op;         /* id in cmf.fbs */
    uint8_t compute, requantize, activation;
    float activation_min, activation_max;
    uint16_t input_count, output_count;
    const int32_t *inputs;   /* value ids, CMF_NO_VALUE where absent; in the file */
    const int32_t *outputs;
    cmf_node_options options;
} cmf_node;

/* Laid out by container/reader.c in one block of memory (all arrays follow it). */
struct cmf_model {
    const uint8_t *file;
    size_t file_size;
    const char *name;
    uint32_t value_count, node_count, input_count, output_count, symbol_count, weight_count;
    cmf_value *values;
    cmf_node *nodes;
    const int32_t *inputs, *outputs; /* value ids */
    const char **symbols;
    const int32_t *weights;          /* value ids of the values with a tree, ascending */
    uint64_t resident_bytes;
    /* api/ */
    cmf_allocator allocator;
    void *block; size_t block_size; int owns_block;
    void *mapping; size_t mapping_size; /* cmf_model_open_file */
};

#endif
