/* Opening, closing and describing models. */
#include "base/bytes.h"
#include "base/model.h"
#include "api/allocator.h"
#include "container/container.h"
#include "encodings/encoding.h"
#include "kernels/linear.h"

/* ------------------------------------------------------------------ opening */

void cmf_open_options_default(cmf_open_options *options) {
    memset(options, 0, sizeof *options);
    options->verify = CMF_VERIFY_STRUCTURE;
}

static cmf_status model_options(const cmf_open_options *given, cmf_open_options *options, cmf_error *error) {
    if (given) *options = *given;
    else cmf_open_options_default(options);
    CMF_REQUIRE(options->verify == CMF_VERIFY_STRUCTURE || options->verify == CMF_VERIFY_FULL, CMF_E_ARGUMENT,
                "cmf_open_options.verify is %d", (int)options->verify);
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        CMF_REQUIRE(options->reserved[i] == 0u, CMF_E_ARGUMENT,
                    "cmf_open_options.reserved is not zero: fill the options with cmf_open_options_default first");
    return CMF_OK;
}

/* A caller's memory may lie anywhere: the slack to align it in. */
static size_t model_slack(const cmf_container *container) { return container->block_alignment - 1u; }

cmf_status cmf_model_memory(const void *data, size_t size, const cmf_open_options *given, size_t *needed, cmf_error *error) {
    cmf_open_options options;
    cmf_container container;
    cmf_error_clear(error);
    CMF_REQUIRE(needed, CMF_E_ARGUMENT, "needed is NULL");
    CMF_TRY(model_options(given, &options, error));
    CMF_TRY(cmf_container_open(&container, data, size, &options, error));
    *needed = container.block_size + model_slack(&container);
    return CMF_OK;
}

/* Builds the model in `block` and proves its trees. */
static cmf_status model_build(const cmf_container *container, int full, void *block, cmf_model **out, cmf_error *error) {
    cmf_model *model;
    if (full) CMF_TRY(cmf_container_checksums(container, error));
    CMF_TRY(cmf_container_build(container, block, &model, error));
    for (uint32_t i = 0; i < model->weight_count; i++) {
        const cmf_value *value = &model->values[model->weights[i]];
        cmf_status status = cmf_tree_validate(value->tree, full, error);
        if (status) return cmf_fail_in(error, status, "weight %d '%s'", (int)model->weights[i], value->name);
    }
    *out = model;
    return CMF_OK;
}

static cmf_status model_open(const void *data, size_t size, const cmf_open_options *options, cmf_model **out, cmf_error *error) {
    cmf_container container;
    cmf_allocator allocator = {0};
    cmf_model *model;
    void *block = options->memory;
    size_t block_size = options->memory_size;
    int full = options->verify == CMF_VERIFY_FULL;
    CMF_TRY(cmf_container_open(&container, data, size, options, error));
    if (block) {
        size_t skip = (size_t)(0u - (uintptr_t)block) & model_slack(&container);
        CMF_REQUIRE(block_size >= skip && block_size - skip >= container.block_size, CMF_E_MEMORY,
                    "opening takes %zu bytes, the memory has %zu", container.block_size + skip, block_size);
        CMF_TRY(model_build(&container, full, (uint8_t *)block + skip, &model, error));
    } else {
        CMF_TRY(cmf_allocator_choose(options->allocator, &allocator, error));
        block_size = container.block_size;
        block = allocator.allocate(allocator.user, block_size, container.block_alignment);
        CMF_REQUIRE(block, CMF_E_MEMORY, "%zu bytes for the model's tables could not be allocated", block_size);
        cmf_status status = model_build(&container, full, block, &model, error);
        if (status) {
            allocator.release(allocator.user, block, block_size);
            return status;
        }
        model->owns_block = 1;
    }
    model->allocator = allocator;
    model->block = block;
    model->block_size = block_size;
    *out = model;
    return CMF_OK;
}

cmf_status cmf_model_open(const void *data, size_t size, const cmf_open_options *given, cmf_model **model, cmf_error *error) {
    cmf_open_options options;
    cmf_error_clear(error);
    CMF_REQUIRE(model, CMF_E_ARGUMENT, "model is NULL");
    *model = NULL;
    CMF_TRY(model_options(given, &options, error));
    return model_open(data, size, &options, model, error);
}

/* ------------------------------------------------------------------ queries */

uint32_t cmf_model_input_count(const cmf_model *model) { return model->input_count; }
uint32_t cmf_model_output_count(const cmf_model *model) { return model->output_count; }

static void model_describe(const cmf_value *value, cmf_tensor *tensor) {
    memset(tensor, 0, sizeof *tensor);
    tensor->name = value->name;
    tensor->dtype = (cmf_dtype)value->dtype;
    tensor->rank = value->has_shape ? value->rank : -1;
    for (uint32_t i = 0; i < value->rank; i++) tensor->dims[i] = value->dims[i];
    tensor->has_affine = value->has_affine;
    tensor->scale = value->scale;
    tensor->zero_point = value->zero_point;
}

cmf_status cmf_model_input(const cmf_model *model, uint32_t index, cmf_tensor *tensor) {
    if (!model || !tensor || index >= model->input_count) return CMF_E_ARGUMENT;
    model_describe(&model->values[model->inputs[index]], tensor);
    return CMF_OK;
}

cmf_status cmf_model_output(const cmf_model *model, uint32_t index, cmf_tensor *tensor) {
    if (!model || !tensor || index >= model->output_count) return CMF_E_ARGUMENT;
    model_describe(&model->values[model->outputs[index]], tensor);
    return CMF_OK;
}

const char *cmf_model_symbol(const cmf_model *model, uint32_t k) { return k < model->symbol_count ? model->symbols[k] : NULL; }

void cmf_model_footprint(const cmf_model *model, uint64_t *file_bytes, uint64_t *resident_bytes) {
    if (file_bytes) *file_bytes = model->file_size;
    if (resident_bytes) *resident_bytes = model->resident_bytes;
}

uint32_t cmf_model_weight_count(const cmf_model *model) { return model->weight_count; }

cmf_status cmf_model_weight(const cmf_model *model, uint32_t index, cmf_weight_info *info) {
    if (!model || !info || index >= model->weight_count) return CMF_E_ARGUMENT;
    const cmf_value *value = &model->values[model->weights[index]];
    const cmf_tree *t = value->tree;
    memset(info, 0, sizeof *info);
    info->name = value->name;
    info->stack = t->stack;
    info->outputs = t->outputs;
    info->inputs = t->inputs;
    info->run = t->run;
    info->encoding = t->encoding;
    info->stored_bytes = cmf_tree_stored_bytes(t);
    info->transient_bytes = cmf_tree_transient_bytes(t);
    return CMF_OK;
}

/* ------------------------------------------------------------------ closing */

/* cmf_file.c: gives back what cmf_model_open_file mapped or read. */
void cmf_model_unmap(cmf_model *model);

void cmf_model_close(cmf_model **model) {
    if (!model || !*model) return;
    cmf_model closed = **model;
    *model = NULL;
#if !defined(CMF_FREESTANDING)
    cmf_model_unmap(&closed);
#endif
    if (closed.owns_block) closed.allocator.release(closed.allocator.user, closed.block, closed.block_size);
}
