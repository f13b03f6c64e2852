/* Sessions over models built by hand: planning, memory, threads, errors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/model.h"
#include "base/schema_ids.h"
#include "kernels/array.h"
#include "kernels/isa.h"
#include "plan/plan.h"

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

/* ------------------------------------------------------------------ models by hand */

enum { MAX_VALUES = 256, MAX_NODES = 128, MAX_ENDS = 8 };

typedef struct net {
    cmf_model model;
    cmf_value values[MAX_VALUES];
    cmf_node nodes[MAX_NODES];
    int32_t ids[MAX_NODES][MAX_ENDS]; /* inputs, then the output */
    int32_t inputs[MAX_ENDS], outputs[MAX_ENDS];
    const char *symbols[2];
    int64_t numbers[MAX_VALUES][4]; /* contents of constants */
} net;

static net *net_new(void) {
    net *n = calloc(1, sizeof *n);
    if (!n) exit(2);
    n->model.name = "net";
    n->model.values = n->values;
    n->model.nodes = n->nodes;
    n->model.inputs = n->inputs;
    n->model.outputs = n->outputs;
    n->model.symbols = n->symbols;
    n->symbols[0] = "N";
    n->symbols[1] = "M";
    n->model.symbol_count = 2;
    return n;
}

/* A value of `rank` dimensions; rank -1: not declared. */
static int32_t net_value(net *n, const char *name, uint8_t dtype, int rank, const int32_t *dims) {
    cmf_value *v = &n->values[n->model.value_count];
    v->name = name;
    v->dtype = dtype;
    v->has_shape = rank >= 0;
    v->rank = (uint8_t)(rank < 0 ? 0 : rank);
    for (int d = 0; d < rank; d++) v->dims[d] = dims[d];
    return (int32_t)n->model.value_count++;
}
static int32_t net_input(net *n, const char *name, uint8_t dtype, int rank, const int32_t *dims) {
    int32_t id = net_value(n, name, dtype, rank, dims);
    n->inputs[n->model.input_count++] = id;
    return id;
}
static int32_t net_constant(net *n, const int64_t *numbers, int count) {
    const int32_t dims[1] = {count};
    int32_t id = net_value(n, "constant", CMF_I64, 1, dims);
    memcpy(n->numbers[id], numbers, (size_t)count * sizeof *numbers);
    n->values[id].data = (cmf_bytes){(const uint8_t *)n->numbers[id], (size_t)count * sizeof *numbers};
    return id;
}
static int32_t net_node(net *n, const char *name, uint16_t op, uint8_t dtype, int count, const int32_t *inputs) {
    const uint32_t k = n->model.node_count++;
    cmf_node *node = &n->nodes[k];
    const int32_t out = net_value(n, name, dtype, -1, NULL);
    memcpy(n->ids[k], inputs, (size_t)count * sizeof *inputs);
    n->ids[k][count] = out;
    *node = (cmf_node){.name = name, .op = op, .input_count = (uint16_t)count, .output_count = 1, .inputs = n->ids[k],
                       .outputs = &n->ids[k][count], .options = {.kernel = {1, 1}, .strides = {1, 1}, .dilations = {1, 1},
                                                                  .group = 1, .keepdims = 1, .axis = -1, .end = INT32_MAX}};
    return out;
}
static cmf_node *net_last(net *n) { return &n->nodes[n->model.node_count - 1u]; }
static void net_output(net *n, int32_t id) { n->outputs[n->model.output_count++] = id; }

/* ------------------------------------------------------------------ an allocator that counts, and fails when told */

typedef struct heap {
    int calls, fail_at, live;
    size_t bytes;
} heap;
static void *heap_allocate(void *user, size_t size, size_t alignment) {
    heap *h = user;
    if (++h->calls == h->fail_at) return NULL;
    h->live++;
    h->bytes += size;
    return aligned_alloc(alignment, (size + alignment - 1u) / alignment * alignment);
}
static void heap_release(void *user, void *pointer, size_t size) {
    heap *h = user;
    h->live--;
    h->bytes -= size;
    free(pointer);
}

