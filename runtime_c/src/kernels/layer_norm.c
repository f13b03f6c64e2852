#include "base/math.h"
#include "kernels/array.h"

/* Elements that are normalised together: those of the dimensions from `axis` on. */
static size_t norm_length(const cmf_op_call *call) {
    const cmf_array *x = call->inputs[0];
    const int32_t at = call->node->options.axis;
    return cmf_dims_product(x, (uint32_t)(at < 0 ? at + x->rank : at), x->rank);
}

/* Inputs: x, scale, bias (optional). */
static cmf_status norm_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *x = call->inputs[0];
    uint32_t axis;
    CMF_TRY(cmf_check_real(call, 0));
    CMF_TRY(cmf_check_axis(call, call->node->options.axis, x->rank, &axis));
    for (uint32_t i = 1; i < call->node->input_count; i++) {
        const cmf_array *input = call->inputs[i];
        if (input == NULL)
            continue;
        CMF_REQUIRE(input->dtype == CMF_F32, CMF_E_DTYPE, "input %u is %s, not f32", i, cmf_dtype_name(input->dtype));
        CMF_REQUIRE(cmf_array_count(input) == norm_length(call), CMF_E_SHAPE, "input %u has %zu elements, not %zu", i,
                    cmf_array_count(input), norm_length(call));
    }
    return cmf_set_real(call, x->rank, x->dims);
}

static int norm_needs_buffer(const cmf_op_call *call) {
    return call->inputs[0]->dtype != CMF_F32 || call->outputs[0]->dtype != CMF_F32;
}

static cmf_status norm_scratch(const cmf_op_call *call, size_t *bytes) {
    cmf_error *error = call->error;
    *bytes = norm_needs_buffer(call) ? cmf_size_align(norm_length(call) * sizeof(float)) : 0u;
    CMF_REQUIRE(cmf_size_mul(bytes, call->workers->threads), CMF_E_LIMIT, "rows too long for this machine");
    return CMF_OK;
}

/* Sum of (x - centre)^power, power 1 or 2, in 16 parts. */
static float norm_sum(const float *x, size_t n, float centre, int squares) {
    float parts[16] = {0}, sum = 0.0f;
    size_t i = 0;
    for (; i + 16u <= n; i += 16u)
        for (size_t k = 0; k < 16u; k++) {
            const float d = x[i + k] - centre;
            parts[k] += squares ? d * d : d;
        }
    for (; i < n; i++) {
        const float d = x[i] - centre;
        sum += squares ? d * d : d;
    }
    for (size_t k = 0; k < 16u; k++)
        sum += parts[k];
    return sum;
}

/* y may be x. */
static void norm_row(const float *x, float *y, size_t n, const float *scale, const float *bias, float epsilon) {
    const float mean = norm_sum(x, n, 0.0f, 0) / (float)n;
    const float deviation = cmf_sqrtf(norm_sum(x, n, mean, 1) / (float)n + epsilon);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) / deviation * scale[i] + (bias ? bias[i] : 0.0f);
}

static void norm_range(void *context, size_t first, size_t last, uint32_t thread) {
    const cmf_op_call *call = context;
    const cmf_array *x = call->inputs[0], *y = call->outputs[0];
    const cmf_array *bias = call->node->input_count > 2 ? call->inputs[2] : NULL;
    const size_t n = norm_length(call);
    float *buffer = norm_needs_buffer(call)
                        ? (float *)(void *)((uint8_t *)call->scratch + thread * cmf_size_align(n * sizeof(float)))
                        : NULL;
    for (size_t row = first; row < last; row++) {
        const float *source = x->dtype == CMF_F32 ? (const float *)x->data + row * n : buffer;
        float *target = buffer ? buffer : (float *)y->data + row * n;
        if (source == buffer)
            cmf_dequantize((const int8_t *)x->data + row * n, n, x->scale, x->zero_point, buffer);
        norm_row(source, target, n, call->inputs[1]->data, bias ? bias->data : NULL, call->node->options.epsilon);
        cmf_real_store(y, row * n, n, target);
    }
}

static cmf_status norm_run(const cmf_op_call *call) {
    cmf_op_call copy = *call;
    const size_t n = norm_length(call);
    cmf_workers_range(call->workers, cmf_array_count(call->inputs[0]) / n, cmf_grain(4u * n), norm_range, &copy);
    return CMF_OK;
}

const cmf_op cmf_op_layer_normalization = {.name = "LayerNormalization", .id = CMF_FB_OP_LAYERNORMALIZATION,
                                           .min_inputs = 2, .max_inputs = 3, .outputs = 1, .infer = norm_infer,
                                           .scratch = norm_scratch, .run = norm_run, .in_place = 1,
                                           .leaves_activation = 1};
