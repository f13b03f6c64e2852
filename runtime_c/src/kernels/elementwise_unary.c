/* Ops of one tensor, element by element. */
#include <string.h>

#include "base/math.h"
#include "kernels/array.h"

typedef void (*unary_real_fn)(float *y, const float *x, size_t n, const cmf_node_options *options);

#define UNARY_LOOP(name, expression)                                                                      \
    static void unary_##name(float *y, const float *x, size_t n, const cmf_node_options *options) {       \
        const float alpha = options->alpha, beta = options->beta;                                         \
        (void)alpha, (void)beta;                                                                          \
        CMF_INDEPENDENT for (size_t i = 0; i < n; i++) { const float v = x[i]; y[i] = (expression); }     \
    }

static inline float unary_unit(float x) { /* to [0, 1] */
    x = x < 0.0f ? 0.0f : x;
    return x > 1.0f ? 1.0f : x;
}
/* e^-|x| neither overflows nor, in the quotient, cancels. */
static inline float unary_sigmoid_of(float x) {
    float e = cmf_expf(-cmf_absf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

UNARY_LOOP(relu, v < 0.0f ? 0.0f : v)
UNARY_LOOP(sigmoid, unary_sigmoid_of(v))
UNARY_LOOP(tanh, cmf_tanhf(v))
UNARY_LOOP(erf, cmf_erff(v))
UNARY_LOOP(gelu_erf, 0.5f * v * (1.0f + cmf_erff(v * 0.70710678f)))
UNARY_LOOP(gelu_tanh, 0.5f * v * (1.0f + cmf_tanhf(0.79788456f * (v + 0.044715f * v * v * v))))
UNARY_LOOP(hard_sigmoid, unary_unit(alpha * v + beta))
UNARY_LOOP(hard_swish, v * unary_unit(v / 6.0f + 0.5f))
UNARY_LOOP(leaky_relu, v < 0.0f ? alpha * v : v)
UNARY_LOOP(sqrt, cmf_sqrtf(v))
UNARY_LOOP(exp, cmf_expf(v))
UNARY_LOOP(log, cmf_logf(v))
UNARY_LOOP(abs, cmf_absf(v))
UNARY_LOOP(neg, -v)
UNARY_LOOP(reciprocal, 1.0f / v)
UNARY_LOOP(floor, cmf_floorf(v))
UNARY_LOOP(ceil, cmf_ceilf(v))

static void unary_gelu(float *y, const float *x, size_t n, const cmf_node_options *options) {
    (options->gelu_tanh ? unary_gelu_tanh : unary_gelu_erf)(y, x, n, options);
}

/* Clip's bounds come to its loop in alpha and beta. */
UNARY_LOOP(clip, (v < alpha ? alpha : v) > beta ? beta : (v < alpha ? alpha : v))

static unary_real_fn unary_loop_for(uint16_t op) {
    static const unary_real_fn loops[CMF_FB_OP_COUNT] = {
        [CMF_FB_OP_RELU] = unary_relu,
        [CMF_FB_OP_CLIP] = unary_clip,
        [CMF_FB_OP_SIGMOID] = unary_sigmoid,
        [CMF_FB_OP_TANH] = unary_tanh,
        [CMF_FB_OP_ERF] = unary_erf,
        [CMF_FB_OP_GELU] = unary_gelu,
        [CMF_FB_OP_HARDSIGMOID] = unary_hard_sigmoid,
        [CMF_FB_OP_HARDSWISH] = unary_hard_swish,
        [CMF_FB_OP_LEAKYRELU] = unary_leaky_relu,
        [CMF_FB_OP_SQRT] = unary_sqrt,
        [CMF_FB_OP_EXP] = unary_exp,
        [CMF_FB_OP_LOG] = unary_log,
        [CMF_FB_OP_ABS] = unary_abs,
        [CMF_FB_OP_NEG] = unary_neg,
        [CMF_FB_OP_RECIPROCAL] = unary_reciprocal,
        [CMF_FB_OP_FLOOR] = unary_floor,
        [CMF_FB_OP_CEIL] = unary_ceil,
    };
    return loops[op];
}

static int unary_takes_integers(uint16_t op) {
    return op == CMF_FB_OP_ABS || op == CMF_FB_OP_NEG || op == CMF_FB_OP_RELU || op == CMF_FB_OP_CLIP;
}

static cmf_status unary_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *x = call->inputs[0];
    if (cmf_array_is_real(x))
        return cmf_set_real(call, x->rank, x->dims);
    int integers = (x->dtype == CMF_I32 || x->dtype == CMF_I64) && unary_takes_integers(call->node->op);
    CMF_REQUIRE(integers, CMF_E_DTYPE, "an input of %s is not supported", cmf_dtype_name(x->dtype));
    return cmf_set_like(call, x, x->rank, x->dims);
}

/* ------------------------------------------------------------------ reals */

typedef struct unary_work {
    const cmf_node *node;
    const cmf_array *x;
    cmf_array *y;
    unary_real_fn loop;
    cmf_node_options options;
} unary_work;

static void unary_range(void *context, size_t first, size_t last, uint32_t thread) {
    const unary_work *work = context;
    float buffer_x[CMF_REAL_CHUNK], buffer_y[CMF_REAL_CHUNK];
    const size_t most = work->x->dtype == CMF_F32 && work->y->dtype == CMF_F32 ? 2048u : CMF_REAL_CHUNK;
    (void)thread;
    for (size_t n; first < last; first += n) {
        n = last - first < most ? last - first : most;
        const float *x = cmf_real_load(work->x, first, n, buffer_x);
        float *y = cmf_real_target(work->y, first, buffer_y);
        work->loop(y, x, n, &work->options);
        cmf_apply_activation(work->node, y, n);
        cmf_real_store(work->y, first, n, y);
    }
}

/* i8 to i8: all 256 codes are computed once. */
static void unary_run_codes(unary_work *work, size_t n) {
    int8_t codes[256], table[256];
    for (int32_t i = 0; i < 256; i++)
        codes[i] = (int8_t)(i - 128);
    cmf_array x = *work->x, y = *work->y;
    x.data = codes;
    y.data = table;
    const int8_t *source = work->x->data;
    int8_t *target = work->y->data;
    work->x = &x;
    work->y = &y;
    unary_range(work, 0, 256, 0);
    cmf_recode(table, source, target, n);
}

/* ------------------------------------------------------------------ integers */

static void unary_run_integers(const cmf_op_call *call, int64_t low, int64_t high) {
    const cmf_array *x = call->inputs[0];
    cmf_array *y = call->outputs[0];
    size_t n = cmf_array_count(x);
    for (size_t i = 0; i < n; i++) {
        int64_t v = cmf_array_int(x, i);
        switch (call->node->op) {
        case CMF_FB_OP_ABS: v = v < 0 ? (int64_t)(0u - (uint64_t)v) : v; break;
        case CMF_FB_OP_NEG: v = (int64_t)(0u - (uint64_t)v); break;
        default: v = v < low ? low : v; v = v > high ? high : v; break; /* Relu, Clip */
        }
        if (x->dtype == CMF_I64)
            ((cmf_i64 *)y->data)[i] = v;
        else
            ((int32_t *)y->data)[i] = (int32_t)v;
    }
}

static cmf_status unary_run(const cmf_op_call *call) {
    const cmf_array *x = call->inputs[0];
    size_t n = cmf_array_count(x);
    if (!cmf_array_is_real(x)) {
        unary_run_integers(call, 0, INT64_MAX);
        return CMF_OK;
    }
    unary_work work = {call->node, x, call->outputs[0], unary_loop_for(call->node->op), call->node->options};
    if (x->dtype == CMF_I8 && work.y->dtype == CMF_I8)
        unary_run_codes(&work, n);
    else
        cmf_workers_range(call->workers, n, cmf_grain(8), unary_range, &work);
    return CMF_OK;
}

/* ------------------------------------------------------------------ Clip: bounds are inputs */

static cmf_status clip_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    for (uint32_t i = 1; i < call->node->input_count; i++) {
        const cmf_array *bound = call->inputs[i];
        if (bound == NULL)
            continue;
        CMF_REQUIRE(cmf_array_count(bound) == 1u, CMF_E_SHAPE, "bound %u has %zu elements, not one", i, cmf_array_count(bound));
        int fits = cmf_array_is_real(call->inputs[0]) ? cmf_array_is_real(bound) : bound->dtype == call->inputs[0]->dtype;
        CMF_REQUIRE(fits, CMF_E_DTYPE, "the bounds are %s, the input is %s", cmf_dtype_name(bound->dtype),
                    cmf_dtype_name(call->inputs[0]->dtype));
    }
    return unary_infer(call);
}

