#include "kernels/array.h"

/* Inputs: start, limit, delta: known scalars of one type. */
static cmf_status range_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *start = call->inputs[0], *limit = call->inputs[1], *delta = call->inputs[2];
    for (uint32_t i = 0; i < 3; i++) {
        const cmf_array *input = call->inputs[i];
        CMF_REQUIRE(input->dtype == CMF_F32 || input->dtype == CMF_I32 || input->dtype == CMF_I64, CMF_E_DTYPE,
                    "input %u is %s; supported: f32, i32, i64", i, cmf_dtype_name(input->dtype));
        CMF_REQUIRE(input->dtype == start->dtype, CMF_E_DTYPE, "input %u is %s, input 0 is %s", i,
                    cmf_dtype_name(input->dtype), cmf_dtype_name(start->dtype));
        CMF_REQUIRE(cmf_array_count(input) == 1u, CMF_E_SHAPE, "input %u is not a scalar", i);
        CMF_REQUIRE(input->known, CMF_E_UNSUPPORTED, "input %u depends on the data; it must be constant or follow from shapes",
                    i);
    }
    double count;
    if (start->dtype == CMF_F32) {
        const double first = *(const float *)start->data, last = *(const float *)limit->data;
        const double step = *(const float *)delta->data;
        CMF_REQUIRE(step != 0.0, CMF_E_ARGUMENT, "the step is 0");
        count = (last - first) / step;
    } else {
        const double first = (double)cmf_array_int(start, 0), last = (double)cmf_array_int(limit, 0);
        const int64_t step = cmf_array_int(delta, 0);
        CMF_REQUIRE(step != 0, CMF_E_ARGUMENT, "the step is 0");
        count = (last - first) / (double)step;
    }
    CMF_REQUIRE(count <= INT32_MAX, CMF_E_LIMIT, "a range of more than 2^31 - 1 numbers, or of no number");
    int32_t dims[1] = {0};
    if (count > 0.0) {
        dims[0] = (int32_t)count;
        dims[0] += dims[0] < INT32_MAX && (double)dims[0] < count; /* rounded up */
    }
    return cmf_array_set(call->outputs[0], start->dtype, 1, dims, error);
}

static cmf_status range_run(const cmf_op_call *call) {
    const cmf_array *start = call->inputs[0], *delta = call->inputs[2];
    cmf_array *output = call->outputs[0];
    const size_t n = (size_t)output->dims[0];
    if (start->dtype == CMF_F32) {
        const float first = *(const float *)start->data, step = *(const float *)delta->data;
        for (size_t i = 0; i < n; i++)
            ((float *)output->data)[i] = first + (float)i * step;
        return CMF_OK;
    }
    uint64_t value = (uint64_t)cmf_array_int(start, 0);
    const uint64_t step = (uint64_t)cmf_array_int(delta, 0);
    for (size_t i = 0; i < n; i++, value += step) {
        if (start->dtype == CMF_I64)
            ((cmf_i64 *)output->data)[i] = (int64_t)value;
        else
            ((int32_t *)output->data)[i] = (int32_t)value;
    }
    return CMF_OK;
}

const cmf_op cmf_op_range = {.name = "Range", .id = CMF_FB_OP_RANGE, .min_inputs = 3, .max_inputs = 3, .outputs = 1,
                             .infer = range_infer, .run = range_run, .leaves_activation = 1};
