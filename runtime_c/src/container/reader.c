/* From the verified metadata block to struct cmf_model. The same code runs twice: first without a block, when it checks and
 * counts, then with one of the counted size. Node and model input lists are not copied: they point into the file. */
#include "base/schema_ids.h"
#include "container/container.h"
#include "container/schema_gen.h"

#define READER_MAX_COUNT (1u << 20)
#define READER_MAX_ELEMENTS (UINT64_C(1) << 40)
#define READER_MAX_DIMENSION 0x7fffffffu
#define READER_MAX_NODE_VALUES 1024u
#define READER_MAX_WINDOW 32767u

/* Ids that the runtime spells out are those of the schema. */
#define READER_SAME(a, b) _Static_assert((int)(a) == (int)(b), #a " is not " #b)
READER_SAME(CMF_ENC_DENSE, CMF_FB_ENCODING_DENSE);
READER_SAME(CMF_ENC_SPARSE, CMF_FB_ENCODING_SPARSE);
READER_SAME(CMF_ENC_QUANTIZED, CMF_FB_ENCODING_QUANTIZED);
READER_SAME(CMF_ENC_CODEBOOK, CMF_FB_ENCODING_CODEBOOK);
READER_SAME(CMF_ENC_LOWRANK, CMF_FB_ENCODING_LOWRANK);
READER_SAME(CMF_ENC_DCT, CMF_FB_ENCODING_DCT);
READER_SAME(CMF_ENC_BITPACKED, CMF_FB_ENCODING_BITPACKED);
READER_SAME(CMF_ENC_WINOGRAD, CMF_FB_ENCODING_WINOGRAD);
READER_SAME(CMF_ENC_COUNT, CMF_FB_ENCODING_COUNT);
READER_SAME(CMF_LAYOUT_LINES, CMF_FB_LAYOUT_LINES);
READER_SAME(CMF_LAYOUT_ROWS, CMF_FB_LAYOUT_ROWS);
READER_SAME(CMF_GRAN_CHANNEL, CMF_FB_GRANULARITY_CHANNEL);
READER_SAME(CMF_GRAN_GROUP, CMF_FB_GRANULARITY_GROUP);
READER_SAME(CMF_LEVELS_TERNARY, CMF_FB_LEVELS_TERNARY);
READER_SAME(CMF_FORM_TUCKER2, CMF_FB_FORM_TUCKER2);
READER_SAME(CMF_F32, CMF_FB_DTYPE_F32);
READER_SAME(CMF_F16, CMF_FB_DTYPE_F16);
READER_SAME(CMF_BF16, CMF_FB_DTYPE_BF16);
READER_SAME(CMF_F64, CMF_FB_DTYPE_F64);
READER_SAME(CMF_I8, CMF_FB_DTYPE_I8);
READER_SAME(CMF_U8, CMF_FB_DTYPE_U8);
READER_SAME(CMF_I16, CMF_FB_DTYPE_I16);
READER_SAME(CMF_U16, CMF_FB_DTYPE_U16);
READER_SAME(CMF_I32, CMF_FB_DTYPE_I32);
READER_SAME(CMF_U32, CMF_FB_DTYPE_U32);
READER_SAME(CMF_I64, CMF_FB_DTYPE_I64);
READER_SAME(CMF_U64, CMF_FB_DTYPE_U64);
READER_SAME(CMF_BOOL, CMF_FB_DTYPE_BOOLEAN);

typedef struct reader {
    const cmf_container *file;
    uint8_t *block;          /* NULL: counting */
    uint64_t used;
    const uint8_t **decoded; /* one for each buffer where any is compressed */
    uint64_t spanned;        /* bytes of all spans so far */
    uint32_t symbol_count;
    cmf_error *error;
} reader;

/* The next `size` bytes of the block, zeroed; NULL while counting. */
static void *reader_take(reader *r, uint64_t size, uint64_t alignment) {
    uint64_t at = cmf_round_up(r->used, alignment);
    r->used = at + size;
    if (!r->block) return NULL;
    if (size) memset(r->block + at, 0, (size_t)size);
    return r->block + at;
}
#define READER_TAKE(r, type, count) ((type *)reader_take((r), (uint64_t)sizeof(type) * (count), _Alignof(type)))

/* ------------------------------------------------------------------ spans and trees */

