/* MatMul: x [.., M, K] by a weight [S.., K, N] as a tree, or by another activation; bias [N]. Leading dimensions broadcast. */
#include "kernels/array.h"
#include "kernels/linear.h"
#include "kernels/matmul.h"

/* numpy's rules: a vector on the left is a row, on the right a column, and its dimension is dropped from the result. */
static cmf_status matmul_shape(const cmf_op_call *call, cmf_matmul_shape *s) {
    cmf_error *error = call->error;
    const cmf_array *a = call->inputs[0], *b = call->inputs[1];
    CMF_REQUIRE(a->rank >= 1 && b->rank >= 1, CMF_E_SHAPE, "a MatMul of ranks %u and %u; both must be at least 1", a->rank, b->rank);
    *s = (cmf_matmul_shape){0};
    s->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    s->k = a->dims[a->rank - 1];
    s->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    int32_t k = b->rank > 1 ? b->dims[b->rank - 2] : b->dims[0];
    CMF_REQUIRE(s->k == k, CMF_E_SHAPE, "a MatMul of %d inputs by a weight of %d", (int)s->k, (int)k);
    uint32_t a_batch = a->rank > 1 ? a->rank - 2u : 0u, b_batch = b->rank > 1 ? b->rank - 2u : 0u;
    s->rank = a_batch > b_batch ? a_batch : b_batch;
    s->batches = 1;
    size_t a_step = 1, b_step = 1;
    for (uint32_t i = s->rank; i-- > 0;) {
        int32_t da = i + a_batch < s->rank ? 1 : a->dims[i + a_batch - s->rank];
        int32_t db = i + b_batch < s->rank ? 1 : b->dims[i + b_batch - s->rank];
        CMF_REQUIRE(da == db || da == 1 || db == 1, CMF_E_SHAPE, "leading dimensions %d and %d do not broadcast", (int)da, (int)db);
        s->dims[i] = da == 1 ? db : da;
        s->a_step[i] = da == 1 ? 0 : a_step;
        s->b_step[i] = db == 1 ? 0 : b_step;
        a_step *= (size_t)da;
        b_step *= (size_t)db;
        s->batches *= (uint64_t)s->dims[i];
    }
    s->a_batches = a_step;
    s->b_batches = b_step;
    s->a_vector = a->rank == 1;
    s->b_vector = b->rank == 1;
    return CMF_OK;
}

void cmf_matmul_batch(const cmf_matmul_shape *s, size_t batch, size_t *a, size_t *b) {
    *a = *b = 0;
    for (uint32_t i = s->rank; i-- > 0;) {
        size_t at = batch % (size_t)s->dims[i];
        batch /= (size_t)s->dims[i];
        *a += at * s->a_step[i];
        *b += at * s->b_step[i];
    }
}

static void matmul_item(const cmf_linear *l, uint32_t index, cmf_linear_item *item) {
    size_t a, b;
    cmf_matmul_batch(l->context, index, &a, &b);
    item->x = a * (size_t)l->wo * l->x_pixel;
    item->y = (size_t)index * (size_t)l->wo * l->y_pixel;
    item->stack = (uint32_t)b;
    item->output = 0;
    item->row_scale = a * (size_t)l->wo;
}

static cmf_status matmul_set_up(const cmf_op_call *call, cmf_linear *l, cmf_matmul_shape *s) {
    cmf_error *error = call->error;
    const cmf_array *b = call->inputs[1], *bias = call->node->input_count > 2 ? call->inputs[2] : NULL;
    *l = (cmf_linear){0};
    l->tree = b->tree;
    CMF_TRY(matmul_shape(call, s));
    CMF_TRY(cmf_linear_check(call, l));
    CMF_REQUIRE(bias == NULL || cmf_array_count(bias) == (uint32_t)s->n, CMF_E_SHAPE, "the bias has %zu numbers for %d outputs",
                bias ? cmf_array_count(bias) : 0u, (int)s->n);
    if (b->tree == NULL) {
        CMF_REQUIRE(l->compute == CMF_FB_COMPUTE_F32, CMF_E_UNSUPPORTED,
                    "a MatMul of two activations in int8; supported: f32, or a weight as the second input");
        CMF_REQUIRE(b->dtype == CMF_F32, CMF_E_DTYPE, "the second input is %s; supported: f32", cmf_dtype_name(b->dtype));
        return CMF_OK;
    }
    const cmf_tree *t = b->tree;
    CMF_REQUIRE(t->stack == s->b_batches && t->outputs == (uint32_t)s->n && t->inputs == (uint32_t)s->k, CMF_E_SHAPE,
                "the weight's tree is %u x %u x %u; this MatMul needs %zu x %d x %d", t->stack, t->outputs, t->inputs, s->b_batches,
                (int)s->n, (int)s->k);
    CMF_REQUIRE(t->encoding != CMF_ENC_WINOGRAD && !(t->encoding == CMF_ENC_LOWRANK && t->kind == CMF_FORM_TUCKER2), CMF_E_UNSUPPORTED,
                "a MatMul with a weight for convolutions (winograd or tucker2)");
    /* One matrix for all: one long product. */
    int single = s->b_batches == 1;
    uint64_t rows = single ? (uint64_t)s->a_batches * (uint64_t)s->m : (uint64_t)s->m, items = single ? 1u : s->batches;
    CMF_REQUIRE(rows <= 0x3fffffff && items <= UINT32_MAX, CMF_E_LIMIT, "a MatMul of too many rows");
    l->h = l->ho = 1;
    l->w = l->wo = (int32_t)rows;
    l->kh = l->kw = l->sh = l->sw = l->dh = l->dw = 1;
    l->channels = t->inputs;
    l->multiplier = 1;
    l->x_pixel = t->inputs;
    l->y_pixel = t->outputs;
    l->items = (uint32_t)items;
    l->item = matmul_item;
    l->context = s;
    l->item_group = 1;
    l->row_scale_step = 1;
    return CMF_OK;
}

