/* Shapes of all values from the inputs' shapes, node by node; and the contents of those that hang on shapes and constants only. */
#include <string.h>

#include "base/bytes.h"
#include "base/schema_ids.h"
#include "plan/plan.h"

enum { SHAPES_UNBOUND = -1 };

/* Compares an array with what the file declares of it, and binds symbols. */
static cmf_status shapes_check(const cmf_model *model, int32_t *symbols, const cmf_value *value, const cmf_array *array,
                               cmf_error *error) {
    CMF_REQUIRE(array->dtype == value->dtype, CMF_E_DTYPE, "'%s' comes out with another type than the file declares",
                value->name);
    if (!value->has_shape)
        return CMF_OK;
    CMF_REQUIRE(array->rank == value->rank, CMF_E_SHAPE, "'%s' has rank %u, the file declares %u", value->name, array->rank,
                value->rank);
    for (uint32_t d = 0; d < value->rank; d++) {
        int32_t declared = value->dims[d];
        if (declared < 0) {
            int32_t *symbol = &symbols[-1 - declared];
            if (*symbol == SHAPES_UNBOUND)
                *symbol = array->dims[d];
            CMF_REQUIRE(array->dims[d] == *symbol, CMF_E_SHAPE, "dimension %u of '%s' is %d, but '%s' is %d elsewhere", d,
                        value->name, (int)array->dims[d], model->symbols[-1 - declared], (int)*symbol);
        } else {
            CMF_REQUIRE(array->dims[d] == declared, CMF_E_SHAPE, "dimension %u of '%s' is %d, the file declares %d", d,
                        value->name, (int)array->dims[d], (int)declared);
        }
    }
    return CMF_OK;
}

/* What the file says of a value before any node is inferred. */
static cmf_status shapes_declare(const cmf_value *value, cmf_array *array, cmf_error *error) {
    array->dtype = value->dtype;
    array->has_affine = value->has_affine;
    array->scale = value->has_affine ? value->scale : 1.0f;
    array->zero_point = value->has_affine ? value->zero_point : 0;
    if (value->has_affine && value->dtype == CMF_I8)
        CMF_REQUIRE(cmf_is_finite(value->scale) && value->scale > 0.0f && value->zero_point >= -128 && value->zero_point <= 127,
                    CMF_E_GRAPH, "'%s' has a scale that is not positive, or a zero point outside [-128, 127]", value->name);
    if (value->data.data == NULL && value->tree == NULL)
        return CMF_OK;
    CMF_REQUIRE(value->has_shape, CMF_E_GRAPH, "constant '%s' has no shape", value->name);
    CMF_TRY(cmf_array_set(array, value->dtype, value->rank, value->dims, error));
    array->tree = value->tree;
    if (value->tree == NULL) {
        CMF_REQUIRE(cmf_array_bytes(array) == value->data.size, CMF_E_GRAPH, "constant '%s' has %zu bytes, its shape takes %zu",
                    value->name, value->data.size, cmf_array_bytes(array));
        /* ops only read inputs */
        memcpy(&array->data, &value->data.data, sizeof array->data);
        array->known = 1;
    }
    return CMF_OK;
}

static cmf_status shapes_input(const cmf_plan *plan, int32_t *symbols, uint32_t index, cmf_error *error) {
    const cmf_model *model = plan->model;
    const int32_t id = model->inputs[index];
    const cmf_value *value = &model->values[id];
    const cmf_shape *given = plan->options.input_shapes ? &plan->options.input_shapes[index] : NULL;
    int32_t dims[CMF_MAX_RANK];
    const int32_t rank = given ? given->rank : value->has_shape ? value->rank : -1;
    CMF_REQUIRE(rank >= 0 && rank <= CMF_MAX_RANK, CMF_E_SHAPE, "input '%s' needs a shape of rank 0 to 8", value->name);
    for (int32_t d = 0; d < rank; d++) {
        int64_t dim = given ? given->dims[d] : value->dims[d] < 0 ? 1 : value->dims[d];
        CMF_REQUIRE(dim >= 1 && dim <= INT32_MAX, CMF_E_SHAPE, "dimension %d of input '%s' would be %lld", (int)d,
                    value->name, (long long)dim);
        dims[d] = (int32_t)dim;
    }
    CMF_TRY(cmf_array_set(&plan->values[id], value->dtype, (uint32_t)rank, dims, error));
    return shapes_check(model, symbols, value, &plan->values[id], error);
}

/* Arity, weights where the op takes them, types that a fused activation can be applied to. */
static cmf_status shapes_check_node(const cmf_node *node, const cmf_op *op, const cmf_op_call *call, cmf_error *error) {
    CMF_REQUIRE(node->input_count >= op->min_inputs && (op->max_inputs == 255 || node->input_count <= op->max_inputs),
                CMF_E_GRAPH, "%u inputs; the op takes %u to %u", node->input_count, op->min_inputs, op->max_inputs);
    CMF_REQUIRE(node->output_count == op->outputs, CMF_E_UNSUPPORTED, "%u outputs; supported: %u", node->output_count,
                op->outputs);
    for (uint32_t i = 0; i < node->input_count; i++) {
        const cmf_array *input = call->inputs[i];
        CMF_REQUIRE(input != NULL || i >= op->min_inputs, CMF_E_GRAPH, "input %u is absent", i);
        CMF_REQUIRE(input == NULL || input->tree == NULL || (int32_t)i == cmf_op_weight_input(node->op), CMF_E_UNSUPPORTED,
                    "input %u is an encoded weight, which this op does not take", i);
    }
    return CMF_OK;
}

