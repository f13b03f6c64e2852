#include "base/math.h"
#include "kernels/array.h"

/* Elements of the axis, and the step between them. */
static size_t softmax_axis(const cmf_op_call *call, size_t *step) {
    const cmf_array *x = call->inputs[0];
    const int32_t at = call->node->options.axis;
    const uint32_t axis = (uint32_t)(at < 0 ? at + x->rank : at);
    *step = cmf_dims_product(x, axis + 1u, x->rank);
    return (size_t)x->dims[axis];
}

/* Rows that lie apart, or hold integers, are computed in a buffer. */
static int softmax_needs_buffer(const cmf_op_call *call) {
    size_t step;
    softmax_axis(call, &step);
    return step != 1u || call->inputs[0]->dtype != CMF_F32 || call->outputs[0]->dtype != CMF_F32;
}

static cmf_status softmax_infer(const cmf_op_call *call) {
    const cmf_array *x = call->inputs[0];
    uint32_t axis;
    CMF_TRY(cmf_check_real(call, 0));
    CMF_TRY(cmf_check_axis(call, call->node->options.axis, x->rank, &axis));
    return cmf_set_real(call, x->rank, x->dims);
}

/* Bytes of one thread's buffer. */
static size_t softmax_buffer(const cmf_op_call *call) {
    size_t step;
    return cmf_size_align(softmax_axis(call, &step) * sizeof(float));
}

static cmf_status softmax_scratch(const cmf_op_call *call, size_t *bytes) {
    cmf_error *error = call->error;
    *bytes = softmax_needs_buffer(call) ? softmax_buffer(call) : 0u;
    CMF_REQUIRE(cmf_size_mul(bytes, call->workers->threads), CMF_E_LIMIT, "rows too long for this machine");
    return CMF_OK;
}

/* y may be x. Sums are kept in 16 parts. */
static void softmax_row(const float *x, float *y, size_t n) {
    float most = x[0], parts[16] = {0}, sum = 0.0f;
    for (size_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    CMF_INDEPENDENT for (size_t i = 0; i < n; i++)
        y[i] = cmf_expf(x[i] - most);
    size_t i = 0;
    for (; i + 16u <= n; i += 16u)
        for (size_t k = 0; k < 16u; k++)
            parts[k] += y[i + k];
    for (; i < n; i++)
        sum += y[i];
    for (size_t k = 0; k < 16u; k++)
        sum += parts[k];
    for (i = 0; i < n; i++)
        y[i] /= sum;
}

static void softmax_range(void *context, size_t first, size_t last, uint32_t thread) {
    const cmf_op_call *call = context;
    const cmf_array *x = call->inputs[0], *y = call->outputs[0];
    size_t step;
    const size_t n = softmax_axis(call, &step);
    if (!softmax_needs_buffer(call)) {
        for (size_t row = first; row < last; row++)
            softmax_row((const float *)x->data + row * n, (float *)y->data + row * n, n);
        return;
    }
    float *buffer = (float *)(void *)((uint8_t *)call->scratch + thread * softmax_buffer(call));
    for (size_t row = first; row < last; row++) {
        const size_t base = row / step * step * n + row % step;
        float one[1];
        for (size_t i = 0; i < n; i++)
            buffer[i] = *cmf_real_load(x, base + i * step, 1, one);
        softmax_row(buffer, buffer, n);
        for (size_t i = 0; i < n; i++)
            cmf_real_store(y, base + i * step, 1, &buffer[i]);
    }
}

static cmf_status softmax_run(const cmf_op_call *call) {
    cmf_op_call copy = *call;
    size_t step;
    const size_t n = softmax_axis(call, &step);
    cmf_workers_range(call->workers, cmf_array_count(call->inputs[0]) / n, cmf_grain(16u * n), softmax_range, &copy);
    return CMF_OK;
}

const cmf_op cmf_op_softmax = {.name = "Softmax", .id = CMF_FB_OP_SOFTMAX, .min_inputs = 1, .max_inputs = 1, .outputs = 1,
                               .infer = softmax_infer, .scratch = softmax_scratch, .run = softmax_run, .in_place = 1,
                               .leaves_activation = 1};
