/* Every op but Conv and MatMul on random nodes, most of them wrong: what infer accepts must run inside its tensors, whose heap blocks
 * end where they end; what it refuses must come with a sentence. Then the refusals that have to be there, one by one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/model.h"
#include "kernels/array.h"
#include "kernels/isa.h"

static int failures, checks;

#define CHECK(condition, ...)                                      \
    do {                                                           \
        checks++;                                                  \
        if (!(condition) && failures++ < 30) {                     \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                   \
            printf("\n");                                          \
        }                                                          \
    } while (0)

static uint32_t chance_state = 2463534242u;
static uint32_t chance(uint32_t n) {
    chance_state = chance_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)chance_state * n) >> 32);
}

enum { MOST_INPUTS = 5, MOST_ELEMENTS = 1 << 14 };

typedef struct one {
    cmf_node node;
    cmf_array inputs[MOST_INPUTS], output;
    const cmf_array *in[MOST_INPUTS];
    cmf_array *out[1];
    int32_t ids[MOST_INPUTS + 1];
    cmf_error error;
    cmf_workers workers;
    cmf_op_call call;
} one;

static void one_init(one *o, uint16_t op, uint16_t inputs) {
    memset(o, 0, sizeof *o);
    o->node = (cmf_node){.name = "n", .op = op, .input_count = inputs, .output_count = 1, .inputs = o->ids, .outputs = o->ids,
                         .options = {.kernel = {1, 1}, .strides = {1, 1}, .dilations = {1, 1}, .group = 1, .keepdims = 1,
                                     .end = INT32_MAX}};
    for (int i = 0; i < MOST_INPUTS; i++) o->in[i] = &o->inputs[i];
    o->out[0] = &o->output;
    o->workers.threads = 1;
    o->call = (cmf_op_call){.node = &o->node, .inputs = o->in, .outputs = o->out, .isa = cmf_isa_select(0),
                            .workers = &o->workers, .error = &o->error};
    o->output.dtype = CMF_F32;
    o->output.scale = 1.0f;
}

static void one_free(one *o) {
    for (int i = 0; i < MOST_INPUTS; i++) free(o->inputs[i].data);
    free(o->output.data);
}

/* A block of exactly `size` bytes whose start is aligned to 4 only. */
static void *exact(size_t size) { return malloc(size ? size : 1u); }

/* Infers, and where that succeeds runs in exact memory. */
static cmf_status one_run(one *o) {
    const cmf_op *op = cmf_op_get(o->node.op);
    const uint8_t declared = o->output.dtype;
    cmf_error_clear(&o->error);
    cmf_status status = op->infer(&o->call);
    if (status == CMF_OK && o->output.dtype != declared) /* as the planner does */
        status = cmf_fail(&o->error, CMF_E_DTYPE, "another type than declared");
    if (status != CMF_OK || cmf_array_count(&o->output) > MOST_ELEMENTS * 16u) return status;
    if (op->scratch) status = op->scratch(&o->call, &o->call.scratch_size);
    if (status != CMF_OK || o->call.scratch_size > 1u << 24) return status;
    if (op->work) (void)op->work(&o->call);
    void *scratch = aligned_alloc(64, o->call.scratch_size / 64u * 64u + 64u);
    free(o->output.data);
    o->output.data = exact(cmf_array_bytes(&o->output));
    o->call.scratch = scratch;
    status = cmf_op_run(op, &o->call);
    free(scratch);
    return status;
}

/* ------------------------------------------------------------------ random nodes */

static const uint8_t dtypes[] = {CMF_F32, CMF_F32, CMF_F32, CMF_I8, CMF_I8, CMF_I64, CMF_I64, CMF_I32, CMF_BOOL,
                                 CMF_F16, CMF_U8,  CMF_F64, CMF_U64, CMF_BF16, CMF_I16, CMF_U32};

/* May elements of a type stand for reals? As the reader lets through. */
static int may_have_affine(uint8_t dtype) {
    return dtype == CMF_I8 || dtype == CMF_U8 || dtype == CMF_I16 || dtype == CMF_U16 || dtype == CMF_I32;
}