static cmf_status clip_run(const cmf_op_call *call) {
    const cmf_array *x = call->inputs[0];
    const cmf_array *low = call->node->input_count > 1 ? call->inputs[1] : NULL;
    const cmf_array *high = call->node->input_count > 2 ? call->inputs[2] : NULL;
    if (!cmf_array_is_real(x)) {
        unary_run_integers(call, low ? cmf_array_int(low, 0) : INT64_MIN, high ? cmf_array_int(high, 0) : INT64_MAX);
        return CMF_OK;
    }
    float one[1];
    unary_work work = {call->node, x, call->outputs[0], unary_clip, call->node->options};
    work.options.alpha = low ? *cmf_real_load(low, 0, 1, one) : -cmf_inff();
    work.options.beta = high ? *cmf_real_load(high, 0, 1, one) : cmf_inff();
    if (x->dtype == CMF_I8 && work.y->dtype == CMF_I8)
        unary_run_codes(&work, cmf_array_count(x));
    else
        cmf_workers_range(call->workers, cmf_array_count(x), cmf_grain(2), unary_range, &work);
    return CMF_OK;
}

/* ------------------------------------------------------------------ booleans */

static cmf_status not_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *x = call->inputs[0];
    CMF_REQUIRE(x->dtype == CMF_BOOL, CMF_E_DTYPE, "an input of %s; supported: boolean", cmf_dtype_name(x->dtype));
    return cmf_array_set(call->outputs[0], CMF_BOOL, x->rank, x->dims, error);
}

