#include "kernels/copy.h"

/* The input dimension of output dimension i; without perm they are reversed. */
static uint32_t transpose_from(const cmf_op_call *call, uint32_t i) {
    const cmf_node_options *options = &call->node->options;
    return options->perm_count ? options->perm[i] : call->inputs[0]->rank - 1u - i;
}

static cmf_status transpose_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *data = call->inputs[0];
    const uint32_t given = call->node->options.perm_count;
    int32_t dims[CMF_MAX_RANK];
    uint32_t seen = 0;
    CMF_REQUIRE(given == 0 || given == data->rank, CMF_E_SHAPE, "perm has %u entries, the input has rank %u", given,
                data->rank);
    for (uint32_t i = 0; i < data->rank; i++) {
        uint32_t from = transpose_from(call, i);
        CMF_REQUIRE(from < data->rank && !(seen >> from & 1u), CMF_E_GRAPH, "perm is not a permutation of 0 .. %u",
                    data->rank - 1u);
        seen |= 1u << from;
        dims[i] = data->dims[from];
    }
    return cmf_set_like(call, data, data->rank, dims);
}

static cmf_status transpose_run(const cmf_op_call *call) {
    const cmf_array *data = call->inputs[0];
    cmf_array *output = call->outputs[0];
    ptrdiff_t source[CMF_MAX_RANK], strides[CMF_MAX_RANK], step = 1;
    for (uint32_t d = data->rank; d-- > 0;) {
        source[d] = step;
        step *= data->dims[d];
    }
    for (uint32_t i = 0; i < data->rank; i++)
        strides[i] = source[transpose_from(call, i)];
    cmf_copy_view(output->data, data->data, data->rank, output->dims, strides, cmf_element_size(data->dtype));
    cmf_recode_output(data, output);
    return CMF_OK;
}

const cmf_op cmf_op_transpose = {.name = "Transpose", .id = CMF_FB_OP_TRANSPOSE, .min_inputs = 1, .max_inputs = 1,
                                 .outputs = 1, .infer = transpose_infer, .run = transpose_run, .leaves_activation = 1};