static void random_array(cmf_array *a, int like_shape) {
    memset(a, 0, sizeof *a);
    a->dtype = like_shape && chance(8) ? CMF_I64 : dtypes[chance(sizeof dtypes)];
    a->rank = (uint8_t)(like_shape && chance(8) ? chance(2) : chance(chance(8) ? 5u : CMF_MAX_RANK + 1u));
    for (uint32_t d = 0; d < a->rank; d++) a->dims[d] = (int32_t)(chance(20) == 0 ? 0u : chance(4) == 0 ? 1u : 1u + chance(5));
    a->scale = 1.0f;
    if (may_have_affine(a->dtype) && chance(8)) {
        a->has_affine = 1;
        a->scale = chance(9) ? 0.05f : 1e-38f;
        a->zero_point = (int32_t)chance(256) - (a->dtype == CMF_I8 ? 128 : 0);
    }
    a->known = like_shape || chance(4) == 0;
    const size_t bytes = cmf_array_bytes(a);
    a->data = exact(bytes);
    uint8_t *p = a->data;
    for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)chance(256);
    /* mostly numbers that make sense */
    for (size_t i = 0; i < cmf_array_count(a); i++) {
        const int wild = chance(40) == 0;
        if (a->dtype == CMF_I64 && !wild) ((cmf_i64 *)a->data)[i] = (int64_t)chance(9) - 3;
        if (a->dtype == CMF_I32 && !wild) ((int32_t *)a->data)[i] = (int32_t)chance(9) - 3;
        if (a->dtype == CMF_F32 && !wild) ((float *)a->data)[i] = (float)chance(2000) / 256.0f - 4.0f;
    }
}

static void random_options(cmf_node *node) {
    cmf_node_options *o = &node->options;
    /* the ranges that the reader lets through */
    for (int i = 0; i < 2; i++) {
        o->kernel[i] = chance(30) ? 1u + chance(4) : 1u + chance(32767);
        o->strides[i] = chance(30) ? 1u + chance(3) : 1u + chance(32767);
        o->dilations[i] = chance(30) ? 1u + chance(2) : 1u + chance(32767);
    }
    for (int i = 0; i < 4; i++) o->pads[i] = chance(2) ? 0u : chance(30) ? chance(3) : chance(32768);
    o->axis = (int32_t)chance(chance(4) ? 4u : 16u) - (chance(4) ? 2 : 8);
    o->start = (int32_t)chance(12) - 6;
    o->end = chance(2) ? INT32_MAX : (int32_t)chance(12) - 6;
    o->epsilon = 1e-5f;
    o->alpha = 0.25f;
    o->beta = 0.5f;
    o->axes_count = (uint8_t)chance(4);
    for (int i = 0; i < CMF_MAX_RANK; i++) {
        o->axes[i] = (int8_t)((int)chance(6) - 3);
        o->perm[i] = (uint8_t)i;
    }
    o->perm_count = (uint8_t)chance(6);
    for (uint32_t i = o->perm_count; i > 1; i--) {
        const uint32_t j = chance(i);
        const uint8_t held = o->perm[i - 1];
        o->perm[i - 1] = o->perm[j];
        o->perm[j] = held;
    }
    o->keepdims = (uint8_t)chance(2);
    o->ceil_mode = (uint8_t)chance(2);
    o->count_include_pad = (uint8_t)chance(2);
    o->mode = (uint8_t)chance(3);
    o->coordinates = (uint8_t)chance(4);
    o->gelu_tanh = (uint8_t)chance(2);
}

/* Inputs of an op that decide shapes. */
static int is_like_shape(uint16_t op, uint32_t input) {
    switch (op) {
    case CMF_FB_OP_SLICE:
    case CMF_FB_OP_RESHAPE:
    case CMF_FB_OP_EXPAND:
    case CMF_FB_OP_RESIZE: return input >= 1;
    case CMF_FB_OP_PAD: return input == 1 || input == 3;
    case CMF_FB_OP_RANGE: return 1;
    default: return 0;
    }
}

