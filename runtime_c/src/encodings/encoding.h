/* One const record per encoding; everything else looks it up. An encoding sees its tree and nothing above it:
 * it knows no graph, no op, no file. */
#ifndef CMF_ENCODINGS_ENCODING_H
#define CMF_ENCODINGS_ENCODING_H

#include "base/status.h"
#include "base/tree.h"

/* Sequential reader of one panel of a panel encoding (dense, quantized, codebook, bitpacked, sparse), in the caller's memory. Opaque to
 * kernels but for its size. Reading is sequential because entropy-coded and packed sparse streams are. */
typedef struct cmf_panel_reader {
    const cmf_tree *tree;      /* as opened: the sparse tree where there is one */
    const cmf_tree *leaf;      /* the tree that holds codes */
    uint32_t stack, panel, lanes;
    uint32_t input;            /* next input, 0 .. inputs */
    const uint8_t *plane[2];   /* next line (or row) of each plane */
    const uint8_t *mask;       /* next mask unit (sparse) */
    uint64_t bit;              /* next value's bit in `values` (sparse) */
    const uint8_t *values;
    uint64_t value_bits;       /* bits of this panel's values: never read beyond */
} cmf_panel_reader;

/* Unpacked codes of some inputs of one panel: of up to 8 bits [i / 4][lane], byte i mod 4 (32 inputs); wider [i][lane] (8 inputs). */
typedef uint32_t cmf_block[8][CMF_PANEL];

typedef struct cmf_encoding {
    const char *name; /* as in cmf.fbs, lower case */
    uint8_t id;
    /* Proves everything that reading relies on (sizes of spans, ids, sparse masks and offsets); `full` also what FORMAT.md 1.5 lists.
     * Children are validated before their parent. A leaf proves all but the size of its codes: that is its pattern's
     * (cmf_codes_validate where every position is present, else sparse). After CMF_OK nothing below can fail. */
    cmf_status (*validate)(const cmf_tree *tree, int full, cmf_error *error);
    /* Panel encodings only (NULL for lowrank, dct, winograd): place a reader at the first input of panel (stack, panel). */
    void (*begin)(cmf_panel_reader *reader);
    /* The next n inputs of 16 lanes as floats: target[n][16]; lanes without an output are 0. n is a multiple of 32 or ends
     * the current run; it never crosses a run. */
    void (*next_f32)(cmf_panel_reader *reader, uint32_t n, float *target);
    /* The next n inputs as i8 codes in lines of 4 inputs: target[ceil(n/4)][16][4]; inputs beyond n and absent lanes are 0.
     * Only where cmf_tree_has_i8(tree). */
    void (*next_i8)(cmf_panel_reader *reader, uint32_t n, int8_t *target);
    /* Leaves only: what the codes of the reader's next n inputs mean, all 16 lanes; n is at most cmf_block_inputs (panels.h). */
    void (*levels_f32)(const cmf_panel_reader *reader, uint32_t n, cmf_block codes, float *target);
    /* The same as i8 codes, in place; NULL for dense. */
    void (*levels_i8)(const cmf_panel_reader *reader, uint32_t n, cmf_block codes);
} cmf_encoding;

/* The record of an encoding; NULL for an unknown id. */
const cmf_encoding *cmf_encoding_get(uint8_t id);

/* Checks the grammar (FORMAT.md 2.1) and every tree below; the entry point for the opener. Unknown ids are CMF_E_UNSUPPORTED,
 * sizes beyond FORMAT.md 1.3 CMF_E_LIMIT, everything else CMF_E_ENCODING. */
cmf_status cmf_tree_validate(const cmf_tree *tree, int full, cmf_error *error);

/* Is this a panel tree (the root is dense, quantized, codebook, bitpacked or sparse)? */
int cmf_tree_is_panel(const cmf_tree *tree);
/* The tree that holds the codes of a panel tree: itself, or a sparse tree's values. */
const cmf_tree *cmf_tree_leaf(const cmf_tree *tree);
/* Width in bits of the leaf's codes of a panel tree. */
uint32_t cmf_tree_bits(const cmf_tree *tree);
/* Can a panel tree be computed on as i8 codes with a scale for each tensor or channel? FORMAT.md 5.2. */
int cmf_tree_has_i8(const cmf_tree *tree);
/* Bytes of all spans of a tree and of those below. */
uint64_t cmf_tree_stored_bytes(const cmf_tree *tree);
/* The scale that goes with the i8 codes of output `output` of `stack` (no bounds check). */
float cmf_tree_i8_scale(const cmf_tree *tree, uint32_t stack, uint32_t output);

void cmf_panel_begin(cmf_panel_reader *reader, const cmf_tree *tree, uint32_t stack, uint32_t panel);
void cmf_panel_next_f32(cmf_panel_reader *reader, uint32_t n, float *target);
void cmf_panel_next_i8(cmf_panel_reader *reader, uint32_t n, int8_t *target);

/* Decodes one output row (Gather from an embedding): target[inputs]; works on every tree but winograd (lowrank and dct too).
 * `scratch` holds cmf_tree_row_scratch(tree) bytes, 64-byte aligned; SIZE_MAX where that does not fit a size_t. */
size_t cmf_tree_row_scratch(const cmf_tree *tree);
void cmf_tree_decode_row(const cmf_tree *tree, uint32_t stack, uint32_t output, float *target, void *scratch);

#endif