static cmf_status reader_span(reader *r, const uint8_t *span, const char *what, uint32_t alignment, cmf_bytes *out) {
    cmf_error *error = r->error;
    out->data = NULL;
    out->size = 0;
    if (!span) return CMF_OK;
    uint64_t size = cmf_fb_span_size(span);
    uint32_t offset = cmf_fb_span_offset(span), index = cmf_fb_span_buffer(span);
    CMF_REQUIRE(index < r->file->buffer_count, CMF_E_BUFFER, "%s: there is no buffer %u", what, index);
    const uint8_t *buffer = cmf_fb_element(r->file->buffers, index, CMF_FB_BUFFER_SIZE);
    uint64_t buffer_size = cmf_fb_buffer_size(buffer);
    CMF_REQUIRE(offset <= buffer_size && size <= buffer_size - offset, CMF_E_BUFFER,
                "%s: %llu bytes at %u lie outside buffer %u of %llu bytes", what, (unsigned long long)size, offset, index,
                (unsigned long long)buffer_size);
    CMF_REQUIRE(offset % alignment == 0u, CMF_E_BUFFER, "%s: offset %u in buffer %u is not a multiple of %u", what, offset, index,
                alignment);
    CMF_REQUIRE(size <= r->file->span_limit - r->spanned, CMF_E_LIMIT, "%s: the spans of all values name more than %llu bytes", what,
                (unsigned long long)r->file->span_limit);
    r->spanned += size;
    out->size = (size_t)size;
    if (cmf_fb_buffer_codec(buffer) == CMF_FB_CODEC_RAW) out->data = r->file->section + cmf_fb_buffer_offset(buffer) + offset;
    else out->data = r->decoded ? r->decoded[index] + offset : r->file->section; /* counting: only that it is there */
    return CMF_OK;
}

static uint32_t reader_alignment(uint8_t dtype) {
    size_t size = cmf_dtype_size((cmf_dtype)dtype);
    return size ? (uint32_t)size : 1u;
}

static cmf_status reader_tree(reader *r, const uint8_t *table, uint32_t depth, const cmf_tree **out);

static cmf_status reader_dense(reader *r, const uint8_t *e, cmf_tree *t) {
    t->dtype = cmf_fb_dense_dtype(e);
    t->bits = t->dtype == CMF_F32 ? 32 : 16;
    return reader_span(r, cmf_fb_dense_codes(e), "codes", 4, &t->codes);
}

static cmf_status reader_quantized(reader *r, const uint8_t *e, cmf_tree *t) {
    t->bits = cmf_fb_quantized_bits(e);
    t->granularity = cmf_fb_quantized_granularity(e);
    t->group = cmf_fb_quantized_group(e);
    t->scale_dtype = cmf_fb_quantized_scale_dtype(e);
    CMF_TRY(reader_span(r, cmf_fb_quantized_codes(e), "codes", 4, &t->codes));
    CMF_TRY(reader_span(r, cmf_fb_quantized_scales(e), "scales", reader_alignment(t->scale_dtype), &t->scales));
    return reader_span(r, cmf_fb_quantized_zeros(e), "zeros", 1, &t->zeros);
}

static cmf_status reader_codebook(reader *r, const uint8_t *e, cmf_tree *t) {
    t->bits = cmf_fb_codebook_bits(e);
    t->vector = cmf_fb_codebook_vector(e);
    t->tables = cmf_fb_codebook_tables(e);
    t->table_dtype = cmf_fb_codebook_table_dtype(e);
    t->granularity = cmf_fb_codebook_granularity(e);
    t->scale_dtype = cmf_fb_codebook_scale_dtype(e);
    CMF_TRY(reader_span(r, cmf_fb_codebook_codes(e), "codes", 4, &t->codes));
    CMF_TRY(reader_span(r, cmf_fb_codebook_table(e), "table", 4, &t->table));
    return reader_span(r, cmf_fb_codebook_scales(e), "scales", reader_alignment(t->scale_dtype), &t->scales);
}

static cmf_status reader_bitpacked(reader *r, const uint8_t *e, cmf_tree *t) {
    t->kind = cmf_fb_bitpacked_levels(e);
    t->bits = t->kind == CMF_LEVELS_BINARY ? 1 : 2;
    t->granularity = cmf_fb_bitpacked_granularity(e);
    t->scale_dtype = cmf_fb_bitpacked_scale_dtype(e);
    CMF_TRY(reader_span(r, cmf_fb_bitpacked_codes(e), "codes", 4, &t->codes));
    return reader_span(r, cmf_fb_bitpacked_scales(e), "scales", reader_alignment(t->scale_dtype), &t->scales);
}