static void expect(const cmf_model *model, const cmf_session_options *options, cmf_status status, const char *part) {
    cmf_error error;
    cmf_session *session = NULL;
    cmf_status got = cmf_session_create(model, options, &session, &error);
    CHECK(got == status, "%s instead of %s: %s", cmf_status_name(got), cmf_status_name(status), got ? error.message : "");
    CHECK(got == CMF_OK || (error.status == got && strstr(error.message, part)), "'%s' does not say '%s'", error.message, part);
    CHECK((session != NULL) == (got == CMF_OK), "a session after a failure");
    cmf_session_close(&session);
}

/* ------------------------------------------------------------------ tests */

/* x [N, 6] -> Add(x, x) -> Relu -> Reshape [2, -1] -> Transpose -> y, and Shape(x) as a second output */
static net *small_net(void) {
    net *n = net_new();
    const int32_t dims[2] = {-1, 6};
    const int64_t to[2] = {2, -1};
    const int32_t x = net_input(n, "x", CMF_F32, 2, dims);
    const int32_t a = net_node(n, "add", CMF_FB_OP_ADD, CMF_F32, 2, (int32_t[]){x, x});
    const int32_t b = net_node(n, "relu", CMF_FB_OP_RELU, CMF_F32, 1, &a);
    const int32_t shape = net_constant(n, to, 2);
    const int32_t c = net_node(n, "reshape", CMF_FB_OP_RESHAPE, CMF_F32, 2, (int32_t[]){b, shape});
    const int32_t y = net_node(n, "transpose", CMF_FB_OP_TRANSPOSE, CMF_F32, 1, &c);
    const int32_t s = net_node(n, "shape", CMF_FB_OP_SHAPE, CMF_I64, 1, &x);
    net_output(n, y);
    net_output(n, s);
    return n;
}

static void check_small(cmf_session *session, int rows) {
    cmf_tensor x, y, s;
    cmf_error error;
    CHECK(cmf_session_input(session, 0, &x) == CMF_OK && cmf_session_output(session, 0, &y) == CMF_OK &&
              cmf_session_output(session, 1, &s) == CMF_OK, "tensors");
    CHECK(x.rank == 2 && x.dims[0] == rows && x.dims[1] == 6 && x.size == (size_t)rows * 24u, "x");
    CHECK(y.rank == 2 && y.dims[0] == rows * 3 && y.dims[1] == 2 && y.dtype == CMF_F32, "y");
    CHECK(((int64_t *)s.data)[0] == rows && ((int64_t *)s.data)[1] == 6, "shape is known before a run");
    for (int run = 0; run < 3; run++) {
        float *in = x.data;
        if (run == 0)
            for (int i = 0; i < rows * 6; i++) in[i] = (float)(i % 7) - 3.0f;
        if (run == 1) in[0] = 5.0f; /* the rest stays as written */
        CHECK(cmf_session_run(session, &error) == CMF_OK, "%s", error.message);
        for (int r = 0; r < rows * 3; r++)
            for (int c = 0; c < 2; c++) {
                const int i = c * rows * 3 + r;
                const float v = i == 0 && run > 0 ? 5.0f : (float)(i % 7) - 3.0f;
                const float got = ((const float *)y.data)[r * 2 + c];
                CHECK(got == (v > 0.0f ? 2.0f * v : 0.0f), "y[%d, %d] is %g", r, c, (double)got);
            }
    }
}

