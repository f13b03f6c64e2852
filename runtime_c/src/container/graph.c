/* What no single value or node shows: the order of nodes, one writer for each value, and weights that fit the node that uses
 * them (FORMAT.md sections 2 and 5). */
#include "base/schema_ids.h"
#include "container/container.h"

/* ------------------------------------------------------------------ weights at their nodes */

static int graph_tree_is(const cmf_tree *t, uint64_t stack, uint64_t outputs, uint64_t inputs) {
    return t->stack == stack && t->outputs == outputs && t->inputs == inputs;
}

static int graph_is_panel(const cmf_tree *t) { return t->layout != CMF_LAYOUT_NONE; }

static cmf_status graph_conv(const cmf_node *node, const cmf_value *v, cmf_error *error) {
    const cmf_node_options *o = &node->options;
    const cmf_tree *t = v->tree;
    CMF_REQUIRE(v->rank == 4, CMF_E_SHAPE, "a Conv weight has 4 dimensions, not %u", (unsigned)v->rank);
    uint64_t outputs = (uint64_t)v->dims[0], taps = (uint64_t)v->dims[1] * (uint64_t)v->dims[2], channels = (uint64_t)v->dims[3];
    uint64_t inputs = taps * channels;
    CMF_REQUIRE(outputs % o->group == 0u, CMF_E_SHAPE, "%llu outputs cannot be split into %u groups", (unsigned long long)outputs, o->group);
    int depthwise = o->group > 1u && channels == 1u;
    if (t->encoding == CMF_ENC_WINOGRAD) {
        CMF_REQUIRE(v->dims[1] == 3 && v->dims[2] == 3 && o->group == 1u && o->strides[0] == 1u && o->strides[1] == 1u &&
                        o->dilations[0] == 1u && o->dilations[1] == 1u,
                    CMF_E_ENCODING, "winograd needs a 3 x 3 kernel, one group, strides and dilations of 1");
        CMF_REQUIRE(graph_tree_is(t, 1, outputs, inputs) && t->run == channels, CMF_E_ENCODING,
                    "the tree [%u, %u, %u] run %u does not fit the weight's shape", t->stack, t->outputs, t->inputs, t->run);
        return CMF_OK;
    }
    CMF_REQUIRE(depthwise ? graph_tree_is(t, 1, outputs, inputs) && t->run == inputs
                          : graph_tree_is(t, o->group, outputs / o->group, inputs) && (t->run == channels || t->run == inputs),
                CMF_E_ENCODING, "the tree [%u, %u, %u] run %u does not fit the weight's shape and group %u", t->stack, t->outputs,
                t->inputs, t->run, o->group);
    CMF_REQUIRE(!graph_is_panel(t) || (t->layout == CMF_LAYOUT_ROWS) == depthwise, CMF_E_ENCODING,
                "layout rows is for depthwise weights, layout lines for all others");
    CMF_REQUIRE(t->encoding != CMF_ENC_LOWRANK || t->kind != CMF_FORM_TUCKER2 || (t->stack == 1u && t->run == channels && !depthwise),
                CMF_E_ENCODING, "tucker2 needs one group and a run of the input channels");
    return CMF_OK;
}

static cmf_status graph_matrix(const cmf_value *v, uint64_t stack, uint64_t outputs, uint64_t inputs, cmf_error *error) {
    const cmf_tree *t = v->tree;
    CMF_REQUIRE(graph_tree_is(t, stack, outputs, inputs) && t->run == inputs, CMF_E_ENCODING,
                "the tree [%u, %u, %u] run %u does not fit the weight's shape", t->stack, t->outputs, t->inputs, t->run);
    CMF_REQUIRE(t->layout != CMF_LAYOUT_ROWS, CMF_E_ENCODING, "layout rows is for depthwise weights");
    CMF_REQUIRE(t->encoding != CMF_ENC_WINOGRAD && (t->encoding != CMF_ENC_LOWRANK || t->kind != CMF_FORM_TUCKER2), CMF_E_ENCODING,
                "winograd and tucker2 are for Conv weights");
    return CMF_OK;
}

