/* How a node computes, in words: for tools that show and measure it. */
#include "base/schema_ids.h"
#include "kernels/linear.h"

static int way_in_place(const cmf_linear *l, const cmf_tree *t) {
    if (l->compute != CMF_FB_COMPUTE_F32)
        return cmf_linear_in_place_i8(t);
    if (l->tree->encoding == CMF_ENC_WINOGRAD)
        return t->encoding == CMF_ENC_DENSE && t->dtype == CMF_F32;
    return cmf_linear_in_place_f32(t, (uint32_t)l->tile_h * (uint32_t)l->tile_w, 0);
}

/* Of a tree and its children (their depth is limited): are all that hold codes in place? */
static int way_all_in_place(const cmf_linear *l, const cmf_tree *t) {
    if (cmf_tree_is_panel(t))
        return way_in_place(l, t);
    int all = t->residual == NULL || way_all_in_place(l, t->residual);
    for (uint32_t k = 0; k < CMF_MAX_FACTORS; k++)
        all = all && (t->child[k] == NULL || way_all_in_place(l, t->child[k]));
    return all;
}

static const char *way_method(const cmf_linear *l) {
    const cmf_tree *t = l->tree;
    const int taps = l->kh * l->kw != 1;
    if (l->depthwise)
        return "depthwise";
    if (t->encoding == CMF_ENC_WINOGRAD)
        return t->tile == 2 ? "winograd 2x2" : "winograd 4x4";
    if (t->encoding == CMF_ENC_LOWRANK)
        return t->kind == CMF_FORM_TUCKER2 ? "tucker2" : "factors";
    if (t->encoding == CMF_ENC_DCT)
        return "dct";
    if (taps)
        return t->run == l->channels ? "taps" : "patches";
    return (int64_t)l->ho * l->wo == 1 ? "row" : "rows";
}

void cmf_linear_way(const cmf_linear *l, cmf_way *way) {
    way->method = way_method(l);
    way->weights = !l->depthwise && way_all_in_place(l, l->tree) ? "in place" : "decoded";
}