static cmf_status reader_sparse(reader *r, const uint8_t *e, cmf_tree *t, uint32_t depth) {
    t->kind = cmf_fb_sparse_pattern(e);
    CMF_TRY(reader_span(r, cmf_fb_sparse_mask(e), "mask", 8, &t->mask));
    CMF_TRY(reader_span(r, cmf_fb_sparse_offsets(e), "offsets", 4, &t->offsets));
    return reader_tree(r, cmf_fb_sparse_values(e), depth + 1u, &t->child[0]);
}

static cmf_status reader_low_rank(reader *r, const uint8_t *e, cmf_tree *t, uint32_t depth) {
    cmf_error *error = r->error;
    const uint8_t *factors = cmf_fb_low_rank_factors(e), *residual = cmf_fb_low_rank_residual(e);
    uint32_t count = cmf_fb_length(factors);
    CMF_REQUIRE(count <= CMF_MAX_FACTORS, CMF_E_ENCODING, "lowrank: %u factors; no form has more than %u", count, CMF_MAX_FACTORS);
    t->kind = cmf_fb_low_rank_form(e);
    t->factor_count = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++) CMF_TRY(reader_tree(r, cmf_fb_item(factors, i), depth + 1u, &t->child[i]));
    return residual ? reader_tree(r, residual, depth + 1u, &t->residual) : CMF_OK;
}

static cmf_status reader_encoding(reader *r, const uint8_t *e, cmf_tree *t, uint32_t depth) {
    switch (t->encoding) {
    case CMF_ENC_DENSE: return reader_dense(r, e, t);
    case CMF_ENC_QUANTIZED: return reader_quantized(r, e, t);
    case CMF_ENC_CODEBOOK: return reader_codebook(r, e, t);
    case CMF_ENC_BITPACKED: return reader_bitpacked(r, e, t);
    case CMF_ENC_SPARSE: return reader_sparse(r, e, t, depth);
    case CMF_ENC_LOWRANK: return reader_low_rank(r, e, t, depth);
    case CMF_ENC_DCT:
        t->input_block = cmf_fb_dct_input_block(e);
        t->output_block = cmf_fb_dct_output_block(e);
        return reader_tree(r, cmf_fb_dct_coefficients(e), depth + 1u, &t->child[0]);
    default: /* winograd: the verifier let no other id pass */
        t->tile = cmf_fb_winograd_tile(e);
        return reader_tree(r, cmf_fb_winograd_filters(e), depth + 1u, &t->child[0]);
    }
}

static cmf_status reader_tree(reader *r, const uint8_t *table, uint32_t depth, const cmf_tree **out) {
    cmf_error *error = r->error;
    cmf_tree counted, *t = READER_TAKE(r, cmf_tree, 1);
    if (!t) t = memset(&counted, 0, sizeof counted);
    CMF_REQUIRE(depth <= CMF_MAX_TREE_DEPTH, CMF_E_ENCODING, "a tree is deeper than %u encodings", CMF_MAX_TREE_DEPTH);
    t->encoding = cmf_fb_tree_encoding_type(table);
    t->layout = cmf_fb_tree_layout(table);
    t->stack = cmf_fb_tree_stack(table);
    t->outputs = cmf_fb_tree_outputs(table);
    t->inputs = cmf_fb_tree_inputs(table);
    t->run = cmf_fb_tree_run(table);
    CMF_REQUIRE(t->stack && t->outputs && t->inputs && t->run && t->inputs % t->run == 0u, CMF_E_ENCODING,
                "a tree of %u x %u x %u with run %u: none may be 0, and inputs are a multiple of run", t->stack, t->outputs,
                t->inputs, t->run);
    CMF_REQUIRE(t->stack <= READER_MAX_DIMENSION && t->outputs <= READER_MAX_DIMENSION && t->inputs <= READER_MAX_DIMENSION &&
                    (uint64_t)t->outputs * t->inputs <= READER_MAX_ELEMENTS / t->stack,
                CMF_E_LIMIT, "a tree of %u x %u x %u is beyond the limits", t->stack, t->outputs, t->inputs);
    *out = t;
    return reader_encoding(r, cmf_fb_tree_encoding(table), t, depth);
}

/* ------------------------------------------------------------------ values */

