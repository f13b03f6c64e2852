/* Conv: channels last, two spatial dimensions, weight [O, kh, kw, I/g] as a tree (FORMAT.md 5.1). */
#include "kernels/array.h"
#include "kernels/linear.h"

static void conv_item(const cmf_linear *l, uint32_t index, cmf_linear_item *item) {
    size_t image = index / l->item_group, group = index % l->item_group;
    item->x = image * (size_t)l->h * (size_t)l->w * l->x_pixel + (l->depthwise ? 0u : group * l->channels);
    item->y = image * (size_t)l->ho * (size_t)l->wo * l->y_pixel + (l->depthwise ? 0u : group * l->tree->outputs);
    item->stack = (uint32_t)group;
    item->output = (uint32_t)group * l->tree->outputs;
    item->row_scale = image;
}

/* Output positions along one axis; -1: the kernel does not fit. */
static int64_t conv_positions(int64_t size, int64_t pads, int64_t kernel, int64_t dilation, int64_t stride) {
    int64_t room = size + pads - ((kernel - 1) * dilation + 1);
    return room < 0 ? -1 : room / stride + 1;
}

static cmf_status conv_check_tree(const cmf_op_call *call, const cmf_linear *l, uint32_t group, const int32_t *weight) {
    cmf_error *error = call->error;
    const cmf_tree *t = l->tree;
    uint32_t outputs = (uint32_t)weight[0], taps = (uint32_t)weight[1] * (uint32_t)weight[2], channels = (uint32_t)weight[3];
    uint32_t stack = l->depthwise ? 1u : group;
    CMF_REQUIRE(t->stack == stack && (uint64_t)t->outputs * stack == outputs && t->inputs == (uint64_t)taps * channels, CMF_E_SHAPE,
                "the weight's tree is %u x %u x %u; a Conv of %u groups with weight [%d, %d, %d, %d] needs %u x %u x %u", t->stack,
                t->outputs, t->inputs, group, (int)weight[0], (int)weight[1], (int)weight[2], (int)weight[3], stack, outputs / stack,
                taps * channels);
    if (l->depthwise)
        CMF_REQUIRE(cmf_tree_is_panel(t) && t->run == t->inputs, CMF_E_UNSUPPORTED,
                    "a depthwise weight of encoding %s or of several runs; supported: dense, quantized, codebook, bitpacked, sparse with "
                    "one run", cmf_encoding_get(t->encoding)->name);
    if (t->encoding == CMF_ENC_LOWRANK && t->kind == CMF_FORM_TUCKER2)
        CMF_REQUIRE(group == 1 && t->child[0]->inputs == channels && t->child[1]->inputs == (uint64_t)taps * t->child[0]->outputs &&
                    t->child[2]->inputs == t->child[1]->outputs, CMF_E_SHAPE, "the factors of the tucker2 weight do not fit its shape");
    if (t->encoding == CMF_ENC_WINOGRAD) {
        const cmf_tree *f = t->child[0];
        uint32_t size = t->tile + 2u;
        CMF_REQUIRE(group == 1 && l->kh == 3 && l->kw == 3 && l->sh == 1 && l->sw == 1 && l->dh == 1 && l->dw == 1, CMF_E_UNSUPPORTED,
                    "a winograd weight needs a 3 x 3 kernel, one group, strides and dilations of 1");
        CMF_REQUIRE((t->tile == 2 || t->tile == 4) && f->stack == size * size && f->outputs == outputs && f->inputs == channels,
                    CMF_E_SHAPE, "the winograd filters do not fit their weight");
    }
    return CMF_OK;
}

