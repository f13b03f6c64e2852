/* Reshape and Identity: the same elements. The planner lets the output share the input's memory where it can. */
#include <string.h>

#include "kernels/copy.h"

static cmf_status reshape_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *data = call->inputs[0];
    CMF_TRY(cmf_check_known(call, 1, "shape"));
    const cmf_array *shape = call->inputs[1];
    const size_t rank = cmf_array_count(shape);
    CMF_REQUIRE(rank <= CMF_MAX_RANK, CMF_E_LIMIT, "a result of rank %zu; at most 8 is supported", rank);
    int32_t dims[CMF_MAX_RANK];
    int32_t open = -1; /* the dimension that is worked out */
    uint64_t given = 1;
    for (uint32_t i = 0; i < rank; i++) {
        int64_t dim = cmf_array_int(shape, i);
        if (dim == 0) {
            CMF_REQUIRE(i < data->rank, CMF_E_SHAPE, "dimension %u is to be copied from an input of rank %u", i, data->rank);
            dim = data->dims[i];
        }
        CMF_REQUIRE(dim >= -1 && dim <= INT32_MAX, CMF_E_SHAPE, "dimension %u would be %lld", i, (long long)dim);
        if (dim == -1) {
            CMF_REQUIRE(open < 0, CMF_E_SHAPE, "dimensions %d and %u are both -1", (int)open, i);
            open = (int32_t)i;
            dims[i] = 1;
            continue;
        }
        dims[i] = (int32_t)dim;
        given *= (uint64_t)dim;
        CMF_REQUIRE(given <= (uint64_t)1 << 40, CMF_E_LIMIT, "a result of more than 2^40 elements");
    }
    const uint64_t count = cmf_array_count(data);
    if (open >= 0 && given > 0 && count % given == 0 && count / given <= INT32_MAX) {
        dims[open] = (int32_t)(count / given);
        given = count;
    }
    CMF_REQUIRE(given == count, CMF_E_SHAPE, "%llu elements do not fit the new shape, which holds a multiple of %llu",
                (unsigned long long)count, (unsigned long long)given);
    return cmf_set_like(call, data, (uint32_t)rank, dims);
}

static cmf_status identity_infer(const cmf_op_call *call) {
    const cmf_array *data = call->inputs[0];
    return cmf_set_like(call, data, data->rank, data->dims);
}

static cmf_status reshape_run(const cmf_op_call *call) {
    const cmf_array *data = call->inputs[0];
    cmf_array *output = call->outputs[0];
    if (output->data != data->data)
        memcpy(output->data, data->data, cmf_array_bytes(data));
    cmf_recode_output(data, output);
    return CMF_OK;
}

const cmf_op cmf_op_reshape = {.name = "Reshape", .id = CMF_FB_OP_RESHAPE, .min_inputs = 2, .max_inputs = 2, .outputs = 1,
                               .infer = reshape_infer, .run = reshape_run, .in_place = 1, .leaves_activation = 1};
const cmf_op cmf_op_identity = {.name = "Identity", .id = CMF_FB_OP_IDENTITY, .min_inputs = 1, .max_inputs = 1,
                                .outputs = 1, .infer = identity_infer, .run = reshape_run, .in_place = 1,
                                .leaves_activation = 1};