static void test_memory(void) {
    net *n = small_net();
    cmf_session_options options;
    cmf_error error;
    heap h = {0};
    cmf_allocator allocator = {heap_allocate, heap_release, &h};
    cmf_shape shape = {2, {4, 6}};
    size_t needed = 0;
    cmf_session_options_default(&options);
    options.input_shapes = &shape;
    options.input_shape_count = 1;
    options.allocator = &allocator;
    CHECK(cmf_session_memory(&n->model, &options, &needed, &error) == CMF_OK && needed > 0, "%s", error.message);
    CHECK(h.live == 0, "%d blocks are left", h.live);

    /* from an allocator: nothing is allocated while running, nothing is left */
    cmf_session *session = NULL;
    CHECK(cmf_session_create(&n->model, &options, &session, &error) == CMF_OK, "%s", error.message);
    CHECK(h.live == 1 && h.bytes == needed, "%zu bytes, not %zu", h.bytes, needed);
    const int calls = h.calls;
    check_small(session, 4);
    cmf_session_footprint footprint;
    cmf_session_get_footprint(session, &footprint);
    CHECK(footprint.total == needed && footprint.scratch_used <= footprint.scratch, "footprint");
    /* x, then y; the sum, its rectified form and the reshaped view share one storage */
    CHECK(footprint.arena == 3u * cmf_size_align(4 * 6 * 4), "an arena of %llu bytes", (unsigned long long)footprint.arena);
    CHECK(h.calls == calls, "a run allocates");
    cmf_session_close(&session);
    CHECK(session == NULL && h.live == 0, "%d blocks are left", h.live);

    /* each allocation fails once */
    for (int k = 1; k <= calls; k++) {
        h = (heap){.fail_at = k};
        cmf_status status = cmf_session_create(&n->model, &options, &session, &error);
        CHECK((status == CMF_E_MEMORY) == (h.calls >= k) && h.live == (status == CMF_OK), "allocation %d", k);
        cmf_session_close(&session);
    }

    /* in the caller's memory: at any alignment, exactly as large as was said, or refused */
    uint8_t *memory = malloc(needed + 64u);
    for (size_t skip = 0; skip < 64u; skip += 7u) {
        options.memory = memory + skip;
        options.memory_size = needed;
        CHECK(cmf_session_create(&n->model, &options, &session, &error) == CMF_OK, "%s", error.message);
        if (session) check_small(session, 4);
        cmf_session_close(&session);
    }
    free(memory);
    for (size_t size = 0; size + 2u * CMF_ALIGN <= needed; size += 16u) {
        memory = malloc(size ? size : 1u);
        options.memory = memory;
        options.memory_size = size;
        CHECK(cmf_session_create(&n->model, &options, &session, &error) == CMF_E_MEMORY && session == NULL, "%zu bytes do", size);
        free(memory);
    }
    options.memory = NULL;

    h = (heap){0};
    options.max_memory = needed;
    expect(&n->model, &options, CMF_OK, "");
    options.max_memory = needed - 1u;
    expect(&n->model, &options, CMF_E_CAPACITY, "max_memory");
    options.max_memory = 0;
    options.max_work = footprint.work;
    expect(&n->model, &options, CMF_OK, "");
    options.max_work = footprint.work - 1u;
    expect(&n->model, &options, CMF_E_CAPACITY, "max_work");
    free(n);
}