static cmf_status reader_shape(reader *r, const uint8_t *shape, cmf_value *v) {
    cmf_error *error = r->error;
    uint32_t rank = cmf_fb_length(shape);
    CMF_REQUIRE(rank <= CMF_MAX_RANK, CMF_E_LIMIT, "rank %u; the limit is %d", rank, CMF_MAX_RANK);
    v->has_shape = 1;
    v->rank = (uint8_t)rank;
    for (uint32_t i = 0; i < rank; i++) {
        int64_t dim = cmf_load_i64(cmf_fb_element(shape, i, 8));
        CMF_REQUIRE(dim <= (int64_t)READER_MAX_DIMENSION, CMF_E_LIMIT, "dimension %u is %lld; the limit is 2^31 - 1", i, (long long)dim);
        CMF_REQUIRE(dim >= -(int64_t)r->symbol_count, CMF_E_GRAPH, "dimension %u names symbol %lld of %u", i, (long long)(-1 - dim),
                    r->symbol_count);
        v->dims[i] = (int32_t)dim;
    }
    return CMF_OK;
}

static cmf_status reader_affine(reader *r, const uint8_t *affine, cmf_value *v) {
    static const struct { uint8_t dtype; int32_t low, high; } ranges[] = {
        {CMF_I8, -128, 127}, {CMF_U8, 0, 255}, {CMF_I16, -32768, 32767}, {CMF_U16, 0, 65535}, {CMF_I32, INT32_MIN, INT32_MAX},
    };
    cmf_error *error = r->error;
    v->has_affine = 1;
    v->scale = cmf_fb_affine_scale(affine);
    v->zero_point = cmf_fb_affine_zero_point(affine);
    CMF_REQUIRE(cmf_is_finite(v->scale) && v->scale > 0.0f, CMF_E_GRAPH, "its scale is not a positive number");
    for (uint32_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (ranges[i].dtype != v->dtype) continue;
        CMF_REQUIRE(v->zero_point >= ranges[i].low && v->zero_point <= ranges[i].high, CMF_E_GRAPH,
                    "zero point %d is no number of its dtype", v->zero_point);
        return CMF_OK;
    }
    CMF_FAIL(CMF_E_GRAPH, "dtype %u cannot have a scale and zero point", (unsigned)v->dtype);
}

/* Elements of a value whose dimensions must all be known. */
static cmf_status reader_elements(reader *r, const cmf_value *v, uint64_t *elements) {
    cmf_error *error = r->error;
    CMF_REQUIRE(v->has_shape, CMF_E_GRAPH, "a constant needs a shape");
    int empty = 0;
    *elements = 1;
    for (uint32_t i = 0; i < v->rank; i++) {
        CMF_REQUIRE(v->dims[i] >= 0, CMF_E_GRAPH, "dimension %u of a constant is symbolic", i);
        if (v->dims[i] == 0) {
            empty = 1;
            continue;
        }
        CMF_REQUIRE(*elements <= READER_MAX_ELEMENTS / (uint32_t)v->dims[i], CMF_E_LIMIT, "it has more than 2^40 elements");
        *elements *= (uint32_t)v->dims[i];
    }
    if (empty) *elements = 0;
    return CMF_OK;
}

static cmf_status reader_value_body(reader *r, const uint8_t *table, cmf_value *v) {
    cmf_error *error = r->error;
    const uint8_t *shape = cmf_fb_value_shape(table), *affine = cmf_fb_value_affine(table);
    const uint8_t *data = cmf_fb_value_data(table), *tree = cmf_fb_value_tree(table);
    uint64_t elements = 0;
    v->dtype = cmf_fb_value_dtype(table);
    CMF_REQUIRE(v->dtype != CMF_NONE, CMF_E_GRAPH, "it has no dtype");
    CMF_REQUIRE(!data || !tree, CMF_E_GRAPH, "it has data and a tree");
    if (shape) CMF_TRY(reader_shape(r, shape, v));
    if (affine) CMF_TRY(reader_affine(r, affine, v));
    if (data) {
        v->origin = CMF_ORIGIN_DATA;
        uint32_t item = reader_alignment(v->dtype);
        CMF_TRY(reader_elements(r, v, &elements));
        CMF_TRY(reader_span(r, data, "data", item, &v->data));
        CMF_REQUIRE(v->data.size == elements * item, CMF_E_BUFFER, "data: %zu bytes for %llu elements of %u bytes", v->data.size,
                    (unsigned long long)elements, item);
    } else if (tree) {
        v->origin = CMF_ORIGIN_TREE;
        CMF_REQUIRE(v->dtype == CMF_F32 && !affine, CMF_E_GRAPH, "a weight has dtype f32 and no affine");
        CMF_TRY(reader_elements(r, v, &elements));
        CMF_TRY(reader_tree(r, tree, 1, &v->tree));
        uint32_t stack = cmf_fb_tree_stack(tree), outputs = cmf_fb_tree_outputs(tree), inputs = cmf_fb_tree_inputs(tree);
        CMF_REQUIRE((uint64_t)outputs * inputs * stack == elements, CMF_E_ENCODING, "a tree of %u x %u x %u for a shape of %llu elements",
                    stack, outputs, inputs, (unsigned long long)elements);
    }
    return CMF_OK;
}