static int shapes_all_known(const cmf_op *op, const cmf_op_call *call) {
    for (uint32_t i = 0; i < call->node->input_count && !op->from_shapes; i++)
        if (call->inputs[i] != NULL && !call->inputs[i]->known)
            return 0;
    return 1;
}

/* Computes a node now, where its inputs are known and its result is small. */
static cmf_status shapes_evaluate(cmf_plan *plan, cmf_arena *block, const cmf_op *op, const cmf_op_call *call, uint64_t work,
                                  int *done) {
    cmf_error *error = call->error;
    cmf_array *output = call->outputs[0];
    size_t scratch = 0, keeps = 0;
    *done = 0;
    if (!shapes_all_known(op, call) || op->outputs != 1)
        return CMF_OK;
    if (cmf_plan_is_view(plan, call->node)) {
        output->data = call->inputs[0]->data;
        output->known = 1;
        *done = 1;
        return CMF_OK;
    }
    const size_t bytes = cmf_array_bytes(output);
    if (bytes > CMF_PLAN_KNOWN_BYTES || bytes > CMF_PLAN_KNOWN_TOTAL - plan->known_bytes ||
        work > CMF_PLAN_KNOWN_WORK - plan->known_work)
        return CMF_OK;
    if (op->scratch != NULL)
        CMF_TRY(op->scratch(call, &scratch));
    if (op->keep != NULL)
        CMF_TRY(op->keep(call, &keeps));
    if (scratch != 0 || keeps != 0)
        return CMF_OK;
    output->data = cmf_arena_low(block, bytes ? bytes : 1u);
    CMF_REQUIRE(output->data != NULL, CMF_E_MEMORY, "not enough memory for planning");
    CMF_TRY(cmf_op_run(op, call));
    output->known = 1;
    plan->known_bytes += bytes;
    plan->known_work += work;
    *done = 1;
    return CMF_OK;
}

uint64_t cmf_plan_node_work(const cmf_op *op, const cmf_op_call *call) {
    uint64_t work = 0;
    if (op->work != NULL)
        return op->work(call);
    for (uint32_t i = 0; i < call->node->output_count; i++)
        work += cmf_array_count(call->outputs[i]);
    return work;
}

static cmf_status shapes_node(cmf_plan *plan, cmf_arena *block, int32_t *symbols, uint32_t index, cmf_error *error) {
    const cmf_model *model = plan->model;
    const cmf_node *node = &model->nodes[index];
    const cmf_op *op = cmf_op_get(node->op);
    CMF_REQUIRE(op != NULL, CMF_E_UNSUPPORTED, "this build lacks op %u", node->op);
    const cmf_op_call call = cmf_plan_call(plan, index, error);
    CMF_TRY(shapes_check_node(node, op, &call, error));
    CMF_TRY(op->infer(&call));
    for (uint32_t i = 0; i < node->output_count; i++)
        CMF_TRY(shapes_check(model, symbols, &model->values[node->outputs[i]], call.outputs[i], error));
    if (node->activation != CMF_FB_ACTIVATION_NONE)
        CMF_REQUIRE(call.outputs[0]->dtype == CMF_F32 || (call.outputs[0]->dtype == CMF_I8 && call.outputs[0]->has_affine),
                    CMF_E_DTYPE, "an activation of a result that is neither f32 nor i8 with a scale");
    const uint64_t work = cmf_plan_node_work(op, &call);
    int done;
    CMF_TRY(shapes_evaluate(plan, block, op, &call, work, &done));
    plan->done[index] = (uint8_t)done;
    if (!done)
        plan->work = work > UINT64_MAX - plan->work ? UINT64_MAX : plan->work + work;
    return CMF_OK;
}

cmf_status cmf_plan_shapes(cmf_plan *plan, cmf_arena *block, cmf_error *error) {
    const cmf_model *model = plan->model;
    int32_t *symbols = cmf_arena_high(block, (size_t)model->symbol_count * sizeof *symbols);
    CMF_REQUIRE(symbols != NULL, CMF_E_MEMORY, "not enough memory for planning");
    for (uint32_t k = 0; k < model->symbol_count; k++)
        symbols[k] = SHAPES_UNBOUND;
    for (uint32_t v = 0; v < model->value_count; v++)
        CMF_TRY(shapes_declare(&model->values[v], &plan->values[v], error));
    for (uint32_t i = 0; i < model->input_count; i++)
        CMF_TRY(shapes_input(plan, symbols, i, error));
    for (uint32_t n = 0; n < model->node_count; n++) {
        cmf_status status = shapes_node(plan, block, symbols, n, error);
        if (status != CMF_OK)
            return cmf_plan_fail_in(plan, n, error, status);
    }
    return CMF_OK;
}