static void test_random_nodes(int rounds) {
    int accepted[CMF_FB_OP_COUNT] = {0};
    for (int round = 0; round < rounds; round++)
        for (uint16_t id = 1; id < CMF_FB_OP_COUNT; id++) {
            if (id == CMF_FB_OP_CONV || id == CMF_FB_OP_MATMUL) continue;
            const cmf_op *op = cmf_op_get(id);
            if (!op || op->id != id) {
                CHECK(0, "op %u has no record of its own", id);
                continue;
            }
            const uint32_t most = op->max_inputs > MOST_INPUTS ? MOST_INPUTS : op->max_inputs;
            one o;
            one_init(&o, id, (uint16_t)(op->min_inputs + chance(most - op->min_inputs + 1u)));
            random_options(&o.node);
            for (uint32_t i = 0; i < o.node.input_count; i++) {
                random_array(&o.inputs[i], is_like_shape(id, i));
                if (i > 0 && chance(3) && !is_like_shape(id, i)) { /* like the first */
                    free(o.inputs[i].data);
                    o.inputs[i] = o.inputs[0];
                    o.inputs[i].data = exact(cmf_array_bytes(&o.inputs[0]));
                    memcpy(o.inputs[i].data, o.inputs[0].data, cmf_array_bytes(&o.inputs[0]));
                }
                if (i >= op->min_inputs && chance(4) == 0) o.in[i] = NULL;
            }
            if (id == CMF_FB_OP_SHAPE) o.output.dtype = CMF_I64;
            else if (id == CMF_FB_OP_NOT || id == CMF_FB_OP_ISNAN || (id >= CMF_FB_OP_EQUAL && id <= CMF_FB_OP_OR)) o.output.dtype = CMF_BOOL;
            else o.output.dtype = chance(3) ? o.inputs[0].dtype : dtypes[chance(sizeof dtypes)];
            if (may_have_affine(o.output.dtype) && chance(8)) {
                o.output.has_affine = 1;
                o.output.scale = chance(3) ? 0.05f : 3.0f;
                o.output.zero_point = (int32_t)chance(256) - (o.output.dtype == CMF_I8 ? 128 : 0);
            }
            const cmf_status status = one_run(&o);
            accepted[id] += status == CMF_OK;
            CHECK(status == CMF_OK || (o.error.status == status && o.error.message[0]), "op %s refuses without a sentence",
                  op->name);
            one_free(&o);
        }
    for (uint16_t id = 1; id < CMF_FB_OP_COUNT; id++)
        CHECK(id == CMF_FB_OP_CONV || id == CMF_FB_OP_MATMUL || accepted[id] >= rounds / 300, "only %d of %d nodes of op %u are legal",
              accepted[id], rounds, id);
}

/* ------------------------------------------------------------------ refusals */

static void give(one *o, int input, uint8_t dtype, int rank, const int32_t *dims) {
    cmf_array *a = &o->inputs[input];
    a->dtype = dtype;
    a->rank = (uint8_t)rank;
    a->scale = 1.0f;
    for (int d = 0; d < rank; d++) a->dims[d] = dims[d];
    free(a->data);
    a->data = calloc(cmf_array_count(a) + 1u, 8);
}
static void give_numbers(one *o, int input, int count, const int64_t *numbers) {
    const int32_t dims[1] = {count};
    give(o, input, CMF_I64, 1, dims);
    o->inputs[input].known = 1;
    memcpy(o->inputs[input].data, numbers, (size_t)count * sizeof *numbers);
}
static void refused(one *o, cmf_status status, const char *part) {
    cmf_status got = one_run(o);
    CHECK(got == status && strstr(o->error.message, part), "op %u: %s '%s', not %s '%s'", o->node.op, cmf_status_name(got),
          got ? o->error.message : "", cmf_status_name(status), part);
}