static cmf_status reader_value(reader *r, const uint8_t *table, uint32_t index, cmf_value *v) {
    v->name = cmf_fb_text(cmf_fb_value_name(table));
    cmf_status status = reader_value_body(r, table, v);
    return status ? cmf_fail_in(r->error, status, "value %u '%s'", index, v->name) : CMF_OK;
}

/* ------------------------------------------------------------------ nodes */

/* The options that an op takes. */
static uint8_t reader_options_of(uint16_t op) {
    switch (op) {
    case CMF_FB_OP_CONV: return CMF_FB_OPTIONS_CONVOPTIONS;
    case CMF_FB_OP_MAXPOOL:
    case CMF_FB_OP_AVERAGEPOOL: return CMF_FB_OPTIONS_POOLOPTIONS;
    case CMF_FB_OP_SOFTMAX:
    case CMF_FB_OP_CONCAT:
    case CMF_FB_OP_GATHER:
    case CMF_FB_OP_QUANTIZELINEAR: /* one scale for all: the axis says nothing */
    case CMF_FB_OP_DEQUANTIZELINEAR: return CMF_FB_OPTIONS_AXISOPTIONS;
    case CMF_FB_OP_LAYERNORMALIZATION: return CMF_FB_OPTIONS_NORMOPTIONS;
    case CMF_FB_OP_LEAKYRELU:
    case CMF_FB_OP_HARDSIGMOID: return CMF_FB_OPTIONS_ALPHAOPTIONS;
    case CMF_FB_OP_REDUCEMEAN:
    case CMF_FB_OP_REDUCESUM:
    case CMF_FB_OP_REDUCEMAX: return CMF_FB_OPTIONS_REDUCEOPTIONS;
    case CMF_FB_OP_TRANSPOSE: return CMF_FB_OPTIONS_TRANSPOSEOPTIONS;
    case CMF_FB_OP_SHAPE: return CMF_FB_OPTIONS_SHAPEOPTIONS;
    case CMF_FB_OP_RESIZE: return CMF_FB_OPTIONS_RESIZEOPTIONS;
    case CMF_FB_OP_PAD: return CMF_FB_OPTIONS_PADOPTIONS;
    case CMF_FB_OP_GELU: return CMF_FB_OPTIONS_GELUOPTIONS;
    default: return CMF_FB_OPTIONS_NONE;
    }
}

/* `count` numbers from low to READER_MAX_WINDOW; an absent vector leaves the defaults. */
static cmf_status reader_window(reader *r, const uint8_t *vector, const char *what, uint32_t count, uint32_t low, uint32_t *out) {
    cmf_error *error = r->error;
    if (!vector) return CMF_OK;
    CMF_REQUIRE(cmf_fb_length(vector) == count, CMF_E_GRAPH, "%s has %u entries, not %u", what, cmf_fb_length(vector), count);
    for (uint32_t i = 0; i < count; i++) {
        out[i] = cmf_load_u32(cmf_fb_element(vector, i, 4));
        CMF_REQUIRE(out[i] >= low && out[i] <= READER_MAX_WINDOW, CMF_E_LIMIT, "%s[%u] is %u; allowed are %u to %u", what, i, out[i], low,
                    READER_MAX_WINDOW);
    }
    return CMF_OK;
}

static cmf_status reader_axis(reader *r, int32_t axis) {
    cmf_error *error = r->error;
    CMF_REQUIRE(axis >= -CMF_MAX_RANK && axis < CMF_MAX_RANK, CMF_E_GRAPH, "axis %d; allowed are -8 to 7", axis);
    return CMF_OK;
}

static cmf_status reader_axes(reader *r, const uint8_t *axes, cmf_node_options *o) {
    cmf_error *error = r->error;
    uint32_t count = cmf_fb_length(axes);
    CMF_REQUIRE(count <= CMF_MAX_RANK, CMF_E_LIMIT, "%u axes; the limit is %d", count, CMF_MAX_RANK);
    o->axes_count = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++) {
        int32_t axis = cmf_load_i32(cmf_fb_element(axes, i, 4));
        CMF_TRY(reader_axis(r, axis));
        o->axes[i] = (int8_t)axis;
    }
    return CMF_OK;
}