static void test_arguments(void) {
    net *n = small_net();
    cmf_session_options options;
    cmf_error error;
    cmf_shape shape = {2, {4, 6}};
    cmf_session *session = NULL;
    cmf_tensor tensor;
    float x[6] = {0};
    cmf_session_options_default(&options);
    expect(&n->model, NULL, CMF_OK, ""); /* symbols are 1 */
    options.input_shapes = &shape;
    options.input_shape_count = 2;
    expect(&n->model, &options, CMF_E_ARGUMENT, "2 input shapes");
    options.input_shape_count = 1;
    shape.dims[1] = 7;
    expect(&n->model, &options, CMF_E_SHAPE, "'x'");
    shape.dims[1] = 6;
    shape.dims[0] = 0;
    expect(&n->model, &options, CMF_E_SHAPE, "'x'");
    shape = (cmf_shape){3, {4, 6, 1}};
    expect(&n->model, &options, CMF_E_SHAPE, "rank 3");
    shape.rank = 9;
    expect(&n->model, &options, CMF_E_SHAPE, "rank 0 to 8");
    options.input_shapes = NULL;
    options.isa_mask = 1u << 31;
    expect(&n->model, &options, CMF_E_UNSUPPORTED, "isa_mask");
    options.isa_mask = 1u;
    expect(&n->model, &options, CMF_OK, "");
    options.reserved[2] = 1;
    expect(&n->model, &options, CMF_E_ARGUMENT, "reserved");
    options.reserved[2] = 0;
    options.threads = 100000;
    expect(&n->model, &options, CMF_E_ARGUMENT, "threads");
    CHECK(cmf_session_create(&n->model, NULL, &session, NULL) == CMF_OK, "no error struct");
    CHECK(cmf_session_set_input(session, 0, x, sizeof x - 1u, &error) == CMF_E_ARGUMENT && strstr(error.message, "24 bytes"),
          "%s", error.message);
    CHECK(cmf_session_set_input(session, 1, x, sizeof x, &error) == CMF_E_ARGUMENT, "input 1");
    CHECK(cmf_session_set_input(session, 0, x, sizeof x, &error) == CMF_OK, "%s", error.message);
    CHECK(cmf_session_input(session, 1, &tensor) == CMF_E_ARGUMENT, "input 1");
    CHECK(cmf_session_output(session, 2, &tensor) == CMF_E_ARGUMENT, "output 2");
    cmf_session_close(&session);
    cmf_session_close(&session);
    cmf_session_close(NULL);
    free(n);
}

/* Errors name node and op. */
static void test_messages(void) {
    const int32_t dims[2] = {-1, -2}, other[2] = {-2, -1};
    net *n = net_new();
    int32_t x = net_input(n, "x", CMF_F32, 2, dims), y = net_input(n, "y", CMF_F32, 2, other);
    net_output(n, net_node(n, "join", CMF_FB_OP_CONCAT, CMF_F32, 2, (int32_t[]){x, y}));
    cmf_session_options options;
    cmf_session_options_default(&options);
    cmf_shape shapes[2] = {{2, {2, 3}}, {2, {3, 2}}};
    options.input_shapes = shapes;
    options.input_shape_count = 2;
    expect(&n->model, &options, CMF_E_SHAPE, "node 'join' (Concat): ");
    shapes[1].dims[1] = 5;
    expect(&n->model, &options, CMF_E_SHAPE, "'N' is 2 elsewhere");
    n->nodes[0].op = 9999;
    expect(&n->model, NULL, CMF_E_UNSUPPORTED, "op 9999");
    n->nodes[0].op = CMF_FB_OP_RELU;
    n->nodes[0].name = "";
    expect(&n->model, NULL, CMF_E_GRAPH, "node 0 (Relu): 2 inputs");
    n->nodes[0].op = CMF_FB_OP_ADD;
    n->ids[0][1] = CMF_NO_VALUE;
    expect(&n->model, NULL, CMF_E_GRAPH, "input 1 is absent");
    n->ids[0][1] = y;
    n->values[n->outputs[0]].dtype = CMF_I32;
    expect(&n->model, NULL, CMF_E_DTYPE, "another type");
    n->values[n->outputs[0]].dtype = CMF_F32;
    n->values[n->outputs[0]].has_shape = 1;
    n->values[n->outputs[0]].rank = 1;
    expect(&n->model, NULL, CMF_E_SHAPE, "rank");
    free(n);

    /* an index out of range fails the run, not the session */
    n = net_new();
    const int32_t table[1] = {5}, count[1] = {-1};
    x = net_input(n, "table", CMF_F32, 1, table);
    y = net_input(n, "ids", CMF_I64, 1, count);
    net_output(n, net_node(n, "look", CMF_FB_OP_GATHER, CMF_F32, 2, (int32_t[]){x, y}));
    cmf_session *session = NULL;
    cmf_error error;
    cmf_tensor tensor;
    CHECK(cmf_session_create(&n->model, NULL, &session, &error) == CMF_OK, "%s", error.message);
    const int64_t ids[] = {5, -6, INT64_MAX, INT64_MIN, -5, 4};
    for (int i = 0; i < 6; i++) {
        CHECK(cmf_session_set_input(session, 1, &ids[i], 8, &error) == CMF_OK, "%s", error.message);
        cmf_status status = cmf_session_run(session, &error);
        CHECK(status == (i < 4 ? CMF_E_ARGUMENT : CMF_OK), "index %lld", (long long)ids[i]);
        CHECK(status == CMF_OK || strstr(error.message, "node 'look' (Gather)"), "%s", error.message);
    }
    CHECK(cmf_session_output(session, 0, &tensor) == CMF_OK && tensor.size == 4, "output");
    cmf_session_close(&session);
    free(n);
}