static void test_refusals(void) {
    const int32_t two[] = {2, 3}, four[] = {1, 4, 4, 2}, three[] = {3};
    one o;

    one_init(&o, CMF_FB_OP_ADD, 2);
    give(&o, 0, CMF_F32, 2, two), give(&o, 1, CMF_F32, 1, two);
    refused(&o, CMF_E_SHAPE, "do not broadcast");
    give(&o, 1, CMF_I64, 1, three);
    refused(&o, CMF_E_DTYPE, "f32 and i64");
    one_free(&o);

    one_init(&o, CMF_FB_OP_DIV, 2);
    give(&o, 0, CMF_I64, 1, three), give(&o, 1, CMF_I64, 1, three);
    o.output.dtype = CMF_I64;
    refused(&o, CMF_E_ARGUMENT, "divided by zero");
    one_free(&o);

    one_init(&o, CMF_FB_OP_RESHAPE, 2);
    give(&o, 0, CMF_F32, 2, two);
    give_numbers(&o, 1, 2, (int64_t[]){4, -1});
    refused(&o, CMF_E_SHAPE, "6 elements");
    give_numbers(&o, 1, 2, (int64_t[]){-1, -1});
    refused(&o, CMF_E_SHAPE, "both -1");
    give_numbers(&o, 1, 3, (int64_t[]){2, 3, 0});
    refused(&o, CMF_E_SHAPE, "copied");
    give_numbers(&o, 1, 2, (int64_t[]){INT64_MAX, 1});
    refused(&o, CMF_E_SHAPE, "dimension 0");
    give_numbers(&o, 1, 3, (int64_t[]){INT32_MAX, INT32_MAX, INT32_MAX});
    refused(&o, CMF_E_LIMIT, "2^40");
    o.inputs[1].known = 0;
    refused(&o, CMF_E_UNSUPPORTED, "depends on the data");
    one_free(&o);

    one_init(&o, CMF_FB_OP_EXPAND, 2);
    give(&o, 0, CMF_F32, 0, NULL);
    give_numbers(&o, 1, 3, (int64_t[]){INT32_MAX, INT32_MAX, INT32_MAX});
    refused(&o, CMF_E_LIMIT, "2^40");
    give_numbers(&o, 1, 3, (int64_t[]){1 << 30, 1 << 10, 1 << 24}); /* 2^64 elements */
    refused(&o, CMF_E_LIMIT, "2^40");
    give_numbers(&o, 1, 9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1});
    refused(&o, CMF_E_LIMIT, "rank 9");
    give_numbers(&o, 1, 1, (int64_t[]){-2});
    refused(&o, CMF_E_SHAPE, "-2");
    one_free(&o);

    one_init(&o, CMF_FB_OP_SLICE, 5);
    give(&o, 0, CMF_F32, 2, two);
    give_numbers(&o, 1, 1, (int64_t[]){0}), give_numbers(&o, 2, 1, (int64_t[]){1});
    give_numbers(&o, 3, 1, (int64_t[]){2}), give_numbers(&o, 4, 1, (int64_t[]){1});
    refused(&o, CMF_E_SHAPE, "axis 2");
    give_numbers(&o, 3, 1, (int64_t[]){INT64_MIN});
    refused(&o, CMF_E_SHAPE, "axis");
    give_numbers(&o, 3, 1, (int64_t[]){1}), give_numbers(&o, 4, 1, (int64_t[]){0});
    refused(&o, CMF_E_ARGUMENT, "step");
    give_numbers(&o, 4, 2, (int64_t[]){1, 1});
    refused(&o, CMF_E_SHAPE, "'steps' has 2");
    one_free(&o);

    one_init(&o, CMF_FB_OP_MAXPOOL, 1);
    give(&o, 0, CMF_F32, 4, four);
    o.node.options.kernel[0] = 5;
    refused(&o, CMF_E_SHAPE, "does not fit");
    o.node.options.pads[0] = 5;
    refused(&o, CMF_E_UNSUPPORTED, "padding 5");
    give(&o, 0, CMF_F32, 2, two);
    refused(&o, CMF_E_SHAPE, "rank 2");
    one_free(&o);

    one_init(&o, CMF_FB_OP_TRANSPOSE, 1);
    give(&o, 0, CMF_F32, 2, two);
    o.node.options.perm_count = 2;
    refused(&o, CMF_E_GRAPH, "permutation");
    o.node.options.perm_count = 3;
    refused(&o, CMF_E_SHAPE, "3 entries");
    one_free(&o);

    one_init(&o, CMF_FB_OP_PAD, 2);
    give(&o, 0, CMF_F32, 2, two);
    o.node.options.mode = CMF_FB_PADMODE_REFLECT;
    give_numbers(&o, 1, 4, (int64_t[]){2, 0, 0, 0});
    refused(&o, CMF_E_SHAPE, "padding 2");
    give_numbers(&o, 1, 4, (int64_t[]){-2, 0, -1, 0});
    refused(&o, CMF_E_SHAPE, "more is taken");
    give_numbers(&o, 1, 4, (int64_t[]){INT64_MIN, 0, 0, 0});
    refused(&o, CMF_E_LIMIT, "padding");
    give_numbers(&o, 1, 3, (int64_t[]){1, 1, 1});
    refused(&o, CMF_E_SHAPE, "3 pads");
    one_free(&o);

    one_init(&o, CMF_FB_OP_RESIZE, 2);
    give(&o, 0, CMF_F32, 2, two);
    give_numbers(&o, 1, 2, (int64_t[]){0, 3});
    refused(&o, CMF_E_SHAPE, "dimension 0");
    give_numbers(&o, 1, 1, (int64_t[]){2});
    refused(&o, CMF_E_SHAPE, "1 sizes");
    one_free(&o);

    one_init(&o, CMF_FB_OP_RANGE, 3);
    for (int i = 0; i < 3; i++) give_numbers(&o, i, 1, (int64_t[]){i == 1 ? INT64_MAX : 0});
    o.output.dtype = CMF_I64;
    refused(&o, CMF_E_ARGUMENT, "step is 0");
    give_numbers(&o, 2, 1, (int64_t[]){1});
    refused(&o, CMF_E_LIMIT, "2^31");
    one_free(&o);

    one_init(&o, CMF_FB_OP_CONCAT, 2);
    give(&o, 0, CMF_F32, 2, two), give(&o, 1, CMF_F32, 1, three);
    refused(&o, CMF_E_SHAPE, "rank 1");
    give(&o, 1, CMF_I64, 2, two);
    refused(&o, CMF_E_DTYPE, "i64");
    o.node.options.axis = 2;
    refused(&o, CMF_E_SHAPE, "axis 2");
    one_free(&o);

    one_init(&o, CMF_FB_OP_GATHERND, 2);
    give(&o, 0, CMF_F32, 2, two), give(&o, 1, CMF_I64, 1, three);
    refused(&o, CMF_E_SHAPE, "3 numbers");
    give(&o, 1, CMF_F32, 1, two);
    refused(&o, CMF_E_DTYPE, "f32");
    one_free(&o);

    one_init(&o, CMF_FB_OP_REDUCESUM, 1);
    give(&o, 0, CMF_F32, 2, two);
    o.node.options.axes_count = 2;
    refused(&o, CMF_E_GRAPH, "twice");
    o.node.options.axes[0] = 5;
    refused(&o, CMF_E_SHAPE, "axis 5");
    one_free(&o);

    one_init(&o, CMF_FB_OP_QUANTIZELINEAR, 1);
    give(&o, 0, CMF_F32, 2, two);
    refused(&o, CMF_E_DTYPE, "i8 with a scale");
    one_free(&o);

    one_init(&o, CMF_FB_OP_LAYERNORMALIZATION, 2);
    give(&o, 0, CMF_F32, 2, two), give(&o, 1, CMF_F32, 1, two);
    o.node.options.axis = -1;
    refused(&o, CMF_E_SHAPE, "2 elements, not 3");
    one_free(&o);
}