static cmf_status not_run(const cmf_op_call *call) {
    const uint8_t *x = call->inputs[0]->data;
    uint8_t *y = call->outputs[0]->data;
    size_t n = cmf_array_count(call->inputs[0]);
    for (size_t i = 0; i < n; i++)
        y[i] = !x[i];
    return CMF_OK;
}

static cmf_status is_nan_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *x = call->inputs[0];
    CMF_REQUIRE(x->dtype == CMF_F32, CMF_E_DTYPE, "an input of %s; supported: f32", cmf_dtype_name(x->dtype));
    return cmf_array_set(call->outputs[0], CMF_BOOL, x->rank, x->dims, error);
}

static cmf_status is_nan_run(const cmf_op_call *call) {
    const float *x = call->inputs[0]->data;
    uint8_t *y = call->outputs[0]->data;
    size_t n = cmf_array_count(call->inputs[0]);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] != x[i];
    return CMF_OK;
}

#define UNARY_OP(record, text, op_id) \
    const cmf_op record = {.name = text, .id = op_id, .min_inputs = 1, .max_inputs = 1, .outputs = 1, \
                           .infer = unary_infer, .run = unary_run, .in_place = 1};
UNARY_OP(cmf_op_relu, "Relu", CMF_FB_OP_RELU)
UNARY_OP(cmf_op_sigmoid, "Sigmoid", CMF_FB_OP_SIGMOID)
UNARY_OP(cmf_op_tanh, "Tanh", CMF_FB_OP_TANH)
UNARY_OP(cmf_op_erf, "Erf", CMF_FB_OP_ERF)
UNARY_OP(cmf_op_gelu, "Gelu", CMF_FB_OP_GELU)
UNARY_OP(cmf_op_hard_sigmoid, "HardSigmoid", CMF_FB_OP_HARDSIGMOID)
UNARY_OP(cmf_op_hard_swish, "HardSwish", CMF_FB_OP_HARDSWISH)
UNARY_OP(cmf_op_leaky_relu, "LeakyRelu", CMF_FB_OP_LEAKYRELU)
UNARY_OP(cmf_op_sqrt, "Sqrt", CMF_FB_OP_SQRT)
UNARY_OP(cmf_op_exp, "Exp", CMF_FB_OP_EXP)
UNARY_OP(cmf_op_log, "Log", CMF_FB_OP_LOG)
UNARY_OP(cmf_op_abs, "Abs", CMF_FB_OP_ABS)
UNARY_OP(cmf_op_neg, "Neg", CMF_FB_OP_NEG)
UNARY_OP(cmf_op_reciprocal, "Reciprocal", CMF_FB_OP_RECIPROCAL)
UNARY_OP(cmf_op_floor, "Floor", CMF_FB_OP_FLOOR)
UNARY_OP(cmf_op_ceil, "Ceil", CMF_FB_OP_CEIL)
const cmf_op cmf_op_clip = {.name = "Clip", .id = CMF_FB_OP_CLIP, .min_inputs = 1, .max_inputs = 3, .outputs = 1,
                            .infer = clip_infer, .run = clip_run, .in_place = 1};
const cmf_op cmf_op_not = {.name = "Not", .id = CMF_FB_OP_NOT, .min_inputs = 1, .max_inputs = 1, .outputs = 1,
                           .infer = not_infer, .run = not_run, .in_place = 1};
const cmf_op cmf_op_is_nan = {.name = "IsNaN", .id = CMF_FB_OP_ISNAN, .min_inputs = 1, .max_inputs = 1, .outputs = 1,
                              .infer = is_nan_infer, .run = is_nan_run};
