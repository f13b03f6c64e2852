#include <string.h>

#include "kernels/copy.h"

/* What a Slice takes of each dimension. */
typedef struct slice_range {
    int64_t first[CMF_MAX_RANK], step[CMF_MAX_RANK];
    int32_t dims[CMF_MAX_RANK];
} slice_range;

static int64_t slice_limit(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

/* Inputs: data, starts, ends, axes (optional), steps (optional). */
static cmf_status slice_ranges(const cmf_op_call *call, slice_range *range) {
    static const char *const names[] = {"data", "starts", "ends", "axes", "steps"};
    cmf_error *error = call->error;
    const cmf_array *data = call->inputs[0];
    const cmf_array *parts[5] = {data, NULL, NULL, NULL, NULL};
    for (uint32_t i = 1; i < call->node->input_count; i++) {
        if (call->inputs[i] == NULL && i > 2)
            continue;
        CMF_TRY(cmf_check_known(call, i, names[i]));
        parts[i] = call->inputs[i];
    }
    const size_t n = cmf_array_count(parts[1]);
    for (uint32_t i = 2; i < 5; i++)
        CMF_REQUIRE(parts[i] == NULL || cmf_array_count(parts[i]) == n, CMF_E_SHAPE,
                    "'%s' has %zu entries, 'starts' has %zu", names[i], cmf_array_count(parts[i]), n);
    CMF_REQUIRE(n <= data->rank, CMF_E_SHAPE, "%zu starts for a tensor of rank %u", n, data->rank);
    for (uint32_t d = 0; d < data->rank; d++) {
        range->first[d] = 0;
        range->step[d] = 1;
        range->dims[d] = data->dims[d];
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t axis;
        int64_t given = parts[3] ? cmf_array_int(parts[3], i) : (int64_t)i;
        CMF_TRY(cmf_check_axis(call, (int32_t)slice_limit(given, INT32_MIN, INT32_MAX), data->rank, &axis));
        const int64_t dim = data->dims[axis];
        int64_t step = parts[4] ? cmf_array_int(parts[4], i) : 1;
        CMF_REQUIRE(step != 0, CMF_E_ARGUMENT, "the step of axis %u is 0", axis);
        step = slice_limit(step, -dim - 1, dim + 1); /* beyond the dimension all are alike; times a stride it stays small */
        int64_t first = cmf_array_int(parts[1], i), last = cmf_array_int(parts[2], i);
        first = first < 0 ? first + dim : first;
        last = last < 0 ? last + dim : last;
        first = slice_limit(first, 0, step > 0 ? dim : dim - 1);
        last = step > 0 ? slice_limit(last, 0, dim) : slice_limit(last, -1, dim - 1);
        int64_t count = step > 0 ? (last - first + step - 1) / step : (first - last - step - 1) / -step;
        range->first[axis] = first;
        range->step[axis] = step;
        range->dims[axis] = (int32_t)(count < 0 || dim == 0 ? 0 : count);
    }
    return CMF_OK;
}

static cmf_status slice_infer(const cmf_op_call *call) {
    slice_range range;
    CMF_TRY(slice_ranges(call, &range));
    return cmf_set_like(call, call->inputs[0], call->inputs[0]->rank, range.dims);
}

static cmf_status slice_run(const cmf_op_call *call) {
    const cmf_array *data = call->inputs[0];
    cmf_array *output = call->outputs[0];
    slice_range range;
    CMF_TRY(slice_ranges(call, &range));
    ptrdiff_t strides[CMF_MAX_RANK], step = 1, first = 0;
    for (uint32_t d = data->rank; d-- > 0;) {
        first += (ptrdiff_t)range.first[d] * step;
        strides[d] = (ptrdiff_t)range.step[d] * step;
        step *= data->dims[d];
    }
    const uint32_t size = cmf_element_size(data->dtype);
    cmf_copy_view(output->data, (const uint8_t *)data->data + first * (ptrdiff_t)size, data->rank, output->dims, strides,
                  size);
    cmf_recode_output(data, output);
    return CMF_OK;
}

const cmf_op cmf_op_slice = {.name = "Slice", .id = CMF_FB_OP_SLICE, .min_inputs = 3, .max_inputs = 5, .outputs = 1,
                             .infer = slice_infer, .run = slice_run, .leaves_activation = 1};
