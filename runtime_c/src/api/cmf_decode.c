/* Decoding whole weights, for tests and export: a session never does this. */
#include <string.h>

#include "api/allocator.h"
#include "base/model.h"
#include "encodings/encoding.h"

#define DECODE_CHUNK 32u

/* Panel by panel; every other tree row by row. */
static void decode_panels(const cmf_tree *t, float *target) {
    float chunk[DECODE_CHUNK * CMF_PANEL];
    for (uint32_t stack = 0; stack < t->stack; stack++)
        for (uint32_t panel = 0; panel < cmf_tree_panels(t); panel++) {
            cmf_panel_reader reader;
            uint32_t first = panel * CMF_PANEL, outputs = t->outputs - first < CMF_PANEL ? t->outputs - first : CMF_PANEL;
            float *row = target + ((size_t)stack * t->outputs + first) * t->inputs;
            cmf_panel_begin(&reader, t, stack, panel);
            for (uint32_t input = 0, n; input < t->inputs; input += n) {
                uint32_t left = t->run - input % t->run;
                n = left < DECODE_CHUNK ? left : DECODE_CHUNK;
                cmf_panel_next_f32(&reader, n, chunk);
                for (uint32_t o = 0; o < outputs; o++)
                    for (uint32_t i = 0; i < n; i++) row[(size_t)o * t->inputs + input + i] = chunk[CMF_PANEL * i + o];
            }
        }
}

cmf_status cmf_model_decode_weight(const cmf_model *model, uint32_t index, float *target, size_t target_size, cmf_error *error) {
    cmf_error_clear(error);
    CMF_REQUIRE(model && target, CMF_E_ARGUMENT, "model or target is NULL");
    CMF_REQUIRE(index < model->weight_count, CMF_E_ARGUMENT, "weight %u does not exist: the model has %u", index, model->weight_count);
    const cmf_value *value = &model->values[model->weights[index]];
    const cmf_tree *t = value->tree->encoding == CMF_ENC_WINOGRAD ? value->tree->child[0] : value->tree;
    uint64_t size = sizeof(float) * (uint64_t)t->stack * t->outputs * t->inputs;
    CMF_REQUIRE(target_size == size, CMF_E_ARGUMENT, "weight '%s' decodes to [%u, %u, %u] floats, %llu bytes; the target has %zu", value->name,
                t->stack, t->outputs, t->inputs, (unsigned long long)size, target_size);
    if (cmf_tree_is_panel(t)) {
        decode_panels(t, target);
        return CMF_OK;
    }
    cmf_allocator allocator;
    CMF_TRY(cmf_allocator_choose(model->allocator.allocate ? &model->allocator : NULL, &allocator, error));
    size_t scratch_size = cmf_tree_row_scratch(t);
    void *scratch = scratch_size == SIZE_MAX ? NULL : allocator.allocate(allocator.user, scratch_size, 64);
    CMF_REQUIRE(scratch, CMF_E_MEMORY, "%zu bytes to decode weight '%s' in could not be allocated", scratch_size, value->name);
    for (uint32_t stack = 0; stack < t->stack; stack++)
        for (uint32_t o = 0; o < t->outputs; o++)
            cmf_tree_decode_row(t, stack, o, target + ((size_t)stack * t->outputs + o) * t->inputs, scratch);
    allocator.release(allocator.user, scratch, scratch_size);
    return CMF_OK;
}
