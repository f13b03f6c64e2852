#include <string.h>

#include "kernels/copy.h"

static cmf_status concat_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *first = call->inputs[0];
    int32_t dims[CMF_MAX_RANK];
    uint32_t axis;
    CMF_TRY(cmf_check_axis(call, call->node->options.axis, first->rank, &axis));
    memcpy(dims, first->dims, sizeof dims);
    int64_t sum = 0;
    for (uint32_t i = 0; i < call->node->input_count; i++) {
        const cmf_array *input = call->inputs[i];
        CMF_REQUIRE(input != NULL, CMF_E_GRAPH, "input %u is absent", i);
        CMF_REQUIRE(input->dtype == first->dtype && input->has_affine == first->has_affine, CMF_E_DTYPE,
                    "input %u is %s, input 0 is %s", i, cmf_dtype_name(input->dtype), cmf_dtype_name(first->dtype));
        CMF_REQUIRE(input->rank == first->rank, CMF_E_SHAPE, "input %u has rank %u, input 0 has %u", i, input->rank,
                    first->rank);
        for (uint32_t d = 0; d < first->rank; d++)
            CMF_REQUIRE(d == axis || input->dims[d] == dims[d], CMF_E_SHAPE, "dimension %u of input %u is %d, of input 0 %d",
                        d, i, (int)input->dims[d], (int)dims[d]);
        sum += input->dims[axis];
    }
    CMF_REQUIRE(sum <= INT32_MAX, CMF_E_LIMIT, "the result's dimension %u would be %lld", axis, (long long)sum);
    dims[axis] = (int32_t)sum;
    return cmf_set_like(call, first, first->rank, dims);
}

static cmf_status concat_run(const cmf_op_call *call) {
    cmf_array *output = call->outputs[0];
    const int32_t at = call->node->options.axis;
    const uint32_t axis = (uint32_t)(at < 0 ? at + output->rank : at);
    const size_t outer = cmf_dims_product(output, 0, axis), size = cmf_element_size(output->dtype);
    const size_t row = cmf_dims_product(output, axis, output->rank) * size;
    uint8_t *column = output->data;
    for (uint32_t i = 0; i < call->node->input_count; i++) {
        const cmf_array *input = call->inputs[i];
        const size_t part = cmf_dims_product(input, axis, input->rank) * size;
        const uint8_t *source = input->data;
        const int moves = output->dtype != CMF_I8 || cmf_array_same_codes(input, output);
        int8_t table[256];
        if (!moves)
            cmf_recode_table(input, output, table);
        for (size_t o = 0; o < outer; o++) {
            if (moves)
                memcpy(column + o * row, source + o * part, part);
            else
                cmf_recode(table, (const int8_t *)source + o * part, (int8_t *)column + o * row, part);
        }
        column += part;
    }
    return CMF_OK;
}

const cmf_op cmf_op_concat = {.name = "Concat", .id = CMF_FB_OP_CONCAT, .min_inputs = 1, .max_inputs = 255, .outputs = 1,
                              .infer = concat_infer, .run = concat_run, .leaves_activation = 1};
