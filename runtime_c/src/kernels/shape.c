#include "kernels/array.h"

static int64_t shape_clamp(int32_t at, uint32_t rank) {
    int64_t x = at < 0 ? (int64_t)at + rank : at;
    return x < 0 ? 0 : x > rank ? rank : x;
}

static cmf_status shape_infer(const cmf_op_call *call) {
    const cmf_node_options *options = &call->node->options;
    const uint32_t rank = call->inputs[0]->rank;
    const int64_t count = shape_clamp(options->end, rank) - shape_clamp(options->start, rank);
    const int32_t dims[1] = {(int32_t)(count < 0 ? 0 : count)};
    return cmf_array_set(call->outputs[0], CMF_I64, 1, dims, call->error);
}

static cmf_status shape_run(const cmf_op_call *call) {
    const cmf_array *data = call->inputs[0];
    cmf_array *output = call->outputs[0];
    const uint32_t first = (uint32_t)shape_clamp(call->node->options.start, data->rank);
    cmf_i64 *y = output->data;
    for (uint32_t i = 0; i < (uint32_t)output->dims[0]; i++)
        y[i] = data->dims[first + i];
    return CMF_OK;
}

const cmf_op cmf_op_shape = {.name = "Shape", .id = CMF_FB_OP_SHAPE, .min_inputs = 1, .max_inputs = 1, .outputs = 1,
                             .infer = shape_infer, .run = shape_run, .from_shapes = 1};
