#include "kernels/array.h"

/* A build for known models may name a shorter list; the linker then drops the other ops. */
#ifndef CMF_OPS
#  define CMF_OPS "kernels/ops.def"
#endif

#define CMF_OP(id, record) extern const cmf_op record;
#include CMF_OPS
#undef CMF_OP

static const cmf_op *const op_table[CMF_FB_OP_COUNT] = {
#define CMF_OP(id, record) [CMF_FB_OP_##id] = &record,
#include CMF_OPS
#undef CMF_OP
};

const cmf_op *cmf_op_get(uint16_t id) {
    return id < CMF_FB_OP_COUNT ? op_table[id] : NULL;
}

int32_t cmf_op_weight_input(uint16_t id) {
    switch (id) {
    case CMF_FB_OP_CONV:
    case CMF_FB_OP_MATMUL: return 1;
    case CMF_FB_OP_GATHER: return 0;
    default: return -1;
    }
}

static void op_clamp_codes(const cmf_node *node, cmf_array *output) {
    int32_t low, high;
    cmf_code_bounds(node, output, &low, &high);
    int8_t *codes = output->data;
    size_t n = cmf_array_count(output);
    for (size_t i = 0; i < n; i++) {
        int32_t code = codes[i] < low ? low : codes[i];
        codes[i] = (int8_t)(code > high ? high : code);
    }
}

cmf_status cmf_op_run(const cmf_op *op, const cmf_op_call *call) {
    cmf_array *output = call->outputs[0];
    if (cmf_array_count(output) == 0)
        return CMF_OK;
    CMF_TRY(op->run(call));
    if (!op->leaves_activation || call->node->activation == CMF_FB_ACTIVATION_NONE)
        return CMF_OK;
    if (output->dtype == CMF_F32)
        cmf_apply_activation(call->node, output->data, cmf_array_count(output));
    else /* rounding keeps order, so limiting codes is limiting the real result */
        op_clamp_codes(call->node, output);
    return CMF_OK;
}
