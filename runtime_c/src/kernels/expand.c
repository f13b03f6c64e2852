#include "kernels/copy.h"

static cmf_status expand_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *data = call->inputs[0];
    CMF_TRY(cmf_check_known(call, 1, "shape"));
    const cmf_array *shape = call->inputs[1];
    cmf_array wanted = *data, result = *data;
    const size_t rank = cmf_array_count(shape);
    CMF_REQUIRE(rank <= CMF_MAX_RANK, CMF_E_LIMIT, "a shape of rank %zu; at most 8 is supported", rank);
    wanted.rank = (uint8_t)rank;
    for (uint32_t i = 0; i < rank; i++) {
        int64_t dim = cmf_array_int(shape, i);
        CMF_REQUIRE(dim >= 0 && dim <= INT32_MAX, CMF_E_SHAPE, "dimension %u of the shape is %lld", i, (long long)dim);
        wanted.dims[i] = (int32_t)dim;
    }
    CMF_TRY(cmf_array_broadcast(data, &wanted, &result, error));
    return cmf_set_like(call, data, result.rank, result.dims);
}

static cmf_status expand_run(const cmf_op_call *call) {
    const cmf_array *data = call->inputs[0];
    cmf_array *output = call->outputs[0];
    ptrdiff_t strides[CMF_MAX_RANK], step = 1;
    for (uint32_t from_end = 0; from_end < output->rank; from_end++) {
        int32_t dim = from_end < data->rank ? data->dims[data->rank - 1u - from_end] : 1;
        strides[output->rank - 1u - from_end] = dim == 1 ? 0 : step;
        step *= dim;
    }
    cmf_copy_view(output->data, data->data, output->rank, output->dims, strides, cmf_element_size(data->dtype));
    cmf_recode_output(data, output);
    return CMF_OK;
}

const cmf_op cmf_op_expand = {.name = "Expand", .id = CMF_FB_OP_EXPAND, .min_inputs = 2, .max_inputs = 2, .outputs = 1,
                              .infer = expand_infer, .run = expand_run, .leaves_activation = 1};