/* Shape -> Gather -> Concat -> Reshape: evaluated when the session is made. */
static void test_shape_arithmetic(void) {
    net *n = net_new();
    const int32_t dims[3] = {-1, -2, 4};
    const int64_t zero[1] = {0}, minus[1] = {-1};
    const int32_t x = net_input(n, "x", CMF_F32, 3, dims);
    const int32_t s = net_node(n, "shape", CMF_FB_OP_SHAPE, CMF_I64, 1, &x);
    const int32_t first = net_constant(n, zero, 1), rest = net_constant(n, minus, 1);
    const int32_t g = net_node(n, "gather", CMF_FB_OP_GATHER, CMF_I64, 2, (int32_t[]){s, first});
    net_last(n)->options.axis = 0;
    const int32_t to = net_node(n, "concat", CMF_FB_OP_CONCAT, CMF_I64, 2, (int32_t[]){g, rest});
    const int32_t y = net_node(n, "reshape", CMF_FB_OP_RESHAPE, CMF_F32, 2, (int32_t[]){x, to});
    net_output(n, y);
    cmf_session_options options;
    cmf_session_options_default(&options);
    const cmf_shape shape = {3, {5, 3, 4}};
    options.input_shapes = &shape;
    options.input_shape_count = 1;
    cmf_session *session = NULL;
    cmf_error error;
    CHECK(cmf_session_create(&n->model, &options, &session, &error) == CMF_OK, "%s", error.message);
    if (session) {
        cmf_tensor in, out;
        cmf_session_footprint footprint;
        cmf_session_input(session, 0, &in);
        cmf_session_output(session, 0, &out);
        cmf_session_get_footprint(session, &footprint);
        CHECK(out.rank == 2 && out.dims[0] == 5 && out.dims[1] == 12, "[%d, %d]", (int)out.dims[0], (int)out.dims[1]);
        CHECK(out.data == in.data, "a reshaped input is a view");
        CHECK(footprint.arena == cmf_size_align(5 * 3 * 4 * 4), "%llu", (unsigned long long)footprint.arena);
    }
    cmf_session_close(&session);
    /* a shape that depends on data is refused, and the message says why */
    n->inputs[n->model.input_count++] = to;
    n->model.node_count = 0;
    n->nodes[0] = n->nodes[3];
    n->model.node_count = 1;
    n->values[to].has_shape = 1;
    n->values[to].rank = 1;
    n->values[to].dims[0] = 2;
    expect(&n->model, NULL, CMF_E_UNSUPPORTED, "'shape' depends on the data");
    free(n);
}

/* ------------------------------------------------------------------ random graphs: planned against unplanned */

enum { SIDE = 12 };