static cmf_status matmul_infer(const cmf_op_call *call) {
    cmf_linear l;
    cmf_matmul_shape s;
    int32_t dims[CMF_MAX_RANK + 2];
    uint32_t rank = 0;
    CMF_TRY(matmul_set_up(call, &l, &s));
    for (; rank < s.rank; rank++)
        dims[rank] = s.dims[rank];
    if (!s.a_vector)
        dims[rank++] = s.m;
    if (!s.b_vector)
        dims[rank++] = s.n;
    return cmf_array_set(call->outputs[0], l.compute == CMF_FB_COMPUTE_INT8_STATIC ? CMF_I8 : CMF_F32, rank, dims, call->error);
}

/* The rows that int8_dynamic quantizes apart. */
static size_t matmul_rows(const cmf_matmul_shape *s) {
    return s->a_batches * (size_t)s->m;
}

static cmf_status matmul_scratch(const cmf_op_call *call, size_t *bytes) {
    cmf_linear l;
    cmf_matmul_shape s;
    CMF_TRY(matmul_set_up(call, &l, &s));
    if (!l.tree) {
        *bytes = cmf_matmul_activations_scratch(&s, call);
        return CMF_OK;
    }
    cmf_linear_plan(&l, call->workers->threads);
    *bytes = cmf_linear_scratch(&l, call, matmul_rows(&s), (size_t)s.k);
    return CMF_OK;
}

static cmf_status matmul_keep(const cmf_op_call *call, size_t *bytes) {
    cmf_linear l;
    cmf_matmul_shape s;
    CMF_TRY(matmul_set_up(call, &l, &s));
    *bytes = l.tree ? cmf_linear_keep(&l) : 0u;
    return CMF_OK;
}

static cmf_status matmul_prepare(const cmf_op_call *call) {
    cmf_linear l;
    cmf_matmul_shape s;
    CMF_TRY(matmul_set_up(call, &l, &s));
    if (l.tree)
        cmf_linear_prepare(&l, call);
    return CMF_OK;
}

static cmf_status matmul_run(const cmf_op_call *call) {
    cmf_linear l;
    cmf_matmul_shape s;
    CMF_TRY(matmul_set_up(call, &l, &s));
    if (!l.tree) {
        cmf_matmul_activations(&s, call, l.low, l.high);
        return CMF_OK;
    }
    cmf_linear_plan(&l, call->workers->threads);
    cmf_linear_call(&l, call, matmul_rows(&s), (size_t)s.k);
    return CMF_OK;
}

static void matmul_way(const cmf_op_call *call, cmf_way *way) {
    cmf_linear l;
    cmf_matmul_shape s;
    if (matmul_set_up(call, &l, &s) != CMF_OK) /* a session's nodes have passed it */
        return;
    if (!l.tree) {
        way->method = "activations";
        return;
    }
    cmf_linear_plan(&l, call->workers->threads);
    cmf_linear_way(&l, way);
}

static uint64_t matmul_work(const cmf_op_call *call) {
    const cmf_array *a = call->inputs[0];
    uint64_t outputs = cmf_array_count(call->outputs[0]), each = (uint64_t)a->dims[a->rank - 1];
    return each != 0 && outputs > UINT64_MAX / each ? UINT64_MAX : outputs * each;
}

const cmf_op cmf_op_matmul = {.name = "MatMul", .id = CMF_FB_OP_MATMUL, .min_inputs = 2, .max_inputs = 3, .outputs = 1,
                              .infer = matmul_infer, .scratch = matmul_scratch, .keep = matmul_keep, .prepare = matmul_prepare,
                              .run = matmul_run, .work = matmul_work, .way = matmul_way};