static cmf_status reader_perm(reader *r, const uint8_t *perm, cmf_node_options *o) {
    cmf_error *error = r->error;
    uint32_t count = cmf_fb_length(perm), seen = 0;
    CMF_REQUIRE(count <= CMF_MAX_RANK, CMF_E_LIMIT, "perm has %u entries; the limit is %d", count, CMF_MAX_RANK);
    o->perm_count = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t axis = cmf_load_u32(cmf_fb_element(perm, i, 4));
        CMF_REQUIRE(axis < count && !(seen >> axis & 1u), CMF_E_GRAPH, "perm is no permutation");
        seen |= 1u << axis;
        o->perm[i] = (uint8_t)axis;
    }
    return CMF_OK;
}

static cmf_status reader_finite(reader *r, float x, const char *what) {
    cmf_error *error = r->error;
    CMF_REQUIRE(cmf_is_finite(x), CMF_E_GRAPH, "%s is not a finite number", what);
    return CMF_OK;
}

static cmf_status reader_options(reader *r, uint8_t type, const uint8_t *t, cmf_node_options *o) {
    cmf_error *error = r->error;
    switch (type) {
    case CMF_FB_OPTIONS_CONVOPTIONS:
        o->group = cmf_fb_conv_options_group(t);
        CMF_REQUIRE(o->group >= 1u && o->group <= READER_MAX_DIMENSION, CMF_E_GRAPH, "group is %u", o->group);
        CMF_TRY(reader_window(r, cmf_fb_conv_options_strides(t), "strides", 2, 1, o->strides));
        CMF_TRY(reader_window(r, cmf_fb_conv_options_dilations(t), "dilations", 2, 1, o->dilations));
        return reader_window(r, cmf_fb_conv_options_pads(t), "pads", 4, 0, o->pads);
    case CMF_FB_OPTIONS_POOLOPTIONS:
        o->ceil_mode = cmf_fb_pool_options_ceil_mode(t);
        o->count_include_pad = cmf_fb_pool_options_count_include_pad(t);
        CMF_TRY(reader_window(r, cmf_fb_pool_options_kernel(t), "kernel", 2, 1, o->kernel));
        CMF_TRY(reader_window(r, cmf_fb_pool_options_strides(t), "strides", 2, 1, o->strides));
        CMF_TRY(reader_window(r, cmf_fb_pool_options_dilations(t), "dilations", 2, 1, o->dilations));
        return reader_window(r, cmf_fb_pool_options_pads(t), "pads", 4, 0, o->pads);
    case CMF_FB_OPTIONS_AXISOPTIONS: o->axis = cmf_fb_axis_options_axis(t); return reader_axis(r, o->axis);
    case CMF_FB_OPTIONS_NORMOPTIONS:
        o->axis = cmf_fb_norm_options_axis(t);
        o->epsilon = cmf_fb_norm_options_epsilon(t);
        CMF_TRY(reader_finite(r, o->epsilon, "epsilon"));
        return reader_axis(r, o->axis);
    case CMF_FB_OPTIONS_ALPHAOPTIONS:
        o->alpha = cmf_fb_alpha_options_alpha(t);
        o->beta = cmf_fb_alpha_options_beta(t);
        CMF_TRY(reader_finite(r, o->alpha, "alpha"));
        return reader_finite(r, o->beta, "beta");
    case CMF_FB_OPTIONS_REDUCEOPTIONS:
        o->keepdims = cmf_fb_reduce_options_keepdims(t);
        return reader_axes(r, cmf_fb_reduce_options_axes(t), o);
    case CMF_FB_OPTIONS_TRANSPOSEOPTIONS: return reader_perm(r, cmf_fb_transpose_options_perm(t), o);
    case CMF_FB_OPTIONS_SHAPEOPTIONS:
        o->start = cmf_fb_shape_options_start(t);
        o->end = cmf_fb_shape_options_end(t);
        return CMF_OK;
    case CMF_FB_OPTIONS_RESIZEOPTIONS:
        o->mode = cmf_fb_resize_options_mode(t);
        o->coordinates = cmf_fb_resize_options_coordinates(t);
        return CMF_OK;
    case CMF_FB_OPTIONS_PADOPTIONS: o->mode = cmf_fb_pad_options_mode(t); return CMF_OK;
    case CMF_FB_OPTIONS_GELUOPTIONS: o->gelu_tanh = cmf_fb_gelu_options_tanh(t); return CMF_OK;
    default: return CMF_OK;
    }
}

/* What the schema says where a table is absent. An empty table of every type would say the same. */
static const cmf_node_options reader_default_options = {
    .kernel = {1, 1}, .strides = {1, 1}, .dilations = {1, 1}, .group = 1, .end = 2147483647, .epsilon = 1e-5f, .keepdims = 1,
};

