/* Sessions: made once in one block of memory, run any number of times without allocating. */
#include <string.h>

#include "api/allocator.h"
#include "base/threads.h"
#include "kernels/array.h"
#include "kernels/isa.h"
#include "kernels/isa_kernels.h"
#include "plan/plan.h"

/* Scratch is painted with this when a session is made; what runs have changed is the high-water mark. */
#define SESSION_PAINT 0xA5

struct cmf_session {
    const cmf_model *model;
    cmf_plan plan;
    cmf_workers workers;
    cmf_parallel parallel; /* the caller's */
#ifdef CMF_THREADS
    cmf_pool *pool;
#endif
    size_t needed; /* bytes that its memory takes */
    cmf_allocator allocator;
    void *block; /* from the allocator; NULL: the caller's memory */
    size_t block_size;
};

/* ------------------------------------------------------------------ options */

void cmf_session_options_default(cmf_session_options *options) {
    memset(options, 0, sizeof *options);
}

static cmf_status session_options(const cmf_model *model, const cmf_session_options *given, cmf_session_options *options,
                                  cmf_error *error) {
    CMF_REQUIRE(model != NULL, CMF_E_ARGUMENT, "model is NULL");
    if (given != NULL)
        *options = *given;
    else
        cmf_session_options_default(options);
    CMF_REQUIRE(options->input_shapes == NULL || options->input_shape_count == model->input_count, CMF_E_ARGUMENT,
                "%u input shapes for a model of %u inputs", options->input_shape_count, model->input_count);
    CMF_REQUIRE(options->policy == CMF_POLICY_COMPACT || options->policy == CMF_POLICY_FAST, CMF_E_ARGUMENT,
                "cmf_session_options.policy is %d", (int)options->policy);
    CMF_REQUIRE(options->isa_mask == 0 || (options->isa_mask & cmf_isa_available()) != 0, CMF_E_UNSUPPORTED,
                "isa_mask 0x%x names no instruction set that this processor and build have (0x%x)", options->isa_mask,
                cmf_isa_available());
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        CMF_REQUIRE(options->reserved[i] == 0, CMF_E_ARGUMENT,
                    "cmf_session_options.reserved is not zero: fill the options with cmf_session_options_default first");
    options->threads = options->threads ? options->threads : 1u;
    CMF_REQUIRE(options->threads <= 1024u, CMF_E_ARGUMENT, "%u threads; at most 1024 are supported", options->threads);
    CMF_REQUIRE(options->parallel == NULL || options->parallel->run != NULL, CMF_E_ARGUMENT, "the parallel callback is NULL");
#ifdef CMF_THREADS
    CMF_REQUIRE(options->parallel != NULL || options->threads <= CMF_MAX_THREADS, CMF_E_ARGUMENT,
                "%u threads; a pool has at most %u", options->threads, CMF_MAX_THREADS);
#else
    CMF_REQUIRE(options->parallel != NULL || options->threads == 1u, CMF_E_UNSUPPORTED,
                "this build has no threads of its own: pass options.parallel, or 1 thread");
#endif
    return CMF_OK;
}

/* ------------------------------------------------------------------ making one */

#ifdef CMF_THREADS
static int session_has_pool(const cmf_session_options *options) {
    return options->threads > 1u && options->parallel == NULL;
}
#endif

/* Bytes of the session besides its plan. */
static size_t session_own_bytes(const cmf_session_options *options) {
    size_t bytes = cmf_size_align(sizeof(cmf_session));
#ifdef CMF_THREADS
    bytes += session_has_pool(options) ? cmf_size_align(cmf_pool_size(options->threads)) : 0u;
#else
    (void)options;
#endif
    return bytes;
}

