/* Ops of two tensors broadcast to each other: arithmetic, comparisons, logic. Max and Min take any number. */
#include "base/math.h"
#include "kernels/array.h"

/* n results from a and b, each with step 0 or 1. Reals, i32, i64 or booleans; comparisons write booleans. */
typedef void (*binary_fn)(void *y, const void *a, size_t step_a, const void *b, size_t step_b, size_t n);

/* Which element types an op takes, and how. */
typedef struct binary_family {
    binary_fn real, i32, i64, boolean;
    uint8_t tests;  /* the result is boolean */
    uint8_t divides; /* integers: not by zero */
} binary_family;

#define BINARY_LOOP(name, result, type, expression)                                                  \
    static void binary_##name(void *out, const void *in_a, size_t step_a, const void *in_b, size_t step_b, size_t n) { \
        result *y = out;                                                                             \
        const type *a = in_a, *b = in_b;                                                             \
        if (step_a && step_b) {                                                                      \
            CMF_INDEPENDENT for (size_t i = 0; i < n; i++) { const type p = a[i], q = b[i]; y[i] = (result)(expression); } \
        } else if (step_a) {                                                                         \
            const type q = b[0];                                                                     \
            CMF_INDEPENDENT for (size_t i = 0; i < n; i++) { const type p = a[i]; y[i] = (result)(expression); } \
        } else {                                                                                     \
            const type p = a[0];                                                                     \
            CMF_INDEPENDENT for (size_t i = 0; i < n; i++) { const type q = b[i * step_b]; y[i] = (result)(expression); } \
        }                                                                                            \
    }