static net *random_net(void) {
    net *n = net_new();
    static const uint16_t unary[] = {CMF_FB_OP_RELU, CMF_FB_OP_NEG, CMF_FB_OP_IDENTITY, CMF_FB_OP_TRANSPOSE,
                                     CMF_FB_OP_RESHAPE, CMF_FB_OP_SOFTMAX, CMF_FB_OP_SLICE};
    static const uint16_t binary[] = {CMF_FB_OP_ADD, CMF_FB_OP_SUB, CMF_FB_OP_MAX, CMF_FB_OP_CONCAT};
    const int64_t pair[2] = {-1, SIDE}, begin[1] = {0}, end[1] = {SIDE}, axis[1] = {0};
    const int32_t dims[2] = {SIDE, SIDE};
    const int32_t shape = net_constant(n, pair, 2), starts = net_constant(n, begin, 1), ends = net_constant(n, end, 1),
                  axes = net_constant(n, axis, 1);
    int32_t pool[MAX_NODES + 2];
    int count = 0;
    for (int i = 0; i < 2; i++) pool[count++] = net_input(n, "x", CMF_F32, 2, dims);
    const int nodes = 3 + (int)chance(40);
    for (int k = 0; k < nodes; k++) {
        /* mostly recent values, so that some die early */
        const int32_t a = pool[chance(3) ? count - 1 - (int)chance((uint32_t)(count < 5 ? count : 5)) : (int)chance((uint32_t)count)];
        const int32_t b = pool[chance((uint32_t)count)];
        int32_t y;
        if (chance(2)) {
            const uint16_t op = unary[chance(7)];
            const int32_t ids[4] = {a, op == CMF_FB_OP_SLICE ? starts : shape, ends, axes};
            y = net_node(n, "unary", op, CMF_F32, op == CMF_FB_OP_SLICE ? 4 : op == CMF_FB_OP_RESHAPE ? 2 : 1, ids);
        } else {
            const uint16_t op = binary[chance(4)];
            y = net_node(n, "binary", op, CMF_F32, 2, (int32_t[]){a, b});
            if (op == CMF_FB_OP_CONCAT) { /* and back to the common shape */
                net_last(n)->options.axis = 0;
                y = net_node(n, "back", CMF_FB_OP_SLICE, CMF_F32, 4, (int32_t[]){y, starts, ends, axes});
            } else if (chance(3) == 0) {
                net_last(n)->activation = CMF_FB_ACTIVATION_RELU;
            }
        }
        pool[count++] = y;
    }
    for (int i = 0; i < 3; i++) net_output(n, pool[2 + chance((uint32_t)count - 2u)]);
    return n;
}

/* Every value in memory of its own. */
static void run_unplanned(const net *n, cmf_array *values, const float *x) {
    const cmf_workers workers = {1, NULL};
    cmf_error error;
    memset(values, 0, n->model.value_count * sizeof *values);
    for (uint32_t v = 0; v < n->model.value_count; v++) {
        const cmf_value *value = &n->values[v];
        values[v].dtype = value->dtype;
        values[v].scale = 1.0f;
        if (value->has_shape) cmf_array_set(&values[v], value->dtype, value->rank, value->dims, &error);
        if (value->data.data) {
            values[v].known = 1;
            values[v].data = malloc(value->data.size);
            memcpy(values[v].data, value->data.data, value->data.size);
        }
    }
    for (uint32_t i = 0; i < n->model.input_count; i++) {
        values[n->inputs[i]].data = malloc(SIDE * SIDE * 4);
        memcpy(values[n->inputs[i]].data, x + i * SIDE * SIDE, SIDE * SIDE * 4);
    }
    for (uint32_t k = 0; k < n->model.node_count; k++) {
        const cmf_node *node = &n->nodes[k];
        const cmf_op *op = cmf_op_get(node->op);
        const cmf_array *inputs[MAX_ENDS];
        cmf_array *outputs[1] = {&values[node->outputs[0]]};
        for (int i = 0; i < node->input_count; i++) inputs[i] = &values[node->inputs[i]];
        cmf_error_clear(&error);
        cmf_op_call call = {.node = node, .inputs = inputs, .outputs = outputs, .isa = cmf_isa_select(0), .workers = &workers,
                            .error = &error};
        CHECK(op->infer(&call) == CMF_OK, "%s", error.message);
        if (op->scratch) op->scratch(&call, &call.scratch_size);
        call.scratch = aligned_alloc(64, call.scratch_size / 64u * 64u + 64u);
        outputs[0]->data = malloc(cmf_array_bytes(outputs[0]) + 1u);
        CHECK(cmf_op_run(op, &call) == CMF_OK, "%s", error.message);
        free(call.scratch);
    }
}

