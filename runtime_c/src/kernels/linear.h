/* y = W x for a weight given as a tree of encodings: what MatMul and Conv share. The weight is never expanded: panels are read as they
 * lie or decoded a window at a time, factors are multiplied one after the other, bases are changed on the activations' side.
 *
 * A MatMul is a 1 x 1 convolution over an image of one row; groups, stacks and batches are `items`, each with a stack entry of its own. */
#ifndef CMF_KERNELS_LINEAR_H
#define CMF_KERNELS_LINEAR_H

#include "kernels/isa_kernels.h"
#include "kernels/kernel.h"

/* Most transient bytes of one thread that come from the weight's form: decode windows, middles between factors, activations in
 * another basis. FORMAT.md section 4; the same on every instruction set. Scratch that would be there for a dense weight too (row
 * pointers, a row of zeros, patches, sums, quantized activations) is not counted. */
uint64_t cmf_tree_transient_bytes(const cmf_tree *tree);

typedef struct cmf_linear_item {
    size_t x, y;      /* first elements of the item's input and output */
    uint32_t stack;
    uint32_t output;  /* its first output, as an index into bias and multipliers */
    size_t row_scale; /* int8_dynamic: the scale of its first pixel */
} cmf_linear_item;

typedef struct cmf_linear cmf_linear;
struct cmf_linear {
    const cmf_tree *tree;
    const cmf_isa_kernels *isa;
    uint8_t compute;   /* as in cmf.fbs */
    uint8_t depthwise; /* one channel to each output: layout rows */
    /* Of one item. Pixels hold `channels` elements of interest; depthwise: all channels. */
    int32_t h, w, ho, wo;
    int32_t kh, kw, sh, sw, dh, dw, top, left;
    uint32_t channels;
    uint32_t multiplier; /* depthwise: outputs for each channel */
    uint8_t spread;      /* depthwise: channels are copied to lanes first */
    size_t x_pixel, y_pixel; /* elements from pixel to pixel */
    uint32_t items;
    void (*item)(const cmf_linear *l, uint32_t index, cmf_linear_item *item);
    const void *context; /* of `item` */
    uint32_t item_group; /* of `item`: a conv's groups, or 1 */
    /* f32 and int8_dynamic: y = clamp(real, low, high); int8_static: codes. */
    float low, high;
    int32_t zero_x, zero_y, code_low, code_high;
    /* run time */
    const void *x;
    void *y;
    const void *bias;        /* f32, or i32 for int8_static; NULL: none */
    const float *kept;       /* basis matrices (f32), multipliers (int8_static) */
    const float *row_scales; /* int8_dynamic */
    uint32_t row_scale_step; /* 1: a scale for each pixel, 0: one for the item */
    const cmf_workers *workers;
    uint8_t *shared;         /* scratch of all threads: a pixel of padding */
    uint8_t *scratch;        /* scratch of thread 0; of thread k: k * thread_bytes behind */
    /* cmf_linear_plan */
    int32_t tile_h, tile_w, tiles_y, tiles_x;
    uint32_t groups;         /* of panels, each a task of its own */
    size_t shared_bytes, thread_bytes, weight_bytes; /* weight_bytes: the part of thread_bytes that comes from the weight's form */
};

/* Computes the fields behind "cmf_linear_plan" from those before "run time". */
void cmf_linear_plan(cmf_linear *l, uint32_t threads);
/* Floats to keep, and their computation: basis matrices of f32, nothing otherwise. */
size_t cmf_linear_basis_count(const cmf_tree *tree);
void cmf_linear_basis_fill(const cmf_tree *tree, float *basis);
/* Runs all items. */
void cmf_linear_run(const cmf_linear *l);

/* How it runs; after cmf_linear_plan. */
void cmf_linear_way(const cmf_linear *l, cmf_way *way);
/* Are the lines of whole panels multiplied as they lie in the file? (Others are decoded, a window at a time.) */
int cmf_linear_in_place_f32(const cmf_tree *tree, uint32_t rows, int accumulate);
int cmf_linear_in_place_i8(const cmf_tree *tree);

/* int8_dynamic: q = rne(x / s) and s = max|x| / 127 of each of `rows` rows of n. */
void cmf_linear_quantize(const cmf_linear *l, const float *x, size_t rows, size_t n, int8_t *q, float *scales);
/* What compute a node of this family can do: checks tree, types and requantization, and sets the fields of `l` that follow from them. */
cmf_status cmf_linear_check(const cmf_op_call *call, cmf_linear *l);
/* keep, prepare, scratch and run of both ops, for a call whose `l` is set up but for run time. `x_rows` rows of `x_n` elements are
 * what int8_dynamic quantizes apart. */
size_t cmf_linear_keep(const cmf_linear *l);
void cmf_linear_prepare(const cmf_linear *l, const cmf_op_call *call);
size_t cmf_linear_scratch(const cmf_linear *l, const cmf_op_call *call, size_t x_rows, size_t x_n);
void cmf_linear_call(cmf_linear *l, const cmf_op_call *call, size_t x_rows, size_t x_n);

/* ------------------------------------------------------------------ between the files of this family */

