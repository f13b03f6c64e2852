#include "plan/plan.h"

#include <string.h>

/* Vector kernels may read this far behind an activation. */
#define PLAN_TAIL ((size_t)64)

cmf_op_call cmf_plan_call(const cmf_plan *plan, uint32_t n, cmf_error *error) {
    const cmf_node *node = &plan->model->nodes[n];
    for (uint32_t i = 0; i < node->input_count; i++)
        plan->inputs[i] = node->inputs[i] == CMF_NO_VALUE ? NULL : &plan->values[node->inputs[i]];
    for (uint32_t i = 0; i < node->output_count; i++)
        plan->outputs[i] = &plan->values[node->outputs[i]];
    const cmf_op_call call = {.node = node,
                              .inputs = plan->inputs,
                              .outputs = plan->outputs,
                              .isa = plan->options.isa,
                              .workers = plan->options.workers,
                              .scratch = plan->scratch,
                              .scratch_size = plan->scratch_bytes,
                              .kept = plan->kept ? plan->kept[n] : NULL,
                              .policy = plan->options.policy,
                              .error = error};
    return call;
}

cmf_status cmf_plan_fail_in(const cmf_plan *plan, uint32_t n, cmf_error *error, cmf_status status) {
    const cmf_node *node = &plan->model->nodes[n];
    const cmf_op *op = cmf_op_get(node->op);
    const char *name = op ? op->name : "?";
    if (node->name[0] == '\0')
        return cmf_fail_in(error, status, "node %u (%s)", n, name);
    return cmf_fail_in(error, status, "node '%s' (%s)", node->name, name);
}

/* ------------------------------------------------------------------ measure */

/* Does any op of the model keep memory? Then there is a pointer for each node. */
static int plan_keeps(const cmf_model *model) {
    for (uint32_t n = 0; n < model->node_count; n++) {
        const cmf_op *op = cmf_op_get(model->nodes[n].op);
        if (op != NULL && op->keep != NULL)
            return 1;
    }
    return 0;
}

/* Most inputs and outputs of a node, at least 1. */
static void plan_arity(const cmf_model *model, uint32_t *inputs, uint32_t *outputs) {
    *inputs = *outputs = 1;
    for (uint32_t n = 0; n < model->node_count; n++) {
        *inputs = model->nodes[n].input_count > *inputs ? model->nodes[n].input_count : *inputs;
        *outputs = model->nodes[n].output_count > *outputs ? model->nodes[n].output_count : *outputs;
    }
}

void cmf_plan_bounds(const cmf_model *model, size_t *least, size_t *most) {
    const size_t values = model->value_count, nodes = model->node_count;
    uint32_t inputs, outputs;
    plan_arity(model, &inputs, &outputs);
    /* at most 2^20 of each: no overflow */
    *least = cmf_size_align(values * sizeof(cmf_array)) + cmf_size_align(inputs * sizeof(void *)) +
             cmf_size_align(outputs * sizeof(void *)) + cmf_size_align(nodes) +
             (plan_keeps(model) ? cmf_size_align(nodes * sizeof(void *)) : 0u) +
             cmf_size_align(model->symbol_count * sizeof(int32_t)) + cmf_size_align(values * sizeof(plan_life)) +
             cmf_size_align(values * sizeof(uint32_t));
    *most = *least + CMF_PLAN_KNOWN_TOTAL + nodes * CMF_ALIGN;
}

static cmf_status plan_tables(cmf_plan *plan, cmf_arena *block, cmf_error *error) {
    const cmf_model *model = plan->model;
    uint32_t inputs, outputs;
    plan_arity(model, &inputs, &outputs);
    const int keeps = plan_keeps(model);
    plan->values = cmf_arena_low(block, (size_t)model->value_count * sizeof *plan->values);
    plan->inputs = cmf_arena_low(block, inputs * sizeof *plan->inputs);
    plan->outputs = cmf_arena_low(block, outputs * sizeof *plan->outputs);
    plan->done = cmf_arena_low(block, model->node_count);
    plan->kept = keeps ? cmf_arena_low(block, (size_t)model->node_count * sizeof *plan->kept) : NULL;
    CMF_REQUIRE(plan->values && plan->inputs && plan->outputs && plan->done && (!keeps || plan->kept), CMF_E_MEMORY,
                "not enough memory for planning");
    return CMF_OK;
}

/* What ops keep and need, now that all shapes are known. */
static cmf_status plan_node_memory(cmf_plan *plan, uint32_t n, cmf_error *error) {
    const cmf_op *op = cmf_op_get(plan->model->nodes[n].op);
    const cmf_op_call call = cmf_plan_call(plan, n, error);
    size_t scratch = 0, keeps = 0;
    if (op->scratch != NULL)
        CMF_TRY(op->scratch(&call, &scratch));
    if (op->keep != NULL)
        CMF_TRY(op->keep(&call, &keeps));
    scratch = cmf_size_align(scratch);
    plan->scratch_bytes = scratch > plan->scratch_bytes ? scratch : plan->scratch_bytes;
    CMF_REQUIRE(cmf_size_add(&plan->kept_bytes, cmf_size_align(keeps)) && scratch <= CMF_SIZE_LIMIT, CMF_E_CAPACITY,
                "it needs more memory than there can be");
    return CMF_OK;
}