static void run_nodes(cmf_session *session, const net *n) {
    cmf_session_footprint footprint;
    cmf_node_info info;
    cmf_error error;
    uint64_t work = 0;
    const uint32_t count = cmf_session_node_count(session);
    CHECK(count == n->model.node_count, "%u nodes", count);
    for (uint32_t k = 0; k < count; k++) {
        CHECK(cmf_session_node(session, k, &info) == CMF_OK, "node %u", k);
        CHECK(strcmp(info.name, n->nodes[k].name) == 0 && strcmp(info.op, cmf_op_get(n->nodes[k].op)->name) == 0, "node %u", k);
        work += info.work;
        CHECK(cmf_session_run_node(session, k, &error) == CMF_OK, "%s", error.message);
    }
    cmf_session_get_footprint(session, &footprint);
    CHECK(work == footprint.work, "work");
    CHECK(cmf_session_node(session, count, &info) == CMF_E_ARGUMENT && cmf_session_node(session, 0, NULL) == CMF_E_ARGUMENT, "arguments");
    CHECK(cmf_session_run_node(session, count, &error) == CMF_E_ARGUMENT && strstr(error.message, "nodes"), "%s", error.message);
    CHECK(cmf_session_run_node(NULL, 0, &error) == CMF_E_ARGUMENT, "no session");
}

static void test_random_graphs(void) {
    for (int round = 0; round < 400; round++) {
        net *n = random_net();
        float x[2 * SIDE * SIDE];
        static cmf_array values[MAX_VALUES];
        for (int i = 0; i < 2 * SIDE * SIDE; i++) x[i] = (float)chance(200) / 16.0f - 6.0f;
        run_unplanned(n, values, x);
        cmf_session *session = NULL;
        cmf_error error;
        CHECK(cmf_session_create(&n->model, NULL, &session, &error) == CMF_OK, "%s", error.message);
        for (int again = 0; again < 2 && session; again++) {
            if (again == 0)
                for (uint32_t i = 0; i < 2; i++) cmf_session_set_input(session, i, x + i * SIDE * SIDE, SIDE * SIDE * 4, &error);
            if (again == 0) /* node by node, then at once */
                run_nodes(session, n);
            else
                CHECK(cmf_session_run(session, &error) == CMF_OK, "%s", error.message);
            for (uint32_t i = 0; i < n->model.output_count; i++) {
                cmf_tensor y;
                cmf_session_output(session, i, &y);
                const cmf_array *own = &values[n->outputs[i]];
                CHECK(y.size == cmf_array_bytes(own) && memcmp(y.data, own->data, y.size) == 0,
                      "graph %d, output %u, run %d", round, i, again);
            }
        }
        if (session) {
            cmf_session_footprint footprint;
            cmf_session_get_footprint(session, &footprint);
            CHECK(footprint.scratch_used <= footprint.scratch, "scratch");
        }
        cmf_session_close(&session);
        for (uint32_t v = 0; v < n->model.value_count; v++) free(values[v].data);
        free(n);
    }
}

/* ------------------------------------------------------------------ packing */

