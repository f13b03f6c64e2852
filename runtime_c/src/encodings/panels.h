/* The layout that all panel encodings share (FORMAT.md 2.2 and 2.3): where codes and scales lie, and how codes are unpacked.
 * Sizes are in 64 bits: a tree has at most 2^40 elements, with its padding a code takes at most 32 bytes, so no product
 * below overflows once cmf_tree_validate has checked the shape. */
#ifndef CMF_ENCODINGS_PANELS_H
#define CMF_ENCODINGS_PANELS_H

#include <string.h>

#include "encodings/encoding.h"

static inline uint16_t cmf_load_u16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t cmf_load_u32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t cmf_load_u64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline float cmf_load_f32(const uint8_t *p) { float v; memcpy(&v, p, 4); return v; }

/* Width of plane 0 or 1 of codes of `bits` bits: 3 = 2 + 1, 5 = 4 + 1, 6 = 4 + 2; 0 where there is no such plane. */
static inline uint32_t cmf_plane_bits(uint32_t bits, uint32_t plane) {
    uint32_t low = bits == 3 ? 2 : bits == 5 || bits == 6 ? 4 : bits;
    return plane == 0 ? low : bits - low;
}
/* Lines that one run takes in a plane of width b (layout lines). */
static inline uint64_t cmf_run_lines(const cmf_tree *t, uint32_t b) { return ((uint64_t)t->run * b + 31u) / 32u; }
/* Bytes of one row of a plane of width b (layout rows). */
static inline uint32_t cmf_row_bytes(uint32_t lanes, uint32_t b) { return (lanes * b + 7u) / 8u; }
/* Bytes of one plane of width b of a panel. */
uint64_t cmf_plane_bytes(const cmf_tree *leaf, uint32_t b, uint32_t lanes);
/* Bytes of all planes of a panel. */
uint64_t cmf_panel_bytes(const cmf_tree *leaf, uint32_t lanes);
/* Where panel (stack, panel) starts in `codes`; with (S, 0) the size of the span. */
uint64_t cmf_panel_start(const cmf_tree *leaf, uint32_t stack, uint32_t panel);
/* Proves the size of the codes of a leaf whose positions are all present; `full`: padding is zero. */
cmf_status cmf_codes_validate(const cmf_tree *leaf, int full, cmf_error *error);

/* Outputs in panel `panel` of a stack entry: its lanes beyond these belong to no output. */
static inline uint32_t cmf_panel_outputs(const cmf_tree *t, uint32_t panel) {
    uint32_t left = t->outputs - CMF_PANEL * panel;
    return left < CMF_PANEL ? left : CMF_PANEL;
}

/* Scales for each run and output; 1 unless the granularity is group. */
uint64_t cmf_scale_groups(const cmf_tree *t);
uint64_t cmf_scale_count(const cmf_tree *t);
/* Index of the scale of lane 0 of a panel at `input`; lanes follow (but for granularity tensor). */
uint64_t cmf_scale_index(const cmf_tree *t, uint32_t stack, uint32_t panel, uint32_t input);
float cmf_scale_load(const cmf_tree *t, uint64_t index);
/* Proves the scales, and zeros where there are any: sizes, ids, finite; `full`: those of absent outputs are 0. */
cmf_status cmf_scales_validate(const cmf_tree *t, int full, cmf_error *error);
/* The scales (zero points) of all lanes at the reader's next input; 0 in absent lanes. */
void cmf_panel_scales(const cmf_panel_reader *reader, float scale[CMF_PANEL]);
void cmf_panel_zeros(const cmf_panel_reader *reader, int32_t zero[CMF_PANEL]);

/* Inputs that one block holds. */
static inline uint32_t cmf_block_inputs(uint32_t bits) { return bits <= 8 ? 32u : 8u; }
/* Codes in each byte of w, of `bits` bits, from two's complement of that width to i8: code ^ sign - sign in each byte, with a
 * high bit lent so that no byte borrows from the next. */
static inline uint32_t cmf_sign_extend_bytes(uint32_t w, uint32_t bits) {
    uint32_t sign = 0x01010101u << (bits - 1u), lent = 0x80808080u;
    return bits == 8 ? w : (((w ^ sign) | lent) - sign) ^ lent;
}
/* Makes the inputs beyond n of a block of bytes zero. */
void cmf_block_trim(cmf_block block, uint32_t n);

/* The readers of leaves whose positions are all present. */
void cmf_leaf_begin(cmf_panel_reader *reader);
void cmf_leaf_next_f32(cmf_panel_reader *reader, uint32_t n, float *target);
void cmf_leaf_next_i8(cmf_panel_reader *reader, uint32_t n, int8_t *target);

#endif