/* Fills in everything that is known before run time. */
static cmf_status conv_set_up(const cmf_op_call *call, cmf_linear *l) {
    cmf_error *error = call->error;
    const cmf_node_options *o = &call->node->options;
    const cmf_array *x = call->inputs[0], *w = call->inputs[1], *bias = call->node->input_count > 2 ? call->inputs[2] : NULL;
    const int64_t most = 0x3fffffff; /* coordinates stay within i32 */
    *l = (cmf_linear){0};
    CMF_REQUIRE(w->tree != NULL, CMF_E_UNSUPPORTED, "the weight is not a weight of the file; supported: an encoded constant");
    CMF_REQUIRE(x->rank == 4 && w->rank == 4, CMF_E_SHAPE, "input and weight have ranks %u and %u; supported: 4 and 4 (two spatial "
                "dimensions, channels last)", x->rank, w->rank);
    l->tree = w->tree;
    CMF_TRY(cmf_linear_check(call, l));
    for (uint32_t k = 0; k < 2; k++) {
        CMF_REQUIRE(o->strides[k] >= 1 && o->strides[k] <= most && o->dilations[k] >= 1 && o->dilations[k] <= most, CMF_E_GRAPH,
                    "stride %u and dilation %u; both must be at least 1", o->strides[k], o->dilations[k]);
        CMF_REQUIRE(w->dims[1 + k] >= 1 && (w->dims[1 + k] - 1) * (int64_t)o->dilations[k] < most &&
                    x->dims[1 + k] + (int64_t)o->pads[k] + o->pads[k + 2] <= most, CMF_E_LIMIT,
                    "an axis of %d with pads %u and %u under a kernel of %d is too long", (int)x->dims[1 + k], o->pads[k], o->pads[k + 2],
                    (int)w->dims[1 + k]);
    }
    uint32_t group = o->group;
    CMF_REQUIRE(group >= 1 && w->dims[0] >= 1 && w->dims[3] >= 1 && (uint32_t)w->dims[0] % group == 0 &&
                (uint64_t)group * (uint32_t)w->dims[3] == (uint32_t)x->dims[3], CMF_E_SHAPE,
                "%d input channels, weight [%d, %d, %d, %d] and %u groups do not fit", (int)x->dims[3], (int)w->dims[0], (int)w->dims[1],
                (int)w->dims[2], (int)w->dims[3], group);
    CMF_REQUIRE(bias == NULL || cmf_array_count(bias) == (uint32_t)w->dims[0], CMF_E_SHAPE, "the bias has %zu numbers for %d outputs",
                bias ? cmf_array_count(bias) : 0u, (int)w->dims[0]);
    l->depthwise = w->dims[3] == 1 && group > 1;
    l->h = x->dims[1];
    l->w = x->dims[2];
    l->kh = w->dims[1];
    l->kw = w->dims[2];
    l->sh = (int32_t)o->strides[0];
    l->sw = (int32_t)o->strides[1];
    l->dh = (int32_t)o->dilations[0];
    l->dw = (int32_t)o->dilations[1];
    l->top = (int32_t)o->pads[0];
    l->left = (int32_t)o->pads[1];
    int64_t ho = conv_positions(l->h, (int64_t)o->pads[0] + o->pads[2], l->kh, l->dh, l->sh);
    int64_t wo = conv_positions(l->w, (int64_t)o->pads[1] + o->pads[3], l->kw, l->dw, l->sw);
    CMF_REQUIRE(ho >= 0 && wo >= 0, CMF_E_SHAPE, "a kernel of %d x %d does not fit into an image of %d x %d", (int)l->kh, (int)l->kw,
                (int)l->h, (int)l->w);
    l->ho = (int32_t)ho;
    l->wo = (int32_t)wo;
    l->channels = l->depthwise ? (uint32_t)x->dims[3] : (uint32_t)w->dims[3];
    l->multiplier = l->depthwise ? (uint32_t)w->dims[0] / group : 1u;
    l->spread = l->depthwise && (l->multiplier > 1u || x->known); /* behind a constant of the file 16 lanes are not readable */
    l->x_pixel = (size_t)x->dims[3];
    l->y_pixel = (size_t)w->dims[0];
    l->item_group = l->depthwise ? 1u : group;
    l->item = conv_item;
    CMF_REQUIRE((uint64_t)x->dims[0] * l->item_group <= UINT32_MAX, CMF_E_LIMIT, "too many images and groups");
    l->items = (uint32_t)x->dims[0] * l->item_group;
    return conv_check_tree(call, l, group, w->dims);
}

static cmf_status conv_infer(const cmf_op_call *call) {
    cmf_linear l;
    CMF_TRY(conv_set_up(call, &l));
    int32_t dims[4] = {call->inputs[0]->dims[0], l.ho, l.wo, call->inputs[1]->dims[0]};
    return cmf_array_set(call->outputs[0], l.compute == CMF_FB_COMPUTE_INT8_STATIC ? CMF_I8 : CMF_F32, 4, dims, call->error);
}

/* The images that int8_dynamic quantizes apart. */
static size_t conv_images(const cmf_op_call *call) {
    return (size_t)call->inputs[0]->dims[0];
}

static size_t conv_image(const cmf_op_call *call) {
    return cmf_dims_product(call->inputs[0], 1, 4);
}

static cmf_status conv_scratch(const cmf_op_call *call, size_t *bytes) {
    cmf_linear l;
    CMF_TRY(conv_set_up(call, &l));
    cmf_linear_plan(&l, call->workers->threads);
    *bytes = cmf_linear_scratch(&l, call, conv_images(call), conv_image(call));
    return CMF_OK;
}

static cmf_status conv_keep(const cmf_op_call *call, size_t *bytes) {
    cmf_linear l;
    CMF_TRY(conv_set_up(call, &l));
    *bytes = cmf_linear_keep(&l);
    return CMF_OK;
}

static cmf_status conv_prepare(const cmf_op_call *call) {
    cmf_linear l;
    CMF_TRY(conv_set_up(call, &l));
    cmf_linear_prepare(&l, call);
    return CMF_OK;
}

static cmf_status conv_run(const cmf_op_call *call) {
    cmf_linear l;
    CMF_TRY(conv_set_up(call, &l));
    cmf_linear_plan(&l, call->workers->threads);
    cmf_linear_call(&l, call, conv_images(call), conv_image(call));
    return CMF_OK;
}

static void conv_way(const cmf_op_call *call, cmf_way *way) {
    cmf_linear l;
    if (conv_set_up(call, &l) != CMF_OK) /* a session's nodes have passed it */
        return;
    cmf_linear_plan(&l, call->workers->threads);
    cmf_linear_way(&l, way);
}

static uint64_t conv_work(const cmf_op_call *call) {
    const cmf_array *w = call->inputs[1];
    uint64_t outputs = cmf_array_count(call->outputs[0]);
    uint64_t each = (uint64_t)w->dims[1] * (uint64_t)w->dims[2] * (uint64_t)w->dims[3];
    return each != 0 && outputs > UINT64_MAX / each ? UINT64_MAX : outputs * each;
}

const cmf_op cmf_op_conv = {.name = "Conv", .id = CMF_FB_OP_CONV, .min_inputs = 2, .max_inputs = 3, .outputs = 1, .infer = conv_infer,
                            .scratch = conv_scratch, .keep = conv_keep, .prepare = conv_prepare, .run = conv_run, .work = conv_work, .way = conv_way};
