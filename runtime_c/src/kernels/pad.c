#include <string.h>

#include "kernels/copy.h"

/* Elements added (negative: taken away) before and after each dimension. */
typedef struct pad_plan {
    int64_t before[CMF_MAX_RANK], after[CMF_MAX_RANK];
} pad_plan;

/* Inputs: data, pads [befores, afters], value (optional), axes (optional). */
static cmf_status pad_plan_of(const cmf_op_call *call, pad_plan *plan) {
    cmf_error *error = call->error;
    const cmf_array *data = call->inputs[0];
    CMF_TRY(cmf_check_known(call, 1, "pads"));
    const cmf_array *pads = call->inputs[1], *axes = NULL;
    size_t n = data->rank;
    if (call->node->input_count > 3 && call->inputs[3] != NULL) {
        CMF_TRY(cmf_check_known(call, 3, "axes"));
        axes = call->inputs[3];
        n = cmf_array_count(axes);
        CMF_REQUIRE(n <= data->rank, CMF_E_SHAPE, "%zu axes of a tensor of rank %u", n, data->rank);
    }
    CMF_REQUIRE(cmf_array_count(pads) == 2u * n, CMF_E_SHAPE, "%zu pads for %zu dimensions", cmf_array_count(pads), n);
    memset(plan, 0, sizeof *plan);
    for (size_t i = 0; i < n; i++) {
        const int64_t given = axes ? cmf_array_int(axes, i) : (int64_t)i;
        const int64_t before = cmf_array_int(pads, i), after = cmf_array_int(pads, n + i), most = INT32_MAX;
        uint32_t axis;
        CMF_TRY(cmf_check_axis(call, given < INT32_MIN || given > most ? INT32_MAX : (int32_t)given, data->rank, &axis));
        CMF_REQUIRE(before >= -most && before <= most && after >= -most && after <= most, CMF_E_LIMIT,
                    "padding of %lld, %lld", (long long)before, (long long)after);
        plan->before[axis] = before;
        plan->after[axis] = after;
    }
    return CMF_OK;
}

static cmf_status pad_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *data = call->inputs[0];
    const uint8_t mode = call->node->options.mode;
    pad_plan plan;
    int32_t dims[CMF_MAX_RANK];
    CMF_TRY(pad_plan_of(call, &plan));
    CMF_REQUIRE(mode <= CMF_FB_PADMODE_EDGE, CMF_E_UNSUPPORTED, "mode %u", mode);
    for (uint32_t d = 0; d < data->rank; d++) {
        const int64_t before = plan.before[d], after = plan.after[d];
        const int64_t kept = data->dims[d] + (before < 0 ? before : 0) + (after < 0 ? after : 0);
        const int64_t most = mode == CMF_FB_PADMODE_CONSTANT ? INT32_MAX : mode == CMF_FB_PADMODE_REFLECT ? kept - 1
                             : kept > 0                                                              ? INT32_MAX
                                                                                                     : 0;
        CMF_REQUIRE(kept >= 0, CMF_E_SHAPE, "more is taken off dimension %u than there is", d);
        CMF_REQUIRE((before <= most || before <= 0) && (after <= most || after <= 0), CMF_E_SHAPE,
                    "padding %lld, %lld of dimension %u is more than its %lld elements give", (long long)before,
                    (long long)after, d, (long long)kept);
        const int64_t result = data->dims[d] + before + after;
        CMF_REQUIRE(result <= INT32_MAX, CMF_E_LIMIT, "dimension %u would be %lld", d, (long long)result);
        dims[d] = (int32_t)result;
    }
    const cmf_array *value = call->node->input_count > 2 ? call->inputs[2] : NULL;
    if (value != NULL) {
        CMF_REQUIRE(cmf_array_count(value) == 1u, CMF_E_SHAPE, "the value has %zu elements, not one", cmf_array_count(value));
        CMF_REQUIRE(cmf_array_is_real(data) ? cmf_array_is_real(value) : value->dtype == data->dtype, CMF_E_DTYPE,
                    "the value is %s, the input %s", cmf_dtype_name(value->dtype), cmf_dtype_name(data->dtype));
    }
    return cmf_set_like(call, data, data->rank, dims);
}

/* The element that fills: the value's, the real number 0 where there is none. */
static void pad_value(const cmf_op_call *call, uint8_t *element) {
    const cmf_array *data = call->inputs[0];
    const cmf_array *value = call->node->input_count > 2 ? call->inputs[2] : NULL;
    memset(element, 0, 8);
    if (cmf_array_is_real(data)) {
        float real = 0.0f;
        if (value != NULL)
            real = *cmf_real_load(value, 0, 1, &real);
        cmf_array target = *data;
        target.data = element;
        cmf_real_store(&target, 0, 1, &real);
    } else if (value != NULL) {
        memcpy(element, value->data, cmf_element_size(data->dtype));
    }
}

/* The input index of output index o, -1: the fill value. */
static int64_t pad_source(const cmf_op_call *call, const pad_plan *plan, uint32_t d, int64_t o) {
    const int64_t before = plan->before[d], after = plan->after[d];
    const int64_t skip = before < 0 ? -before : 0;
    const int64_t kept = call->inputs[0]->dims[d] - skip + (after < 0 ? after : 0);
    int64_t i = o - (before > 0 ? before : 0);
    if (i < 0 || i >= kept) {
        switch (call->node->options.mode) {
        case CMF_FB_PADMODE_REFLECT: i = i < 0 ? -i : 2 * (kept - 1) - i; break;
        case CMF_FB_PADMODE_EDGE: i = i < 0 ? 0 : kept - 1; break;
        default: return -1;
        }
    }
    return skip + i;
}

static cmf_status pad_run(const cmf_op_call *call) {
    const cmf_array *data = call->inputs[0];
    cmf_array *output = call->outputs[0];
    const uint32_t size = cmf_element_size(data->dtype);
    pad_plan plan;
    CMF_TRY(pad_plan_of(call, &plan));
    _Alignas(8) uint8_t element[8];
    pad_value(call, element);
    /* blocks of the dimensions behind the last that is padded are moved whole */
    uint32_t padded = data->rank;
    while (padded > 0 && plan.before[padded - 1u] == 0 && plan.after[padded - 1u] == 0)
        padded--;
    const size_t block = cmf_dims_product(data, padded, data->rank);
    const size_t count = cmf_dims_product(output, 0, padded);
    int32_t index[CMF_MAX_RANK] = {0};
    uint8_t *target = output->data;
    for (size_t n = 0; n < count; n++, target += block * size) {
        int64_t place = 0;
        for (uint32_t d = 0; d < padded && place >= 0; d++) {
            const int64_t i = pad_source(call, &plan, d, index[d]);
            place = i < 0 ? -1 : place * data->dims[d] + i;
        }
        if (place < 0)
            cmf_fill(target, element, size, block);
        else
            memcpy(target, (const uint8_t *)data->data + (size_t)place * block * size, block * size);
        for (uint32_t d = padded; d-- > 0;) {
            if (++index[d] < output->dims[d])
                break;
            index[d] = 0;
        }
    }
    cmf_recode_output(data, output);
    return CMF_OK;
}

const cmf_op cmf_op_pad = {.name = "Pad", .id = CMF_FB_OP_PAD, .min_inputs = 2, .max_inputs = 4, .outputs = 1,
                           .infer = pad_infer, .run = pad_run, .leaves_activation = 1};