/* Integers with scales that are not i8 are moved as they are, whatever scale the output declares. */
static void test_other_integers(void) {
    static const uint8_t types[] = {CMF_U8, CMF_I16, CMF_U16, CMF_I32};
    const int32_t dims[] = {2, 3};
    for (size_t k = 0; k < sizeof types; k++) {
        one o;
        for (int where = 0; where < 2; where++) {
            one_init(&o, where ? CMF_FB_OP_WHERE : CMF_FB_OP_RESIZE, where ? 3 : 2);
            for (int i = 0; i < 3; i++) {
                give(&o, i, types[k], 2, dims);
                memset(o.inputs[i].data, 7 + i, cmf_array_bytes(&o.inputs[i]));
                o.inputs[i].has_affine = 1;
            }
            if (where) give(&o, 0, CMF_BOOL, 2, dims);
            else give_numbers(&o, 1, 2, (int64_t[]){2, 3});
            o.output.dtype = types[k];
            o.output.has_affine = 1;
            o.output.scale = 2.0f;
            CHECK(one_run(&o) == CMF_OK && memcmp(o.output.data, o.inputs[where ? 2 : 0].data, cmf_array_bytes(&o.output)) == 0,
                  "type %u: %s", types[k], o.error.message);
            one_free(&o);
        }
    }
}

static void test_work(void) {
    const int32_t dims[] = {2, 3};
    one o;
    one_init(&o, CMF_FB_OP_MAX, 4);
    for (int i = 0; i < 4; i++) give(&o, i, CMF_F32, 2, dims);
    CHECK(one_run(&o) == CMF_OK && cmf_op_get(CMF_FB_OP_MAX)->work(&o.call) == 18u, "three comparisons each");
    one_free(&o);
}

int main(int argc, char **argv) {
    test_refusals();
    test_other_integers();
    test_work();
    test_random_nodes(argc > 1 ? atoi(argv[1]) : 3000);
    printf("%d checks, %d failures\n", checks, failures);
    if (failures == 0) printf("ok\n");
    return failures != 0;
}