/* Plans in `memory`. *needed (with slack to align) is set as soon as it is known, else 0. */
static cmf_status session_measure(const cmf_model *model, const cmf_session_options *options, void *memory, size_t size,
                                  cmf_arena *block, cmf_session **out, void **pool, size_t *needed, cmf_error *error) {
    *needed = 0;
    cmf_arena_init(block, memory, size);
    cmf_session *session = cmf_arena_low(block, sizeof *session);
    *pool = NULL;
    CMF_REQUIRE(session != NULL, CMF_E_MEMORY, "not enough memory for planning");
#ifdef CMF_THREADS
    if (session_has_pool(options)) {
        *pool = cmf_arena_low(block, cmf_pool_size(options->threads));
        CMF_REQUIRE(*pool != NULL, CMF_E_MEMORY, "not enough memory for planning");
    }
#endif
    session->model = model;
    session->workers.threads = options->threads;
    const cmf_plan_options plan = {.input_shapes = options->input_shapes,
                                   .isa = cmf_isa_select(options->isa_mask),
                                   .workers = &session->workers,
                                   .policy = options->policy};
    CMF_TRY(cmf_plan_measure(&session->plan, model, &plan, block, error));
    *needed = session->plan.needed + (CMF_ALIGN - 1u);
    session->needed = *needed;
    CMF_REQUIRE(options->max_memory == 0 || *needed <= options->max_memory, CMF_E_CAPACITY,
                "the session takes %zu bytes, max_memory allows %llu", *needed, (unsigned long long)options->max_memory);
    CMF_REQUIRE(options->max_work == 0 || session->plan.work <= options->max_work, CMF_E_CAPACITY,
                "a run takes %llu operations, max_work allows %llu", (unsigned long long)session->plan.work,
                (unsigned long long)options->max_work);
    *out = session;
    return CMF_OK;
}

/* Measures in memory that is given back again; more of it where planning turns out to need more. */
static cmf_status session_measure_apart(const cmf_model *model, const cmf_session_options *options,
                                        const cmf_allocator *allocator, size_t *needed, cmf_error *error) {
    size_t least, most, known = (size_t)4096;
    cmf_plan_bounds(model, &least, &most);
    const size_t own = session_own_bytes(options) + CMF_ALIGN;
    for (;;) {
        const size_t size = own + (most - least <= known ? most : least + known);
        void *memory = allocator->allocate(allocator->user, size, CMF_ALIGN);
        CMF_REQUIRE(memory != NULL, CMF_E_MEMORY, "%zu bytes for planning could not be allocated", size);
        cmf_arena block;
        cmf_session *session;
        void *pool;
        cmf_status status = session_measure(model, options, memory, size, &block, &session, &pool, needed, error);
        allocator->release(allocator->user, memory, size);
        if (status != CMF_E_MEMORY || *needed != 0 || known >= most - least)
            return status;
        cmf_error_clear(error);
        known *= 8u;
    }
}

static void session_end(cmf_session *session) {
#ifdef CMF_THREADS
    cmf_pool_stop(session->pool);
#else
    (void)session;
#endif
}

/* Makes a session in memory that is large enough, or fails. */
static cmf_status session_build(const cmf_model *model, const cmf_session_options *options, void *memory, size_t size,
                                cmf_session **out, cmf_error *error) {
    cmf_arena block;
    cmf_session *session;
    void *pool;
    size_t needed;
    cmf_status status = session_measure(model, options, memory, size, &block, &session, &pool, &needed, error);
    if (status == CMF_E_MEMORY && needed == 0)
        return cmf_fail_in(error, status, "a session in %zu bytes (cmf_session_memory tells how many it takes)", size);
    CMF_TRY(status);
    CMF_REQUIRE(session->plan.needed <= block.size, CMF_E_MEMORY, "the session takes %zu bytes, the memory has %zu", needed, size);
    if (options->parallel != NULL) {
        session->parallel = *options->parallel;
        session->workers.parallel = &session->parallel;
    }
#ifdef CMF_THREADS
    if (pool != NULL) {
        CMF_TRY(cmf_pool_start(pool, options->threads, &session->pool, error));
        session->workers.parallel = cmf_pool_parallel(session->pool);
    }
#endif
    status = cmf_plan_place(&session->plan, &block, error);
    if (status != CMF_OK) {
        session_end(session);
        return status;
    }
    if (session->plan.scratch_bytes > 0)
        memset(session->plan.scratch, SESSION_PAINT, session->plan.scratch_bytes);
    for (uint32_t i = 0; i < model->input_count; i++) {
        const cmf_array *input = &session->plan.values[model->inputs[i]];
        memset(input->data, 0, cmf_array_bytes(input));
    }
    *out = session;
    return CMF_OK;
}