/* Rows of n numbers in a middle buffer. */
uint32_t cmf_linear_rows(uint32_t n);
/* Pixels of n numbers in a buffer that feeds a kernel of `taps` taps. */
uint32_t cmf_linear_area(uint32_t n, uint32_t taps);
/* Sizes of what is shared by rows. FORMAT.md section 4 states those of hosted builds; bare metal takes less. */
#ifdef CMF_FREESTANDING
#  define CMF_LINEAR_WINDOW 64u  /* lines of a decode window; a line of floats is one input, a line of i8 codes four */
#  define CMF_LINEAR_BUDGET 1024u /* numbers in a middle buffer, unless the least rows or pixels take more */
#  define CMF_LINEAR_LEAST 1u
#  define CMF_LINEAR_ROWS 16u    /* rows of a tile, at most: each takes pointers to its taps */
#  define CMF_LINEAR_LEAST_AREA 8u
#else
#  define CMF_LINEAR_WINDOW 256u /* 16 KB: stays in the first cache */
#  define CMF_LINEAR_BUDGET 32768u
#  define CMF_LINEAR_LEAST 16u
#  define CMF_LINEAR_ROWS 512u
#  define CMF_LINEAR_LEAST_AREA 256u
#endif

/* Output pixels [y0, y1) x [x0, x1); row (y - y0) * (x1 - x0) + (x - x0) of a product. */
typedef struct cmf_tile {
    int32_t y0, y1, x0, x1;
} cmf_tile;
static inline uint32_t cmf_tile_rows(const cmf_tile *t) { return (uint32_t)(t->y1 - t->y0) * (uint32_t)(t->x1 - t->x0); }

/* Where the pixels that a tile reads lie: the image, or a part of it in another form. */
typedef struct cmf_source {
    const uint8_t *data; /* pixel (y0, x0) */
    int32_t y0, y1, x0, x1; /* pixels outside are padding */
    size_t row, pixel;   /* bytes from row to row, from pixel to pixel */
    const void *zero;    /* a pixel of padding */
} cmf_source;

/* Scratch, handed out front to back; a copy of the struct gives everything back when its scope ends. */
typedef struct cmf_bump {
    uint8_t *at, *end;
} cmf_bump;
static inline size_t cmf_round64(size_t bytes) { return (bytes + 63u) & ~(size_t)63u; }
static inline void *cmf_bump_take(cmf_bump *bump, size_t bytes) {
    void *p = bump->at;
    bump->at += cmf_round64(bytes);
#ifdef CMF_CHECK_SCRATCH /* tests: what is taken stays within what was asked for */
    if (bump->at > bump->end)
        __builtin_trap();
#endif
    return p;
}
/* The decode window of a panel tree. */
static inline void *cmf_bump_window(cmf_bump *bump, const cmf_tree *t) {
    return cmf_bump_take(bump, (size_t)CMF_LINE_BYTES * (t->inputs < CMF_LINEAR_WINDOW ? t->inputs : CMF_LINEAR_WINDOW));
}

/* Pointers to all taps of a tile's rows: a[tap * rows + row]. */
void cmf_linear_taps(const cmf_linear *l, const cmf_source *source, const cmf_tile *tile, void **a);
/* The input pixels that a tile's taps touch, cut to those of the source. */
cmf_tile cmf_linear_box(const cmf_linear *l, const cmf_source *source, const cmf_tile *tile);
/* Copies a tile's patches, `bytes` of each pixel, into rows one after the other. */
void cmf_linear_patches(const cmf_linear *l, const cmf_source *source, const cmf_tile *tile, size_t bytes, uint8_t *patches,
                        void **a);
/* Does a tree need its input pixels in another form before a kernel of several taps? */
int cmf_linear_needs_box(const cmf_linear *l, const cmf_tree *tree);
/* The bytes of activations' scratch of a tile. */
uint64_t cmf_linear_tile_bytes(const cmf_linear *l);

void cmf_linear_tile_f32(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, uint32_t first, uint32_t last,
                         cmf_bump weights, cmf_bump rows);
void cmf_linear_tile_i8(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, uint32_t first, uint32_t last,
                        cmf_bump weights, cmf_bump rows);
void cmf_depthwise_tile(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, uint32_t first, uint32_t last,
                        cmf_bump weights, cmf_bump rows);
void cmf_winograd_tile(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, cmf_bump weights, cmf_bump rows);
/* Output tiles of a block of F(tile x tile, 3 x 3). */
uint32_t cmf_winograd_block(const cmf_tree *tree);
/* Sums of a tile of int8. */
size_t cmf_linear_sums_bytes(uint32_t rows);
/* The epilogue of int8: sums of `rows` rows of one panel into the output. */
void cmf_linear_finish_i8(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, uint32_t panel,
                          const int32_t *acc, void *const *out, const float *row_scales);
/* Scales of a tile's rows, and pointers to its rows of the output. */
void cmf_linear_row_scales(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, float *scales);
void cmf_linear_outputs(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, void **out);

/* The basis matrices of one dct, as panels of 16 lanes that gemm_f32 reads. */
typedef struct cmf_dct_basis {
    uint32_t in_chunk, in_tail, out_tail; /* inputs a chunk, of the last chunk, outputs of the last panel; 0: none */
    const float *in, *in_last, *out, *out_last; /* NULL: the identity */
} cmf_dct_basis;
/* Finds the matrices of `node` in the basis of the tree `root`. */
cmf_dct_basis cmf_dct_basis_of(const cmf_tree *root, const cmf_tree *node, const float *basis);

#endif
