/* ReduceMean, ReduceSum, ReduceMax over the axes of the options (none: all). Codes are summed as integers. */
#include <string.h>

#include "base/math.h"
#include "kernels/array.h"

/* The output with every reduced axis kept as 1: it broadcasts to the input, which is how the input is walked over. */
static cmf_status reduce_kept(const cmf_op_call *call, cmf_array *kept) {
    cmf_error *error = call->error;
    const cmf_array *x = call->inputs[0];
    const cmf_node_options *options = &call->node->options;
    *kept = *x;
    for (uint32_t i = 0; i < options->axes_count; i++) {
        uint32_t axis;
        CMF_TRY(cmf_check_axis(call, options->axes[i], x->rank, &axis));
        CMF_REQUIRE(kept->dims[axis] >= 0, CMF_E_GRAPH, "axis %u is named twice", axis);
        kept->dims[axis] = -1;
    }
    for (uint32_t d = 0; d < x->rank; d++)
        if (kept->dims[d] < 0 || options->axes_count == 0)
            kept->dims[d] = 1;
    return CMF_OK;
}

static int reduce_drops(const cmf_op_call *call, uint32_t axis) {
    const cmf_node_options *options = &call->node->options;
    int named = options->axes_count == 0;
    for (uint32_t i = 0; i < options->axes_count; i++)
        named |= (uint32_t)(options->axes[i] < 0 ? options->axes[i] + call->inputs[0]->rank : options->axes[i]) == axis;
    return named && !options->keepdims;
}

static size_t reduce_ratio(const cmf_op_call *call) {
    return cmf_array_count(call->inputs[0]) / cmf_array_count(call->outputs[0]);
}

static cmf_status reduce_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *x = call->inputs[0];
    cmf_array kept;
    CMF_TRY(reduce_kept(call, &kept));
    int32_t dims[CMF_MAX_RANK];
    uint32_t rank = 0;
    for (uint32_t d = 0; d < x->rank; d++)
        if (!reduce_drops(call, d))
            dims[rank++] = kept.dims[d];
    CMF_REQUIRE(cmf_array_count(x) > 0 || cmf_array_count(&kept) == 0, CMF_E_SHAPE, "a reduction of no elements");
    if (!cmf_array_is_real(x)) {
        const int takes = (x->dtype == CMF_I32 || x->dtype == CMF_I64) && call->node->op != CMF_FB_OP_REDUCEMEAN;
        CMF_REQUIRE(takes, CMF_E_DTYPE, "an input of %s is not supported", cmf_dtype_name(x->dtype));
        return cmf_set_like(call, x, rank, dims);
    }
    CMF_TRY(cmf_set_real(call, rank, dims));
    CMF_REQUIRE(x->dtype == CMF_F32 || cmf_array_count(&kept) == 0 ||
                    cmf_array_count(x) / cmf_array_count(&kept) <= INT32_MAX / 256,
                CMF_E_UNSUPPORTED, "a reduction of more than 2^23 integers");
    return CMF_OK;
}

/* Sums of codes, or reals on their way to codes: one 4-byte number for each output. */
static int reduce_needs_buffer(const cmf_op_call *call) {
    return call->inputs[0]->dtype == CMF_I8 || call->outputs[0]->dtype == CMF_I8;
}

static cmf_status reduce_scratch(const cmf_op_call *call, size_t *bytes) {
    *bytes = reduce_needs_buffer(call) ? cmf_array_count(call->outputs[0]) * 4u : 0u;
    return CMF_OK;
}

static uint64_t reduce_work(const cmf_op_call *call) {
    return cmf_array_count(call->inputs[0]);
}

/* One segment of the input into its place in the results. step 0: all into one, in 8 parts; 1: each into its own. */
#define REDUCE_SUM(name, result, type, term)                                                           \
    static void reduce_sum_##name(void *out, const void *in, size_t n, size_t step, int32_t zero) {    \
        result *y = out, parts[8] = {0};                                                               \
        const type *x = in;                                                                            \
        size_t i = 0;                                                                                  \
        (void)zero;                                                                                    \
        for (; step && i < n; i++) { const type v = x[i]; y[i] += (term); }                            \
        for (; i + 8u <= n; i += 8u)                                                                   \
            for (size_t k = 0; k < 8u; k++) { const type v = x[i + k]; parts[k] += (term); }           \
        for (; i < n; i++) { const type v = x[i]; parts[0] += (term); }                                \
        for (size_t k = 0; !step && k < 8u; k++)                                                       \
            *y += parts[k];                                                                            \
    }
REDUCE_SUM(f32, float, float, v)
REDUCE_SUM(codes, int32_t, int8_t, (int32_t)v - zero)
REDUCE_SUM(i32, uint32_t, int32_t, (uint32_t)v)
REDUCE_SUM(i64, cmf_u64, cmf_i64, (uint64_t)v)