cmf_status cmf_session_memory(const cmf_model *model, const cmf_session_options *given, size_t *needed, cmf_error *error) {
    cmf_session_options options;
    cmf_allocator allocator;
    cmf_error_clear(error);
    CMF_REQUIRE(needed != NULL, CMF_E_ARGUMENT, "needed is NULL");
    CMF_TRY(session_options(model, given, &options, error));
#ifdef CMF_FREESTANDING
    if (options.allocator == NULL && options.memory != NULL) { /* plans in the caller's memory */
        cmf_arena block;
        cmf_session *session;
        void *pool;
        return session_measure(model, &options, options.memory, options.memory_size, &block, &session, &pool, needed, error);
    }
#endif
    CMF_TRY(cmf_allocator_choose(options.allocator, &allocator, error));
    return session_measure_apart(model, &options, &allocator, needed, error);
}

cmf_status cmf_session_create(const cmf_model *model, const cmf_session_options *given, cmf_session **session,
                              cmf_error *error) {
    cmf_session_options options;
    cmf_allocator allocator;
    size_t size;
    cmf_error_clear(error);
    CMF_REQUIRE(session != NULL, CMF_E_ARGUMENT, "session is NULL");
    *session = NULL;
    CMF_TRY(session_options(model, given, &options, error));
    if (options.memory != NULL)
        return session_build(model, &options, options.memory, options.memory_size, session, error);
    CMF_TRY(cmf_allocator_choose(options.allocator, &allocator, error));
    CMF_TRY(session_measure_apart(model, &options, &allocator, &size, error));
    void *block = allocator.allocate(allocator.user, size, CMF_ALIGN);
    CMF_REQUIRE(block != NULL, CMF_E_MEMORY, "%zu bytes for the session could not be allocated", size);
    cmf_status status = session_build(model, &options, block, size, session, error);
    if (status != CMF_OK) {
        allocator.release(allocator.user, block, size);
        return status;
    }
    (*session)->allocator = allocator;
    (*session)->block = block;
    (*session)->block_size = size;
    return CMF_OK;
}

void cmf_session_close(cmf_session **session) {
    if (session == NULL || *session == NULL)
        return;
    cmf_session *closed = *session;
    *session = NULL;
    session_end(closed);
    if (closed->block != NULL) {
        const cmf_allocator allocator = closed->allocator; /* the session lies in the block */
        allocator.release(allocator.user, closed->block, closed->block_size);
    }
}

/* ------------------------------------------------------------------ using one */

static void session_describe(const cmf_session *session, int32_t id, cmf_tensor *tensor) {
    const cmf_array *array = &session->plan.values[id];
    memset(tensor, 0, sizeof *tensor);
    tensor->name = session->model->values[id].name;
    tensor->dtype = (cmf_dtype)array->dtype;
    tensor->rank = array->rank;
    for (uint32_t d = 0; d < array->rank; d++)
        tensor->dims[d] = array->dims[d];
    tensor->has_affine = array->has_affine;
    tensor->scale = array->scale;
    tensor->zero_point = array->zero_point;
    tensor->data = array->data;
    tensor->size = cmf_array_bytes(array);
}

cmf_status cmf_session_input(cmf_session *session, uint32_t index, cmf_tensor *tensor) {
    if (session == NULL || tensor == NULL || index >= session->model->input_count)
        return CMF_E_ARGUMENT;
    session_describe(session, session->model->inputs[index], tensor);
    return CMF_OK;
}

cmf_status cmf_session_output(cmf_session *session, uint32_t index, cmf_tensor *tensor) {
    if (session == NULL || tensor == NULL || index >= session->model->output_count)
        return CMF_E_ARGUMENT;
    session_describe(session, session->model->outputs[index], tensor);
    return CMF_OK;
}