static void test_pack(void) {
    enum { MOST = 60 };
    for (int round = 0; round < 300; round++) {
        plan_life lives[MOST];
        uint32_t order[MOST];
        const int count = 1 + (int)chance(MOST);
        size_t total, sum = 0, peak = 0;
        for (int i = 0; i < count; i++) {
            const int first = (int)chance(30) - 1;
            lives[i] = (plan_life){.root = chance(6) ? i : -1, .first = first, .last = first + (int)chance(8),
                                   .bytes = cmf_size_align(1u + chance(chance(4) ? 500 : 20000))};
            sum += lives[i].root == i ? lives[i].bytes : 0u;
        }
        for (int t = -1; t < 40; t++) {
            size_t alive = 0;
            for (int i = 0; i < count; i++)
                alive += lives[i].root == i && lives[i].first <= t && t <= lives[i].last ? lives[i].bytes : 0u;
            peak = alive > peak ? alive : peak;
        }
        CHECK(cmf_plan_pack(lives, (uint32_t)count, order, &total, NULL) == CMF_OK, "pack");
        CHECK(peak <= total && total <= sum, "%zu bytes for %zu alive at once, %zu in all", total, peak, sum);
        for (int i = 0; i < count; i++)
            for (int j = 0; j < i; j++) {
                const plan_life *a = &lives[i], *b = &lives[j];
                const int apart = a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset;
                const int together = a->first <= b->last && b->first <= a->last;
                CHECK(a->root != i || b->root != j || !together || apart, "values %d and %d overlap", i, j);
                CHECK(a->root != i || a->offset + a->bytes <= total, "value %d lies outside", i);
            }
    }
}

/* ------------------------------------------------------------------ threads */

static int parallel_calls;
static void parallel_backwards(void *user, cmf_task task, void *context, uint32_t count) {
    (void)user;
    parallel_calls++;
    while (count-- > 0) task(context, count, count % 3u);
}

static void test_threads(void) {
    net *n = net_new();
    const int32_t dims[2] = {700, 300};
    const int32_t x = net_input(n, "x", CMF_F32, 2, dims);
    const int32_t a = net_node(n, "exp", CMF_FB_OP_EXP, CMF_F32, 1, &x);
    const int32_t b = net_node(n, "softmax", CMF_FB_OP_SOFTMAX, CMF_F32, 1, &a);
    net_last(n)->options.axis = 0; /* rows lie apart: buffers of the threads' own */
    const int32_t y = net_node(n, "add", CMF_FB_OP_ADD, CMF_F32, 2, (int32_t[]){b, x});
    net_output(n, y);
    float *first = NULL;
    const cmf_parallel parallel = {parallel_backwards, NULL};
    for (uint32_t threads = 0; threads < 6; threads++) {
        cmf_session_options options;
        cmf_session *session = NULL;
        cmf_error error;
        cmf_tensor in, out;
        cmf_session_options_default(&options);
        options.threads = threads;
        if (threads == 5) {
            options.threads = 3;
            options.parallel = &parallel;
        }
        CHECK(cmf_session_create(&n->model, &options, &session, &error) == CMF_OK, "%s", error.message);
        if (!session) continue;
        cmf_session_input(session, 0, &in);
        cmf_session_output(session, 0, &out);
        for (int i = 0; i < 700 * 300; i++) ((float *)in.data)[i] = (float)(i * 7919 % 1001) / 250.0f - 2.0f;
        for (int run = 0; run < (threads > 1 ? 50 : 1); run++)
            CHECK(cmf_session_run(session, &error) == CMF_OK, "%s", error.message);
        if (!first) {
            first = malloc(out.size);
            memcpy(first, out.data, out.size);
        }
        CHECK(memcmp(first, out.data, out.size) == 0, "%u threads change the result", threads);
        cmf_session_close(&session);
    }
    CHECK(parallel_calls > 0, "the caller's threads are not used");
    free(first);
    free(n);
}

int main(void) {
    test_memory();
    test_arguments();
    test_messages();
    test_shape_arithmetic();
    test_random_graphs();
    test_pack();
    test_threads();
    printf("%d checks, %d failures\n", checks, failures);
    if (failures == 0) printf("ok\n");
    return failures != 0;
}
