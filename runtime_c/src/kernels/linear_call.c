/* What Conv and MatMul have in common as ops: checks, memory, int8. */
#include <string.h>

#include "base/bytes.h"
#include "base/half.h"
#include "base/math.h"
#include "kernels/array.h"
#include "kernels/linear.h"

static cmf_status linear_check_i8(const cmf_op_call *call, const cmf_tree *tree, const char *compute) {
    cmf_error *error = call->error;
    CMF_REQUIRE(cmf_tree_is_panel(tree), CMF_E_UNSUPPORTED,
                "a weight of encoding %s cannot be computed in %s; supported: quantized, codebook, bitpacked, and these under sparse",
                cmf_encoding_get(tree->encoding)->name, compute);
    CMF_REQUIRE(cmf_tree_has_i8(tree), CMF_E_UNSUPPORTED,
                "%s needs i8 codes with a scale for each tensor or channel: quantized with at most 8 bits and no zero points, codebook "
                "with an i8 table and scales, or bitpacked", compute);
    return CMF_OK;
}

cmf_status cmf_linear_check(const cmf_op_call *call, cmf_linear *l) {
    cmf_error *error = call->error;
    const cmf_node *node = call->node;
    const cmf_array *x = call->inputs[0], *bias = node->input_count > 2 ? call->inputs[2] : NULL;
    const cmf_array *y = call->outputs[0];
    int is_static = node->compute == CMF_FB_COMPUTE_INT8_STATIC;
    CMF_REQUIRE(node->compute < CMF_FB_COMPUTE_COUNT, CMF_E_UNSUPPORTED, "unknown way to compute %u", node->compute);
    l->isa = call->isa;
    l->compute = node->compute;
    l->low = -cmf_inff();
    l->high = cmf_inff();
    if (node->activation == CMF_FB_ACTIVATION_RELU)
        l->low = 0.0f;
    if (node->activation == CMF_FB_ACTIVATION_CLIP) {
        l->low = node->activation_min;
        l->high = node->activation_max;
    }
    if (is_static) {
        CMF_REQUIRE(x->dtype == CMF_I8 && x->has_affine && y->dtype == CMF_I8 && y->has_affine, CMF_E_DTYPE,
                    "int8_static needs an i8 input and an i8 output with scales; they are %s and %s", cmf_dtype_name(x->dtype),
                    cmf_dtype_name(y->dtype));
        CMF_REQUIRE(x->zero_point >= -128 && x->zero_point <= 127 && y->zero_point >= -128 && y->zero_point <= 127, CMF_E_GRAPH,
                    "zero points %d and %d; they must be i8", (int)x->zero_point, (int)y->zero_point);
        CMF_REQUIRE(node->requantize == CMF_FB_REQUANTIZE_F32_RNE, CMF_E_UNSUPPORTED, "requantization %u; supported: f32_rne",
                    node->requantize);
        l->zero_x = x->zero_point;
        l->zero_y = y->zero_point;
        cmf_code_bounds(node, y, &l->code_low, &l->code_high);
    } else {
        CMF_REQUIRE(x->dtype == CMF_F32, CMF_E_DTYPE, "the input is %s; supported: f32", cmf_dtype_name(x->dtype));
    }
    if (bias) {
        uint8_t wanted = is_static ? CMF_I32 : CMF_F32;
        int is_half = bias->dtype == CMF_F16 && !is_static && l->tree != NULL;
        CMF_REQUIRE(bias->dtype == wanted || is_half, CMF_E_DTYPE, "the bias is %s, not %s", cmf_dtype_name(bias->dtype), cmf_dtype_name(wanted));
    }
    if (l->tree && node->compute != CMF_FB_COMPUTE_F32)
        CMF_TRY(linear_check_i8(call, l->tree, is_static ? "int8_static" : "int8_dynamic"));
    return CMF_OK;
}

size_t cmf_linear_keep(const cmf_linear *l) {
    if (l->compute == CMF_FB_COMPUTE_INT8_STATIC) {
        uint64_t bytes = (uint64_t)l->tree->stack * l->tree->outputs * sizeof(float);
        return bytes > CMF_SIZE_LIMIT ? CMF_SIZE_LIMIT : (size_t)bytes;
    }
    return l->compute == CMF_FB_COMPUTE_F32 ? cmf_linear_basis_count(l->tree) * sizeof(float) : 0u;
}