/* `v` is a weight and input `position` of the node. */
static cmf_status graph_weight(const cmf_node *node, const cmf_value *v, uint32_t position, cmf_error *error) {
    if (node->op == CMF_FB_OP_CONV && position == 1u) return graph_conv(node, v, error);
    uint64_t product = 1;
    if (node->op == CMF_FB_OP_MATMUL && position == 1u) {
        CMF_REQUIRE(v->rank >= 2, CMF_E_SHAPE, "a MatMul weight has at least 2 dimensions");
        for (uint32_t i = 0; i + 2u < v->rank; i++) product *= (uint64_t)v->dims[i];
        return graph_matrix(v, product, (uint64_t)v->dims[v->rank - 1], (uint64_t)v->dims[v->rank - 2], error);
    }
    if (node->op == CMF_FB_OP_GATHER && position == 0u) {
        CMF_REQUIRE(v->rank >= 1, CMF_E_SHAPE, "a Gather weight has at least 1 dimension");
        CMF_REQUIRE(node->options.axis == 0 || node->options.axis == -(int32_t)v->rank, CMF_E_UNSUPPORTED,
                    "Gather from a weight takes axis 0, not %d", node->options.axis);
        for (uint32_t i = 1; i < v->rank; i++) product *= (uint64_t)v->dims[i];
        return graph_matrix(v, 1, (uint64_t)v->dims[0], product, error);
    }
    CMF_FAIL(CMF_E_GRAPH, "op %u cannot take a weight as input %u (Conv and MatMul take one as input 1, Gather as input 0)",
             (unsigned)node->op, position);
}

/* ------------------------------------------------------------------ order */

static cmf_status graph_node(cmf_model *m, const cmf_node *node, cmf_error *error) {
    for (uint32_t k = 0; k < node->input_count; k++) {
        int32_t id = node->inputs[k];
        if (id == CMF_NO_VALUE) continue;
        CMF_REQUIRE(id >= 0 && (uint32_t)id < m->value_count, CMF_E_GRAPH, "input %u is value %d of %u", k, id, m->value_count);
        const cmf_value *v = &m->values[id];
        CMF_REQUIRE(v->origin != CMF_ORIGIN_NONE, CMF_E_GRAPH, "input %u, value %d '%s', is not computed before it", k, id, v->name);
        if (v->origin != CMF_ORIGIN_TREE) continue;
        cmf_status status = graph_weight(node, v, k, error);
        if (status) return cmf_fail_in(error, status, "weight %d '%s'", id, v->name);
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        int32_t id = node->outputs[k];
        CMF_REQUIRE(id >= 0 && (uint32_t)id < m->value_count, CMF_E_GRAPH, "output %u is value %u of %u", k, (unsigned)id, m->value_count);
        cmf_value *v = &m->values[id];
        CMF_REQUIRE(v->origin == CMF_ORIGIN_NONE, CMF_E_GRAPH, "output %u, value %d '%s', has its contents from elsewhere already", k, id,
                    v->name);
        v->origin = CMF_ORIGIN_NODE;
    }
    return CMF_OK;
}

cmf_status cmf_graph_check(cmf_model *m, cmf_error *error) {
    for (uint32_t i = 0; i < m->input_count; i++) {
        int32_t id = m->inputs[i];
        CMF_REQUIRE(id >= 0 && (uint32_t)id < m->value_count, CMF_E_GRAPH, "model input %u is value %u of %u", i, (unsigned)id, m->value_count);
        CMF_REQUIRE(m->values[id].origin == CMF_ORIGIN_NONE, CMF_E_GRAPH, "model input %u, value %d '%s', is a constant or named twice", i,
                    id, m->values[id].name);
        m->values[id].origin = CMF_ORIGIN_INPUT;
    }
    for (uint32_t i = 0; i < m->node_count; i++) {
        cmf_status status = graph_node(m, &m->nodes[i], error);
        if (status) return cmf_fail_in(error, status, "node %u '%s'", i, m->nodes[i].name);
    }
    for (uint32_t i = 0; i < m->output_count; i++) {
        int32_t id = m->outputs[i];
        CMF_REQUIRE(id >= 0 && (uint32_t)id < m->value_count, CMF_E_GRAPH, "model output %u is value %u of %u", i, (unsigned)id, m->value_count);
        CMF_REQUIRE(m->values[id].origin != CMF_ORIGIN_TREE, CMF_E_GRAPH, "model output %u, value %d '%s', is a weight", i, id,
                    m->values[id].name);
    }
    for (uint32_t i = 0; i < m->value_count; i++)
        CMF_REQUIRE(m->values[i].origin != CMF_ORIGIN_NONE, CMF_E_GRAPH, "value %u '%s' is never written", i, m->values[i].name);
    return CMF_OK;
}