/* Integers wrap: computed unsigned. */
#define BINARY_INTEGERS(name, expression_of)                          \
    BINARY_LOOP(name##_i32, int32_t, int32_t, expression_of(uint32_t)) \
    BINARY_LOOP(name##_i64, cmf_i64, cmf_i64, expression_of(uint64_t))

#define BINARY_ADD(type) (type)p + (type)q
#define BINARY_SUB(type) (type)p - (type)q
#define BINARY_MUL(type) (type)p * (type)q
#define BINARY_MAX(type) p > q ? p : q
#define BINARY_MIN(type) p < q ? p : q

BINARY_LOOP(add, float, float, p + q)
BINARY_LOOP(sub, float, float, p - q)
BINARY_LOOP(mul, float, float, p * q)
BINARY_LOOP(div, float, float, p / q)
BINARY_LOOP(max, float, float, p != p ? p : p < q || q != q ? q : p)
BINARY_LOOP(min, float, float, p != p ? p : p > q || q != q ? q : p)
BINARY_INTEGERS(add, BINARY_ADD)
BINARY_INTEGERS(sub, BINARY_SUB)
BINARY_INTEGERS(mul, BINARY_MUL)
BINARY_INTEGERS(max, BINARY_MAX)
BINARY_INTEGERS(min, BINARY_MIN)

/* Towards zero; the one quotient that does not fit wraps. */
static int64_t binary_quotient(int64_t p, int64_t q) {
    return q == -1 ? (int64_t)(0u - (uint64_t)p) : p / q;
}
/* With the sign of the divisor. */
static int64_t binary_modulo(int64_t p, int64_t q) {
    if (q == -1)
        return 0;
    int64_t r = p % q;
    return r != 0 && (r < 0) != (q < 0) ? r + q : r;
}
static int64_t binary_power(int64_t base, int64_t exponent) {
    if (exponent < 0)
        return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
    uint64_t result = 1, square = (uint64_t)base;
    for (; exponent > 0; exponent >>= 1, square *= square)
        if (exponent & 1)
            result *= square;
    return (int64_t)result;
}
BINARY_LOOP(div_i32, int32_t, int32_t, binary_quotient(p, q))
BINARY_LOOP(div_i64, cmf_i64, cmf_i64, binary_quotient(p, q))
BINARY_LOOP(mod_i32, int32_t, int32_t, binary_modulo(p, q))
BINARY_LOOP(mod_i64, cmf_i64, cmf_i64, binary_modulo(p, q))
BINARY_LOOP(pow_i32, int32_t, int32_t, binary_power(p, q))
BINARY_LOOP(pow_i64, cmf_i64, cmf_i64, binary_power(p, q))

/* Remainder with the dividend's sign, exact: multiples of |y| by powers of two are taken off, largest first. */
static float binary_remainder(float x, float y) {
    double rest = (double)cmf_absf(x), divisor = (double)cmf_absf(y);
    if (!cmf_isfinitef(x) || y != y || divisor == 0.0)
        return cmf_nanf();
    if (!cmf_isfinitef(y))
        return x;
    double multiple = divisor;
    while (multiple <= rest)
        multiple += multiple;
    while (multiple > divisor) {
        multiple *= 0.5;
        if (multiple <= rest)
            rest -= multiple;
    }
    return cmf_copysignf((float)rest, x);
}
BINARY_LOOP(mod, float, float, binary_remainder(p, q))

static void binary_pow(void *out, const void *in_a, size_t step_a, const void *in_b, size_t step_b, size_t n) {
    float *y = out;
    const float *a = in_a, *b = in_b;
    if (step_b == 0 && b[0] == 2.0f) {
        for (size_t i = 0; i < n; i++)
            y[i] = a[i * step_a] * a[i * step_a];
        return;
    }
    for (size_t i = 0; i < n; i++)
        y[i] = cmf_powf(a[i * step_a], b[i * step_b]);
}

#define BINARY_TESTS(name, operator)                        \
    BINARY_LOOP(name, uint8_t, float, p operator q)         \
    BINARY_LOOP(name##_i32, uint8_t, int32_t, p operator q) \
    BINARY_LOOP(name##_i64, uint8_t, cmf_i64, p operator q)
BINARY_TESTS(equal, ==)
BINARY_TESTS(greater, >)
BINARY_TESTS(greater_or_equal, >=)
BINARY_TESTS(less, <)
BINARY_TESTS(less_or_equal, <=)
BINARY_LOOP(equal_boolean, uint8_t, uint8_t, !p == !q)
BINARY_LOOP(and_boolean, uint8_t, uint8_t, p && q)
BINARY_LOOP(or_boolean, uint8_t, uint8_t, p || q)

static const binary_family *binary_family_of(uint16_t op) {
    static const binary_family families[CMF_FB_OP_COUNT] = {
#define BINARY_NUMBERS(name, ...) {.real = binary_##name, .i32 = binary_##name##_i32, .i64 = binary_##name##_i64, __VA_ARGS__}
        [CMF_FB_OP_ADD] = BINARY_NUMBERS(add, 0),
        [CMF_FB_OP_SUB] = BINARY_NUMBERS(sub, 0),
        [CMF_FB_OP_MUL] = BINARY_NUMBERS(mul, 0),
        [CMF_FB_OP_DIV] = BINARY_NUMBERS(div, .divides = 1),
        [CMF_FB_OP_POW] = BINARY_NUMBERS(pow, 0),
        [CMF_FB_OP_MAX] = BINARY_NUMBERS(max, 0),
        [CMF_FB_OP_MIN] = BINARY_NUMBERS(min, 0),
        [CMF_FB_OP_MOD] = BINARY_NUMBERS(mod, .divides = 1),
        [CMF_FB_OP_EQUAL] = BINARY_NUMBERS(equal, .boolean = binary_equal_boolean, .tests = 1),
        [CMF_FB_OP_GREATER] = BINARY_NUMBERS(greater, .tests = 1),
        [CMF_FB_OP_GREATEROREQUAL] = BINARY_NUMBERS(greater_or_equal, .tests = 1),
        [CMF_FB_OP_LESS] = BINARY_NUMBERS(less, .tests = 1),
        [CMF_FB_OP_LESSOREQUAL] = BINARY_NUMBERS(less_or_equal, .tests = 1),
        [CMF_FB_OP_AND] = {.boolean = binary_and_boolean, .tests = 1},
        [CMF_FB_OP_OR] = {.boolean = binary_or_boolean, .tests = 1},
    };
    return &families[op];
}

static int binary_is_integer(const cmf_array *array) {
    return array->dtype == CMF_I32 || array->dtype == CMF_I64;
}

/* The loop for a pair of inputs; NULL: the op does not take them. A real to the power of an integer is allowed. */
static binary_fn binary_loop_for(uint16_t op, const cmf_array *a, const cmf_array *b) {
    const binary_family *family = binary_family_of(op);
    if (cmf_array_is_real(a) && (cmf_array_is_real(b) || (op == CMF_FB_OP_POW && binary_is_integer(b))))
        return family->real;
    if (a->dtype != b->dtype)
        return NULL;
    switch (a->dtype) {
    case CMF_I32: return family->i32;
    case CMF_I64: return family->i64;
    case CMF_BOOL: return family->boolean;
    default: return NULL;
    }
}

static cmf_status binary_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_node *node = call->node;
    const cmf_array *first = call->inputs[0];
    cmf_array shape = *first;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const cmf_array *input = call->inputs[i];
        CMF_REQUIRE(input != NULL, CMF_E_GRAPH, "input %u is absent", i);
        CMF_REQUIRE(binary_loop_for(node->op, first, input) != NULL, CMF_E_DTYPE, "inputs of %s and %s are not supported",
                    cmf_dtype_name(first->dtype), cmf_dtype_name(input->dtype));
        cmf_array sides = shape;
        CMF_TRY(cmf_array_broadcast(&sides, input, &shape, error));
    }
    if (binary_family_of(node->op)->tests)
        return cmf_array_set(call->outputs[0], CMF_BOOL, shape.rank, shape.dims, error);
    if (cmf_array_is_real(first))
        return cmf_set_real(call, shape.rank, shape.dims);
    return cmf_set_like(call, first, shape.rank, shape.dims);
}

typedef struct binary_work {
    const cmf_node *node;
    const cmf_array *a, *b;
    cmf_array *y;
    binary_fn loop;
    const cmf_walk *walk;
} binary_work;

static const void *binary_at(const cmf_array *array, size_t element) {
    return (const uint8_t *)array->data + element * cmf_element_size(array->dtype);
}

/* Elements of an input as the loop wants them: reals as f32, the rest in place. */
static const void *binary_load(const cmf_array *array, size_t first, size_t n, int real, float *buffer) {
    if (!real)
        return binary_at(array, first);
    if (!binary_is_integer(array))
        return cmf_real_load(array, first, n, buffer);
    for (size_t i = 0; i < n; i++)
        buffer[i] = (float)cmf_array_int(array, first + i);
    return buffer;
}

static void binary_range(void *context, size_t first, size_t last, uint32_t thread) {
    const binary_work *work = context;
    const cmf_array *a = work->a, *b = work->b;
    float buffer_a[CMF_REAL_CHUNK], buffer_b[CMF_REAL_CHUNK], buffer_y[CMF_REAL_CHUNK];
    const int real = cmf_array_is_real(a), quantized = real && work->y->dtype == CMF_I8;
    /* f32 is computed in place, in blocks that stay in cache until the activation is applied */
    const size_t most = real && (a->dtype != CMF_F32 || b->dtype != CMF_F32 || quantized) ? CMF_REAL_CHUNK : 2048u;
    cmf_walk walk = *work->walk;
    (void)thread;
    cmf_walk_seek(&walk, first);
    while (first < last) {
        size_t n = cmf_walk_segment(&walk);
        n = n < last - first ? n : last - first;
        n = n < most ? n : most;
        const size_t step_a = cmf_walk_step(&walk, 0), step_b = cmf_walk_step(&walk, 1);
        const void *pa = binary_load(a, walk.offset[0], step_a ? n : 1u, real, buffer_a);
        const void *pb = binary_load(b, walk.offset[1], step_b ? n : 1u, real, buffer_b);
        if (work->y->dtype == CMF_F32 || quantized) {
            float *y = cmf_real_target(work->y, first, buffer_y);
            work->loop(y, pa, step_a, pb, step_b, n);
            cmf_apply_activation(work->node, y, n);
            cmf_real_store(work->y, first, n, y);
        } else {
            work->loop((uint8_t *)work->y->data + first * cmf_element_size(work->y->dtype), pa, step_a, pb, step_b, n);
        }
        cmf_walk_advance(&walk, n);
        first += n;
    }
}

static cmf_status binary_check_divisor(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *b = call->inputs[1];
    size_t n = cmf_array_count(b);
    for (size_t i = 0; i < n; i++)
        CMF_REQUIRE(cmf_array_int(b, i) != 0, CMF_E_ARGUMENT, "an integer is divided by zero (element %zu)", i);
    return CMF_OK;
}

static cmf_status binary_run(const cmf_op_call *call) {
    const cmf_node *node = call->node;
    cmf_array *y = call->outputs[0];
    if (binary_family_of(node->op)->divides && binary_is_integer(call->inputs[1]))
        CMF_TRY(binary_check_divisor(call));
    cmf_array so_far = *y; /* the result of the inputs before */
    for (uint32_t i = node->input_count == 1 ? 0 : 1; i < node->input_count; i++) {
        const cmf_array *a = i <= 1 ? call->inputs[0] : &so_far, *b = call->inputs[i];
        const cmf_array *pair[2] = {a, b};
        cmf_walk walk;
        cmf_walk_init(&walk, y, pair, 2);
        binary_work work = {node, a, b, y, binary_loop_for(node->op, a, b), &walk};
        cmf_workers_range(call->workers, cmf_array_count(y), cmf_grain(node->op == CMF_FB_OP_POW ? 32 : 1), binary_range,
                          &work);
    }
    return CMF_OK;
}

/* Max and Min take their inputs one after the other. */
static uint64_t binary_operations(const cmf_op_call *call) {
    const uint64_t count = cmf_array_count(call->outputs[0]); /* at most 2^40 */
    return call->node->input_count > 2 ? count * (call->node->input_count - 1u) : count;
}

#define BINARY_OP(record, text, op_id, least, most) \
    const cmf_op record = {.name = text, .id = op_id, .min_inputs = least, .max_inputs = most, .outputs = 1, \
                           .infer = binary_infer, .run = binary_run, .work = binary_operations, .in_place = 1};
BINARY_OP(cmf_op_add, "Add", CMF_FB_OP_ADD, 2, 2)
BINARY_OP(cmf_op_sub, "Sub", CMF_FB_OP_SUB, 2, 2)
BINARY_OP(cmf_op_mul, "Mul", CMF_FB_OP_MUL, 2, 2)
BINARY_OP(cmf_op_div, "Div", CMF_FB_OP_DIV, 2, 2)
BINARY_OP(cmf_op_pow, "Pow", CMF_FB_OP_POW, 2, 2)
BINARY_OP(cmf_op_max, "Max", CMF_FB_OP_MAX, 1, 255)
BINARY_OP(cmf_op_min, "Min", CMF_FB_OP_MIN, 1, 255)
BINARY_OP(cmf_op_mod, "Mod", CMF_FB_OP_MOD, 2, 2)
BINARY_OP(cmf_op_equal, "Equal", CMF_FB_OP_EQUAL, 2, 2)
BINARY_OP(cmf_op_greater, "Greater", CMF_FB_OP_GREATER, 2, 2)
BINARY_OP(cmf_op_greater_or_equal, "GreaterOrEqual", CMF_FB_OP_GREATEROREQUAL, 2, 2)
BINARY_OP(cmf_op_less, "Less", CMF_FB_OP_LESS, 2, 2)
BINARY_OP(cmf_op_less_or_equal, "LessOrEqual", CMF_FB_OP_LESSOREQUAL, 2, 2)
BINARY_OP(cmf_op_and, "And", CMF_FB_OP_AND, 2, 2)
BINARY_OP(cmf_op_or, "Or", CMF_FB_OP_OR, 2, 2)