static void plan_set_places(cmf_plan *plan, const plan_life *lives, uint8_t *arena) {
    for (uint32_t v = 0; v < plan->model->value_count; v++)
        if (lives[v].root >= 0)
            plan->values[v].data = arena + lives[lives[v].root].offset;
}

cmf_status cmf_plan_measure(cmf_plan *plan, const cmf_model *model, const cmf_plan_options *options, cmf_arena *block,
                            cmf_error *error) {
    memset(plan, 0, sizeof *plan);
    plan->model = model;
    plan->options = *options;
    CMF_TRY(plan_tables(plan, block, error));
    CMF_TRY(cmf_plan_shapes(plan, block, error));
    plan_life *lives = cmf_arena_high(block, (size_t)model->value_count * sizeof *lives);
    uint32_t *order = cmf_arena_high(block, (size_t)model->value_count * sizeof *order);
    CMF_REQUIRE(lives && order, CMF_E_MEMORY, "not enough memory for planning");
    cmf_plan_lifetimes(plan, lives);
    CMF_TRY(cmf_plan_pack(lives, model->value_count, order, &plan->arena_bytes, error));
    for (uint32_t n = 0; n < model->node_count; n++) {
        cmf_status status = plan->done[n] ? CMF_OK : plan_node_memory(plan, n, error);
        if (status != CMF_OK)
            return cmf_plan_fail_in(plan, n, error, status);
    }
    size_t running = plan->kept_bytes;
    const int fits = cmf_size_add(&running, plan->arena_bytes) && cmf_size_add(&running, cmf_size_align(PLAN_TAIL)) &&
                     cmf_size_add(&running, plan->scratch_bytes);
    size_t needed = block->low;
    CMF_REQUIRE(fits && cmf_size_add(&needed, running > block->high ? running : block->high), CMF_E_CAPACITY,
                "the session takes more memory than there can be");
    plan->needed = needed;
    /* addresses for cmf_plan_place, which overwrites `lives`: only meaningful where the block is large enough */
    if (needed <= block->size)
        plan_set_places(plan, lives, block->base + block->low + plan->kept_bytes);
    return CMF_OK;
}

/* ------------------------------------------------------------------ place */

static cmf_status plan_prepare(cmf_plan *plan, uint8_t *kept, cmf_error *error) {
    for (uint32_t n = 0; n < plan->model->node_count; n++) {
        const cmf_op *op = cmf_op_get(plan->model->nodes[n].op);
        if (plan->done[n] || op->keep == NULL)
            continue;
        size_t bytes = 0;
        cmf_op_call call = cmf_plan_call(plan, n, error);
        cmf_status status = op->keep(&call, &bytes);
        if (status == CMF_OK && bytes > 0) {
            plan->kept[n] = call.kept = kept;
            kept += cmf_size_align(bytes);
            status = op->prepare ? op->prepare(&call) : CMF_OK;
        }
        if (status != CMF_OK)
            return cmf_plan_fail_in(plan, n, error, status);
    }
    return CMF_OK;
}

cmf_status cmf_plan_place(cmf_plan *plan, cmf_arena *block, cmf_error *error) {
    CMF_REQUIRE(plan->needed != 0 && plan->needed <= block->size, CMF_E_MEMORY, "the session takes %zu bytes, the memory has %zu",
                plan->needed, block->size);
    block->high = 0; /* planning is over */
    plan->options.input_shapes = NULL;
    uint8_t *kept = block->base + block->low, *arena = kept + plan->kept_bytes;
    uint8_t *scratch = arena + plan->arena_bytes + cmf_size_align(PLAN_TAIL);
    plan->scratch = plan->scratch_bytes ? scratch : NULL;
    memset(arena + plan->arena_bytes, 0, cmf_size_align(PLAN_TAIL));
    return plan_prepare(plan, kept, error);
}

/* ------------------------------------------------------------------ run */

cmf_status cmf_plan_run_node(const cmf_plan *plan, uint32_t n, cmf_error *error) {
    if (plan->done[n])
        return CMF_OK;
    const cmf_op_call call = cmf_plan_call(plan, n, error);
    cmf_status status = cmf_op_run(cmf_op_get(call.node->op), &call);
    return status == CMF_OK ? CMF_OK : cmf_plan_fail_in(plan, n, error, status);
}

cmf_status cmf_plan_run(const cmf_plan *plan, cmf_error *error) {
    for (uint32_t n = 0; n < plan->model->node_count; n++)
        CMF_TRY(cmf_plan_run_node(plan, n, error));
    return CMF_OK;
}
