/* Gather (also from a weight's rows) and GatherND. Indices come from data: each is checked when it is used. */
#include <string.h>

#include "kernels/copy.h"

static cmf_status gather_check_indices(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *indices = call->inputs[1];
    CMF_REQUIRE(indices->dtype == CMF_I32 || indices->dtype == CMF_I64, CMF_E_DTYPE, "indices are %s; supported: i32, i64",
                cmf_dtype_name(indices->dtype));
    return CMF_OK;
}

/* Index i, made non-negative. */
static cmf_status gather_index(const cmf_op_call *call, size_t i, int32_t dim, size_t *out) {
    cmf_error *error = call->error;
    int64_t index = cmf_array_int(call->inputs[1], i);
    CMF_REQUIRE(index >= -(int64_t)dim && index < dim, CMF_E_ARGUMENT, "index %lld (element %zu of the indices) is outside [%d, %d]",
                (long long)index, i, (int)-dim, (int)(dim - 1));
    *out = (size_t)(index < 0 ? index + dim : index);
    return CMF_OK;
}

/* ------------------------------------------------------------------ Gather */

static cmf_status gather_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *data = call->inputs[0], *indices = call->inputs[1];
    int32_t dims[CMF_MAX_RANK];
    uint32_t axis, rank = 0;
    CMF_TRY(gather_check_indices(call));
    CMF_TRY(cmf_check_axis(call, call->node->options.axis, data->rank, &axis));
    CMF_REQUIRE(data->rank + indices->rank <= CMF_MAX_RANK + 1u, CMF_E_LIMIT, "a result of rank %u; at most 8 is supported",
                data->rank + indices->rank - 1u);
    for (uint32_t i = 0; i < axis; i++)
        dims[rank++] = data->dims[i];
    for (uint32_t i = 0; i < indices->rank; i++)
        dims[rank++] = indices->dims[i];
    for (uint32_t i = axis + 1u; i < data->rank; i++)
        dims[rank++] = data->dims[i];
    const cmf_tree *tree = data->tree;
    if (tree == NULL)
        return cmf_set_like(call, data, rank, dims);
    CMF_REQUIRE(axis == 0, CMF_E_UNSUPPORTED, "a weight is gathered along axis %u; supported: 0", axis);
    CMF_REQUIRE(tree->encoding != CMF_ENC_WINOGRAD && tree->stack == 1u && tree->outputs == (uint32_t)data->dims[0] &&
                    tree->inputs == cmf_dims_product(data, 1, data->rank),
                CMF_E_GRAPH, "the weight's tree is not one of %d rows", (int)data->dims[0]);
    return cmf_array_set(call->outputs[0], CMF_F32, rank, dims, error);
}

static cmf_status gather_scratch(const cmf_op_call *call, size_t *bytes) {
    const cmf_tree *tree = call->inputs[0]->tree;
    *bytes = tree ? cmf_tree_row_scratch(tree) : 0u;
    return CMF_OK;
}

static cmf_status gather_run_rows(const cmf_op_call *call) {
    const cmf_array *data = call->inputs[0];
    const size_t n = cmf_array_count(call->inputs[1]);
    float *target = call->outputs[0]->data;
    for (size_t i = 0; i < n; i++, target += data->tree->inputs) {
        size_t row = 0;
        CMF_TRY(gather_index(call, i, data->dims[0], &row));
        cmf_tree_decode_row(data->tree, 0, (uint32_t)row, target, call->scratch);
    }
    return CMF_OK;
}

static cmf_status gather_run(const cmf_op_call *call) {
    const cmf_array *data = call->inputs[0];
    cmf_array *output = call->outputs[0];
    if (data->tree != NULL)
        return gather_run_rows(call);
    const int32_t at = call->node->options.axis;
    const uint32_t axis = (uint32_t)(at < 0 ? at + data->rank : at);
    const size_t outer = cmf_dims_product(data, 0, axis), n = cmf_array_count(call->inputs[1]);
    const size_t block = cmf_dims_product(data, axis + 1u, data->rank) * cmf_element_size(data->dtype);
    const size_t slab = (size_t)data->dims[axis] * block;
    for (size_t i = 0; i < n; i++) {
        size_t index = 0;
        CMF_TRY(gather_index(call, i, data->dims[axis], &index));
        for (size_t o = 0; o < outer; o++)
            memcpy((uint8_t *)output->data + (o * n + i) * block, (const uint8_t *)data->data + o * slab + index * block,
                   block);
    }
    cmf_recode_output(data, output);
    return CMF_OK;
}

/* ------------------------------------------------------------------ GatherND, without batch dimensions */

static cmf_status gather_nd_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *data = call->inputs[0], *indices = call->inputs[1];
    int32_t dims[CMF_MAX_RANK];
    uint32_t rank = 0;
    CMF_TRY(gather_check_indices(call));
    CMF_REQUIRE(indices->rank >= 1u, CMF_E_SHAPE, "the indices are a scalar");
    const int32_t depth = indices->dims[indices->rank - 1u];
    CMF_REQUIRE(depth >= 1 && depth <= (int32_t)data->rank, CMF_E_SHAPE, "indices of %d numbers into a tensor of rank %u",
                (int)depth, data->rank);
    CMF_REQUIRE(indices->rank - 1u + data->rank - (uint32_t)depth <= CMF_MAX_RANK, CMF_E_LIMIT,
                "a result of rank %u; at most 8 is supported", indices->rank - 1u + data->rank - (uint32_t)depth);
    for (uint32_t i = 0; i + 1u < indices->rank; i++)
        dims[rank++] = indices->dims[i];
    for (uint32_t i = (uint32_t)depth; i < data->rank; i++)
        dims[rank++] = data->dims[i];
    return cmf_set_like(call, data, rank, dims);
}

static cmf_status gather_nd_run(const cmf_op_call *call) {
    const cmf_array *data = call->inputs[0], *indices = call->inputs[1];
    cmf_array *output = call->outputs[0];
    const uint32_t depth = (uint32_t)indices->dims[indices->rank - 1u];
    const size_t n = cmf_array_count(indices) / depth;
    const size_t block = cmf_dims_product(data, depth, data->rank) * cmf_element_size(data->dtype);
    for (size_t i = 0; i < n; i++) {
        size_t place = 0;
        for (uint32_t d = 0; d < depth; d++) {
            size_t index = 0;
            CMF_TRY(gather_index(call, i * depth + d, data->dims[d], &index));
            place = place * (size_t)data->dims[d] + index;
        }
        memcpy((uint8_t *)output->data + i * block, (const uint8_t *)data->data + place * block, block);
    }
    cmf_recode_output(data, output);
    return CMF_OK;
}

const cmf_op cmf_op_gather = {.name = "Gather", .id = CMF_FB_OP_GATHER, .min_inputs = 2, .max_inputs = 2, .outputs = 1,
                              .infer = gather_infer, .scratch = gather_scratch, .run = gather_run,
                              .leaves_activation = 1};
const cmf_op cmf_op_gather_nd = {.name = "GatherND", .id = CMF_FB_OP_GATHERND, .min_inputs = 2, .max_inputs = 2,
                                 .outputs = 1, .infer = gather_nd_infer, .run = gather_nd_run, .leaves_activation = 1};
