/* When each activation is alive, and which ones lie in the storage of another: the results of Reshape and Identity, and
 * those of ops that may overwrite their first input where nobody needs it any more. */
#include "base/schema_ids.h"
#include "kernels/array.h"
#include "plan/plan.h"

static void lifetimes_last_uses(const cmf_plan *plan, plan_life *lives) {
    const cmf_model *model = plan->model;
    for (uint32_t n = 0; n < model->node_count; n++) {
        const cmf_node *node = &model->nodes[n];
        if (plan->done[n])
            continue;
        for (uint32_t i = 0; i < node->input_count; i++)
            if (node->inputs[i] != CMF_NO_VALUE)
                lives[node->inputs[i]].last = (int32_t)n;
        for (uint32_t i = 0; i < node->output_count; i++)
            if (lives[node->outputs[i]].last < (int32_t)n) /* nobody reads it */
                lives[node->outputs[i]].last = (int32_t)n;
    }
    for (uint32_t i = 0; i < model->output_count; i++)
        lives[model->outputs[i]].last = (int32_t)model->node_count;
}

int cmf_plan_is_view(const cmf_plan *plan, const cmf_node *node) {
    return (node->op == CMF_FB_OP_RESHAPE || node->op == CMF_FB_OP_IDENTITY) &&
           node->activation == CMF_FB_ACTIVATION_NONE &&
           cmf_array_same_codes(&plan->values[node->inputs[0]], &plan->values[node->outputs[0]]);
}

/* May the node write its result over its first input? */
static int lifetimes_overwrites(const cmf_plan *plan, const plan_life *lives, uint32_t n) {
    const cmf_node *node = &plan->model->nodes[n];
    const int32_t root = lives[node->inputs[0]].root;
    if (!cmf_op_get(node->op)->in_place || root < 0 || lives[root].first < 0 || lives[root].last != (int32_t)n)
        return 0;
    for (uint32_t i = 1; i < node->input_count; i++)
        if (node->inputs[i] != CMF_NO_VALUE && lives[node->inputs[i]].root == root)
            return 0;
    return cmf_array_bytes(&plan->values[node->inputs[0]]) == cmf_array_bytes(&plan->values[node->outputs[0]]);
}

static void lifetimes_join(plan_life *lives, int32_t value, int32_t root) {
    lives[value].root = root;
    if (lives[root].last < lives[value].last)
        lives[root].last = lives[value].last;
}

void cmf_plan_lifetimes(cmf_plan *plan, plan_life *lives) {
    const cmf_model *model = plan->model;
    for (uint32_t v = 0; v < model->value_count; v++)
        lives[v] = (plan_life){.root = -1, .first = -1, .last = -1, .next = -1};
    lifetimes_last_uses(plan, lives);
    for (uint32_t i = 0; i < model->input_count; i++) { /* inputs stay as written between runs */
        plan_life *life = &lives[model->inputs[i]];
        life->root = model->inputs[i];
        life->last = (int32_t)model->node_count;
    }
    for (uint32_t n = 0; n < model->node_count; n++) {
        const cmf_node *node = &model->nodes[n];
        if (plan->done[n])
            continue;
        for (uint32_t i = 0; i < node->output_count; i++) {
            lives[node->outputs[i]].root = node->outputs[i];
            lives[node->outputs[i]].first = (int32_t)n;
        }
        if (node->input_count == 0 || node->inputs[0] == CMF_NO_VALUE)
            continue;
        const int32_t root = lives[node->inputs[0]].root;
        if (root >= 0 && cmf_plan_is_view(plan, node)) {
            lifetimes_join(lives, node->outputs[0], root);
            plan->done[n] = 1;
        } else if (lifetimes_overwrites(plan, lives, n)) {
            lifetimes_join(lives, node->outputs[0], root);
        }
    }
    for (uint32_t v = 0; v < model->value_count; v++)
        if (lives[v].root == (int32_t)v) {
            const size_t bytes = cmf_array_bytes(&plan->values[v]);
            lives[v].bytes = cmf_size_align(bytes ? bytes : 1u);
        }
}
