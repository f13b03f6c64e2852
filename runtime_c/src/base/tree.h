/* A weight's tree of encodings as the runtime sees it: filled in by container/, proved by encodings/, read by kernels/.
 * Pointers go into the mapped file (or into decoded zstd buffers); nothing here is owned. FORMAT.md section 2. */
#ifndef CMF_BASE_TREE_H
#define CMF_BASE_TREE_H

#include <stddef.h>
#include <stdint.h>

#define CMF_PANEL 16u         /* outputs of a panel; also the stride of decoded lines, in lanes */
#define CMF_MAX_TREE_DEPTH 4u
#define CMF_MAX_FACTORS 3u

typedef struct cmf_bytes {
    const uint8_t *data; /* NULL: the span is absent */
    size_t size;
} cmf_bytes;

/* Ids as in cmf.fbs (union Encoding, enum Layout, Granularity, Levels, Form); container/ asserts that they agree. */
enum { CMF_ENC_DENSE = 1, CMF_ENC_SPARSE, CMF_ENC_QUANTIZED, CMF_ENC_CODEBOOK, CMF_ENC_LOWRANK, CMF_ENC_DCT,
       CMF_ENC_BITPACKED, CMF_ENC_WINOGRAD, CMF_ENC_COUNT };
enum { CMF_LAYOUT_NONE = 0, CMF_LAYOUT_LINES = 1, CMF_LAYOUT_ROWS = 2 };
enum { CMF_GRAN_TENSOR = 0, CMF_GRAN_CHANNEL = 1, CMF_GRAN_GROUP = 2 };
enum { CMF_LEVELS_BINARY = 0, CMF_LEVELS_TERNARY = 1 };
enum { CMF_FORM_SVD = 0, CMF_FORM_TUCKER2 = 1 };

typedef struct cmf_tree cmf_tree;
struct cmf_tree {
    uint8_t encoding;    /* CMF_ENC_... */
    uint8_t layout;      /* CMF_LAYOUT_... */
    uint8_t bits;        /* width of a code: dense 32 or 16; 0 for product, basis and sparse */
    uint8_t dtype;       /* dense: cmf_dtype of the codes */
    uint8_t granularity; /* of scales */
    uint8_t scale_dtype;
    uint8_t table_dtype;
    uint8_t vector;      /* codebook: inputs per code */
    uint8_t kind;        /* bitpacked: levels; lowrank: form; sparse: pattern */
    uint8_t input_block, output_block; /* dct */
    uint8_t tile;        /* winograd */
    uint8_t factor_count;
    uint32_t stack, outputs, inputs, run;
    uint32_t group;      /* inputs per scale, granularity group */
    uint32_t tables;     /* codebook */
    cmf_bytes codes, scales, zeros, table, mask, offsets;
    /* lowrank: factors; sparse: [0] values; dct: [0] coefficients; winograd: [0] filters */
    const cmf_tree *child[CMF_MAX_FACTORS];
    const cmf_tree *residual; /* lowrank */
};

/* Panels of one stack entry. */
static inline uint32_t cmf_tree_panels(const cmf_tree *t) { return (t->outputs + CMF_PANEL - 1u) / CMF_PANEL; }
/* Lanes of the last panel of a stack entry: 4, 8, 12 or 16. */
static inline uint32_t cmf_tree_last_lanes(const cmf_tree *t) {
    return (t->outputs - CMF_PANEL * (cmf_tree_panels(t) - 1u) + 3u) & ~3u;
}
static inline uint32_t cmf_tree_lanes(const cmf_tree *t, uint32_t panel) {
    return panel + 1u == cmf_tree_panels(t) ? cmf_tree_last_lanes(t) : CMF_PANEL;
}
/* Opad: lanes of one stack entry. */
static inline uint64_t cmf_tree_padded_outputs(const cmf_tree *t) {
    return (uint64_t)CMF_PANEL * (cmf_tree_panels(t) - 1u) + cmf_tree_last_lanes(t);
}

#endif
