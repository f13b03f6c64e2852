#include <string.h>

#include "kernels/array.h"

/* Inputs: condition (boolean), x where it is true, y where it is not; all broadcast. */
static cmf_status where_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *condition = call->inputs[0], *x = call->inputs[1], *y = call->inputs[2];
    CMF_REQUIRE(condition->dtype == CMF_BOOL, CMF_E_DTYPE, "the condition is %s, not boolean",
                cmf_dtype_name(condition->dtype));
    cmf_array both = *x, shape = *x;
    CMF_TRY(cmf_array_broadcast(x, y, &both, error));
    CMF_TRY(cmf_array_broadcast(condition, &both, &shape, error));
    if (cmf_array_is_real(x) && cmf_array_is_real(y))
        return cmf_set_real(call, shape.rank, shape.dims);
    CMF_REQUIRE(x->dtype == y->dtype, CMF_E_DTYPE, "%s where true, %s where not", cmf_dtype_name(x->dtype),
                cmf_dtype_name(y->dtype));
    return cmf_set_like(call, x, shape.rank, shape.dims);
}

static cmf_status where_run(const cmf_op_call *call) {
    const cmf_array *x = call->inputs[1], *y = call->inputs[2];
    cmf_array *output = call->outputs[0];
    const uint8_t *condition = call->inputs[0]->data;
    const uint32_t size = cmf_element_size(output->dtype);
    const int moves = !cmf_array_is_real(output) || (cmf_array_same_codes(x, output) && cmf_array_same_codes(y, output));
    const size_t count = cmf_array_count(output);
    cmf_walk walk;
    cmf_walk_init(&walk, output, call->inputs, 3);
    for (size_t first = 0; first < count;) {
        const size_t n = cmf_walk_segment(&walk);
        const uint8_t *c = condition + walk.offset[0];
        for (size_t i = 0; i < n; i++) {
            const int truth = c[i * cmf_walk_step(&walk, 0)] != 0;
            const cmf_array *from = truth ? x : y;
            const size_t at = truth ? walk.offset[1] + i * cmf_walk_step(&walk, 1)
                                    : walk.offset[2] + i * cmf_walk_step(&walk, 2);
            if (moves) {
                memcpy((uint8_t *)output->data + (first + i) * size, (const uint8_t *)from->data + at * size, size);
            } else {
                float one[1];
                cmf_real_store(output, first + i, 1, cmf_real_load(from, at, 1, one));
            }
        }
        cmf_walk_advance(&walk, n);
        first += n;
    }
    return CMF_OK;
}

const cmf_op cmf_op_where = {.name = "Where", .id = CMF_FB_OP_WHERE, .min_inputs = 3, .max_inputs = 3, .outputs = 1,
                             .infer = where_infer, .run = where_run, .leaves_activation = 1};