/* Not a number wins. */
#define REDUCE_MAX(name, result, type)                                                                 \
    static void reduce_max_##name(void *out, const void *in, size_t n, size_t step, int32_t zero) {    \
        result *y = out;                                                                               \
        const type *x = in;                                                                            \
        (void)zero;                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                               \
            const result v = x[i];                                                                     \
            y[i * step] = v > y[i * step] || v != v ? v : y[i * step];                                 \
        }                                                                                              \
    }
REDUCE_MAX(f32, float, float)
REDUCE_MAX(codes, int32_t, int8_t)
REDUCE_MAX(i32, int32_t, int32_t)
REDUCE_MAX(i64, cmf_i64, cmf_i64)

typedef void (*reduce_fn)(void *y, const void *x, size_t n, size_t step, int32_t zero);

static reduce_fn reduce_loop(uint8_t dtype, int max) {
    switch (dtype) {
    case CMF_F32: return max ? reduce_max_f32 : reduce_sum_f32;
    case CMF_I8: return max ? reduce_max_codes : reduce_sum_codes;
    case CMF_I32: return max ? reduce_max_i32 : reduce_sum_i32;
    default: return max ? reduce_max_i64 : reduce_sum_i64;
    }
}

/* What no element lies below (max) or nothing adds to (sum), once for each of n results. */
static void reduce_start(void *y, size_t n, uint8_t dtype, int max) {
    const float lowest = -cmf_inff();
    for (size_t i = 0; i < n; i++) {
        if (dtype == CMF_F32)
            ((float *)y)[i] = max ? lowest : 0.0f;
        else if (dtype == CMF_I64)
            ((cmf_i64 *)y)[i] = max ? INT64_MIN : 0;
        else
            ((int32_t *)y)[i] = max ? INT32_MIN : 0;
    }
}

/* Sums and maxima of reals to what the op asks for: in `results` (f32, or i32 for codes), written to the output. */
static void reduce_finish(const cmf_op_call *call, const void *results) {
    const cmf_array *x = call->inputs[0], *y = call->outputs[0];
    const size_t n = cmf_array_count(y);
    const float divisor = call->node->op == CMF_FB_OP_REDUCEMEAN ? (float)reduce_ratio(call) : 1.0f;
    const int32_t zero = call->node->op == CMF_FB_OP_REDUCEMAX ? x->zero_point : 0;
    for (size_t i = 0; i < n; i++) {
        const float sum = x->dtype == CMF_I8 ? x->scale * (float)(((const int32_t *)results)[i] - zero)
                                             : ((const float *)results)[i];
        const float mean = sum / divisor;
        cmf_real_store(y, i, 1, &mean);
    }
}

static cmf_status reduce_run(const cmf_op_call *call) {
    const cmf_array *x = call->inputs[0];
    cmf_array *output = call->outputs[0];
    const int max = call->node->op == CMF_FB_OP_REDUCEMAX;
    const reduce_fn loop = reduce_loop(x->dtype, max);
    const uint32_t size = x->dtype == CMF_I64 ? 8u : 4u;
    uint8_t *results = reduce_needs_buffer(call) ? call->scratch : output->data;
    reduce_start(results, cmf_array_count(output), x->dtype, max);
    cmf_array kept;
    CMF_TRY(reduce_kept(call, &kept));
    const cmf_array *const broadcast[1] = {&kept};
    cmf_walk walk;
    cmf_walk_init(&walk, x, broadcast, 1);
    const size_t count = cmf_array_count(x);
    for (size_t first = 0; first < count;) {
        const size_t n = cmf_walk_segment(&walk);
        loop(results + walk.offset[0] * size, (const uint8_t *)x->data + first * cmf_element_size(x->dtype), n,
             cmf_walk_step(&walk, 0), x->zero_point);
        cmf_walk_advance(&walk, n);
        first += n;
    }
    if (cmf_array_is_real(x))
        reduce_finish(call, results);
    return CMF_OK;
}

#define REDUCE_OP(record, text, op_id) \
    const cmf_op record = {.name = text, .id = op_id, .min_inputs = 1, .max_inputs = 1, .outputs = 1, \
                           .infer = reduce_infer, .scratch = reduce_scratch, .run = reduce_run, .work = reduce_work, \
                           .leaves_activation = 1};
REDUCE_OP(cmf_op_reduce_mean, "ReduceMean", CMF_FB_OP_REDUCEMEAN)
REDUCE_OP(cmf_op_reduce_sum, "ReduceSum", CMF_FB_OP_REDUCESUM)
REDUCE_OP(cmf_op_reduce_max, "ReduceMax", CMF_FB_OP_REDUCEMAX)