void cmf_linear_prepare(const cmf_linear *l, const cmf_op_call *call) {
    float *kept = call->kept;
    if (l->compute == CMF_FB_COMPUTE_F32) {
        if (cmf_linear_basis_count(l->tree) != 0)
            cmf_linear_basis_fill(l->tree, kept);
    } else if (l->compute == CMF_FB_COMPUTE_INT8_STATIC) {
        double sx = (double)call->inputs[0]->scale, sy = (double)call->outputs[0]->scale;
        for (uint32_t s = 0; s < l->tree->stack; s++)
            for (uint32_t o = 0; o < l->tree->outputs; o++)
                *kept++ = (float)(sx * (double)cmf_tree_i8_scale(l->tree, s, o) / sy);
    }
}

/* Activations quantized by int8_dynamic: the codes, and a scale for each row. */
static size_t linear_codes_bytes(const cmf_linear *l, size_t x_rows, size_t x_n) {
    return l->compute == CMF_FB_COMPUTE_INT8_DYNAMIC ? cmf_round64(x_rows * x_n + 64u) + cmf_round64(x_rows * sizeof(float)) : 0u;
}

/* A bias that the file keeps in f16, as floats. */
static size_t linear_bias_bytes(const cmf_op_call *call) {
    const cmf_array *bias = call->node->input_count > 2 ? call->inputs[2] : NULL;
    return bias && bias->dtype == CMF_F16 ? cmf_round64(cmf_array_count(bias) * sizeof(float)) : 0u;
}

size_t cmf_linear_scratch(const cmf_linear *l, const cmf_op_call *call, size_t x_rows, size_t x_n) {
    size_t bytes = l->thread_bytes; /* saturates: the planner refuses it then */
    (void)cmf_size_mul(&bytes, call->workers->threads);
    (void)cmf_size_add(&bytes, l->shared_bytes);
    (void)cmf_size_add(&bytes, linear_bias_bytes(call));
    (void)cmf_size_add(&bytes, linear_codes_bytes(l, x_rows, x_n));
    return bytes;
}

void cmf_linear_call(cmf_linear *l, const cmf_op_call *call, size_t x_rows, size_t x_n) {
    cmf_bump bump = {call->scratch, (uint8_t *)call->scratch + call->scratch_size};
    l->x = call->inputs[0]->data;
    l->y = call->outputs[0]->data;
    l->bias = call->node->input_count > 2 && call->inputs[2] ? call->inputs[2]->data : NULL;
    if (linear_bias_bytes(call)) {
        const uint8_t *halves = l->bias;
        size_t count = cmf_array_count(call->inputs[2]);
        float *bias = cmf_bump_take(&bump, count * sizeof *bias);
        for (size_t i = 0; i < count; i++)
            bias[i] = cmf_f16_to_f32(cmf_load_u16(halves + 2u * i));
        l->bias = bias;
    }
    l->kept = call->kept;
    l->workers = call->workers;
    if (l->compute == CMF_FB_COMPUTE_INT8_DYNAMIC) {
        int8_t *codes = cmf_bump_take(&bump, x_rows * x_n + 64u);
        float *scales = cmf_bump_take(&bump, x_rows * sizeof *scales);
        cmf_linear_quantize(l, call->inputs[0]->data, x_rows, x_n, codes, scales);
        l->x = codes;
        l->row_scales = scales;
    }
    l->shared = cmf_bump_take(&bump, l->shared_bytes);
    l->scratch = bump.at;
    cmf_linear_run(l);
}

/* ------------------------------------------------------------------ int8_dynamic */

typedef struct linear_rows {
    const cmf_linear *l;
    const float *x;
    size_t n;
    int8_t *q;
    float *scales;
} linear_rows;

static void linear_quantize_rows(void *context, size_t first, size_t last, uint32_t thread) {
    const linear_rows *rows = context;
    (void)thread;
    for (size_t r = first; r < last; r++) {
        const float *x = rows->x + r * rows->n;
        int8_t *q = rows->q + r * rows->n;
        float scale = rows->l->isa->absmax(x, rows->n) / 127.0f;
        rows->scales[r] = scale;
        if (scale > 0.0f)
            rows->l->isa->quantize(x, rows->n, scale, q);
        else
            memset(q, 0, rows->n);
    }
}

void cmf_linear_quantize(const cmf_linear *l, const float *x, size_t rows, size_t n, int8_t *q, float *scales) {
    linear_rows all = {l, x, n, q, scales};
    cmf_workers_range(l->workers, rows, cmf_grain(2u * n), linear_quantize_rows, &all);
}