cmf_status cmf_session_set_input(cmf_session *session, uint32_t index, const void *data, size_t size, cmf_error *error) {
    cmf_tensor tensor;
    cmf_error_clear(error);
    CMF_REQUIRE(session != NULL, CMF_E_ARGUMENT, "session is NULL");
    CMF_REQUIRE(index < session->model->input_count, CMF_E_ARGUMENT, "input %u of a model of %u inputs", index,
                session->model->input_count);
    session_describe(session, session->model->inputs[index], &tensor);
    CMF_REQUIRE(size == tensor.size, CMF_E_ARGUMENT, "input '%s' takes %zu bytes, not %zu", tensor.name, tensor.size, size);
    CMF_REQUIRE(data != NULL || size == 0, CMF_E_ARGUMENT, "data is NULL");
    if (size > 0)
        memcpy(tensor.data, data, size);
    return CMF_OK;
}

cmf_status cmf_session_run(cmf_session *session, cmf_error *error) {
    cmf_error_clear(error);
    CMF_REQUIRE(session != NULL, CMF_E_ARGUMENT, "session is NULL");
    return cmf_plan_run(&session->plan, error);
}

cmf_status cmf_session_run_node(cmf_session *session, uint32_t index, cmf_error *error) {
    cmf_error_clear(error);
    CMF_REQUIRE(session != NULL, CMF_E_ARGUMENT, "session is NULL");
    CMF_REQUIRE(index < session->model->node_count, CMF_E_ARGUMENT, "node %u of a model of %u nodes", index,
                session->model->node_count);
    return cmf_plan_run_node(&session->plan, index, error);
}

/* ------------------------------------------------------------------ looking inside */

uint32_t cmf_session_node_count(const cmf_session *session) { return session->model->node_count; }

const char *cmf_session_isa(const cmf_session *session) { return session->plan.options.isa->name; }

static uint64_t session_weight_bytes(const cmf_op_call *call, const cmf_tree *tree) {
    const uint64_t stored = cmf_tree_stored_bytes(tree);
    if (call->node->op != CMF_FB_OP_GATHER)
        return stored;
    const uint64_t all = (uint64_t)tree->stack * tree->outputs, read = cmf_array_count(call->outputs[0]) / tree->inputs;
    return read >= all ? stored : (uint64_t)((double)stored * (double)read / (double)all);
}

cmf_status cmf_session_node(cmf_session *session, uint32_t index, cmf_node_info *info) {
    static const char *const computes[CMF_FB_COMPUTE_COUNT] = {"f32", "int8_static", "int8_dynamic"};
    if (session == NULL || info == NULL || index >= session->model->node_count)
        return CMF_E_ARGUMENT;
    const cmf_plan *plan = &session->plan;
    const cmf_op_call call = cmf_plan_call(plan, index, NULL);
    const cmf_op *op = cmf_op_get(call.node->op);
    cmf_way way = {"", ""};
    memset(info, 0, sizeof *info);
    if (op->way != NULL) {
        op->way(&call, &way);
        info->compute = computes[call.node->compute];
    } else {
        info->compute = "";
    }
    info->name = call.node->name;
    info->op = op->name;
    info->method = way.method;
    info->weights = way.weights;
    info->runs = !plan->done[index];
    info->work = cmf_plan_node_work(op, &call);
    for (uint32_t i = 0; i < call.node->input_count; i++) {
        const cmf_array *input = call.inputs[i];
        if (input != NULL && input->tree != NULL)
            info->weight_bytes += session_weight_bytes(&call, input->tree);
        else if (input != NULL)
            info->input_bytes += cmf_array_bytes(input);
    }
    for (uint32_t i = 0; i < call.node->output_count; i++)
        info->output_bytes += cmf_array_bytes(call.outputs[i]);
    return CMF_OK;
}

void cmf_session_get_footprint(const cmf_session *session, cmf_session_footprint *footprint) {
    const cmf_plan *plan = &session->plan;
    memset(footprint, 0, sizeof *footprint);
    footprint->total = session->needed;
    footprint->arena = plan->arena_bytes;
    footprint->scratch = plan->scratch_bytes;
    footprint->copies = plan->kept_bytes;
    footprint->work = plan->work;
    size_t used = plan->scratch_bytes;
    while (used > 0 && ((const uint8_t *)plan->scratch)[used - 1u] == SESSION_PAINT)
        used--;
    footprint->scratch_used = used;
}