static cmf_status reader_node_body(reader *r, const uint8_t *table, cmf_node *n) {
    cmf_error *error = r->error;
    const uint8_t *inputs = cmf_fb_node_inputs(table), *outputs = cmf_fb_node_outputs(table);
    uint8_t options = cmf_fb_node_options_type(table), expected;
    n->op = cmf_fb_node_op(table);
    n->compute = cmf_fb_node_compute(table);
    n->requantize = cmf_fb_node_requantize(table);
    n->activation = cmf_fb_node_activation(table);
    n->activation_min = cmf_fb_node_activation_min(table);
    n->activation_max = cmf_fb_node_activation_max(table);
    CMF_REQUIRE(n->op != CMF_FB_OP_NONE, CMF_E_GRAPH, "it has no op");
    CMF_REQUIRE(n->activation != CMF_FB_ACTIVATION_CLIP || n->activation_min <= n->activation_max, CMF_E_GRAPH,
                "its clip has a minimum above its maximum"); /* nor may either be NaN */
    CMF_REQUIRE(cmf_fb_length(inputs) <= READER_MAX_NODE_VALUES && cmf_fb_length(outputs) <= READER_MAX_NODE_VALUES, CMF_E_LIMIT,
                "%u inputs and %u outputs; the limit is %u each", cmf_fb_length(inputs), cmf_fb_length(outputs), READER_MAX_NODE_VALUES);
    n->input_count = (uint16_t)cmf_fb_length(inputs);
    n->output_count = (uint16_t)cmf_fb_length(outputs);
    n->inputs = (const int32_t *)(const void *)(inputs + 4); /* 4-byte aligned: block, vector and caller's base are */
    n->outputs = (const int32_t *)(const void *)(outputs + 4);
    n->options = reader_default_options;
    if (n->op == CMF_FB_OP_LAYERNORMALIZATION) n->options.axis = -1;
    expected = reader_options_of(n->op);
    CMF_REQUIRE(options == CMF_FB_OPTIONS_NONE || options == expected, CMF_E_GRAPH, "op %u takes options of type %u, not %u",
                (unsigned)n->op, (unsigned)expected, (unsigned)options);
    CMF_REQUIRE(expected != CMF_FB_OPTIONS_POOLOPTIONS || (options && cmf_fb_pool_options_kernel(cmf_fb_node_options(table))), CMF_E_GRAPH,
                "a pool needs its kernel size");
    return reader_options(r, options, cmf_fb_node_options(table), &n->options);
}

static cmf_status reader_node(reader *r, const uint8_t *table, uint32_t index, cmf_node *n) {
    n->name = cmf_fb_text(cmf_fb_node_name(table));
    cmf_status status = reader_node_body(r, table, n);
    return status ? cmf_fail_in(r->error, status, "node %u '%s'", index, n->name) : CMF_OK;
}

/* ------------------------------------------------------------------ the model */

static cmf_status reader_count(reader *r, const uint8_t *vector, const char *what, uint32_t *count) {
    cmf_error *error = r->error;
    *count = cmf_fb_length(vector);
    CMF_REQUIRE(*count <= READER_MAX_COUNT, CMF_E_LIMIT, "%u %s; the limit is 2^20", *count, what);
    return CMF_OK;
}

/* Puts decoded zstd buffers into the block; nothing where there are none. */
static cmf_status reader_decode(reader *r) {
    const cmf_container *file = r->file;
    int compressed = 0;
    for (uint32_t i = 0; i < file->buffer_count && !compressed; i++)
        compressed = cmf_fb_buffer_codec(cmf_fb_element(file->buffers, i, CMF_FB_BUFFER_SIZE)) != CMF_FB_CODEC_RAW;
    if (!compressed) return CMF_OK;
    r->decoded = READER_TAKE(r, const uint8_t *, file->buffer_count);
    for (uint32_t i = 0; i < file->buffer_count; i++) {
        const uint8_t *buffer = cmf_fb_element(file->buffers, i, CMF_FB_BUFFER_SIZE);
        if (cmf_fb_buffer_codec(buffer) == CMF_FB_CODEC_RAW) continue;
        size_t size = (size_t)cmf_fb_buffer_size(buffer);
        uint64_t at = cmf_round_up(r->used, file->block_alignment);
        r->used = at + size + 64u; /* vector loads may look behind the end, as they may in a file */
        if (!r->block) continue;
        uint8_t *target = r->block + at;
        memset(target + size, 0, 64);
        cmf_status status = cmf_zstd_decode(file->zstd, target, size, file->section + cmf_fb_buffer_offset(buffer),
                                            (size_t)cmf_fb_buffer_stored_size(buffer), r->error);
        if (status) return cmf_fail_in(r->error, status, "buffer %u", i);
        r->decoded[i] = target;
    }
    return CMF_OK;
}

/* One pass. While counting, `m` is a local and its arrays are NULL. */
static cmf_status reader_model(reader *r, cmf_model *m) {
    const uint8_t *root = r->file->root, *values = cmf_fb_model_values(root), *nodes = cmf_fb_model_nodes(root);
    const uint8_t *inputs = cmf_fb_model_inputs(root), *outputs = cmf_fb_model_outputs(root), *symbols = cmf_fb_model_symbols(root);
    m->name = cmf_fb_text(cmf_fb_model_name(root));
    CMF_TRY(reader_count(r, values, "values", &m->value_count));
    CMF_TRY(reader_count(r, nodes, "nodes", &m->node_count));
    CMF_TRY(reader_count(r, inputs, "model inputs", &m->input_count));
    CMF_TRY(reader_count(r, outputs, "model outputs", &m->output_count));
    CMF_TRY(reader_count(r, symbols, "symbols", &m->symbol_count));
    m->inputs = (const int32_t *)(const void *)(inputs + 4);
    m->outputs = (const int32_t *)(const void *)(outputs + 4);
    r->symbol_count = m->symbol_count;

    m->symbols = READER_TAKE(r, const char *, m->symbol_count);
    for (uint32_t i = 0; m->symbols && i < m->symbol_count; i++) m->symbols[i] = cmf_fb_text(cmf_fb_item(symbols, i));
    CMF_TRY(reader_decode(r));

    m->values = READER_TAKE(r, cmf_value, m->value_count);
    for (uint32_t i = 0; i < m->value_count; i++) {
        cmf_value counted = {0}, *value = m->values ? &m->values[i] : &counted;
        CMF_TRY(reader_value(r, cmf_fb_item(values, i), i, value));
        if (value->tree) m->weight_count++;
    }
    m->nodes = READER_TAKE(r, cmf_node, m->node_count);
    for (uint32_t i = 0; i < m->node_count; i++) {
        cmf_node counted = {0};
        CMF_TRY(reader_node(r, cmf_fb_item(nodes, i), i, m->nodes ? &m->nodes[i] : &counted));
    }
    int32_t *weights = READER_TAKE(r, int32_t, m->weight_count);
    m->weights = weights;
    for (uint32_t i = 0; weights && i < m->value_count; i++)
        if (m->values[i].tree) *weights++ = (int32_t)i;
    return CMF_OK;
}

cmf_status cmf_container_open(cmf_container *c, const void *data, size_t size, const cmf_open_options *options, cmf_error *error) {
    CMF_REQUIRE(data && (uintptr_t)data % 4u == 0u, CMF_E_ARGUMENT, "the file's memory is NULL or not 4-byte aligned");
    CMF_TRY(cmf_preamble_read(c, data, size, options->zstd, error));
    if (options->verify == CMF_VERIFY_FULL) CMF_TRY(cmf_metadata_checksum(c, error));
    CMF_TRY(cmf_fb_verify(c->metadata, c->metadata_size, &c->root, error));
    CMF_TRY(cmf_buffers_check(c, options->max_resident ? options->max_resident : UINT64_C(1) << 30, error));
    reader r = {.file = c, .error = error};
    cmf_model counted = {0};
    (void)READER_TAKE(&r, cmf_model, 1);
    c->block_alignment = c->decoded_bytes ? 64u : _Alignof(cmf_model);
    CMF_TRY(reader_model(&r, &counted));
    CMF_REQUIRE(r.used <= SIZE_MAX / 2u, CMF_E_MEMORY, "opening needs %llu bytes", (unsigned long long)r.used);
    c->block_size = (size_t)r.used;
    return CMF_OK;
}

cmf_status cmf_container_build(const cmf_container *c, void *block, cmf_model **model, cmf_error *error) {
    reader r = {.file = c, .block = block, .error = error};
    cmf_model *m = READER_TAKE(&r, cmf_model, 1);
    m->file = c->file;
    m->file_size = (size_t)c->file_size;
    m->resident_bytes = c->block_size;
    CMF_TRY(reader_model(&r, m));
    CMF_TRY(cmf_graph_check(m, error));
    *model = m;
    return CMF_OK;
}
