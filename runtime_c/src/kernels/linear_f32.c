/* f32 products by panel, product (lowrank) and basis (dct) trees. */
#include "base/math.h"
#include "encodings/panels.h"
#include "kernels/linear.h"

/* Where rows of results go. */
typedef struct f32_target {
    void *const *c;
    size_t offset;      /* elements, of output 0 */
    const float *bias;
    float low, high;
    int accumulate;
} f32_target;

/* A product's intermediate result: no bias, no activation. */
static f32_target f32_plain(void *const *c) {
    f32_target target = {c, 0, NULL, -cmf_inff(), cmf_inff(), 0};
    return target;
}

/* ------------------------------------------------------------------ panel trees */

static int f32_is_direct(const cmf_tree *t) {
    return t->encoding == CMF_ENC_DENSE && t->dtype == CMF_F32 && t->layout == CMF_LAYOUT_LINES;
}

static int f32_is_direct_q8(const cmf_tree *t) {
    return t->encoding == CMF_ENC_QUANTIZED && t->bits == 8 && t->layout == CMF_LAYOUT_LINES && t->zeros.data == NULL &&
           t->granularity != CMF_GRAN_GROUP;
}

int cmf_linear_in_place_f32(const cmf_tree *t, uint32_t rows, int accumulate) {
    return f32_is_direct(t) || (f32_is_direct_q8(t) && rows <= 4u && !accumulate);
}

/* Panels [first, last), each of 16 lanes, straight from the lines of a file. */
static void f32_direct(const cmf_linear *l, const cmf_tree *t, uint32_t stack, uint32_t first, uint32_t last, cmf_gemm *g,
                       const f32_target *out) {
    g->n = t->run;
    g->taps = t->inputs / t->run;
    g->lanes = CMF_PANEL;
    if (f32_is_direct(t)) {
        g->panels = last - first;
        g->w = t->codes.data + cmf_panel_start(t, stack, first);
        g->w_line = CMF_PANEL;
        g->w_panel = (size_t)CMF_PANEL * t->inputs;
        g->c_offset = out->offset + (size_t)CMF_PANEL * first;
        g->bias = out->bias ? out->bias + (size_t)CMF_PANEL * first : NULL;
        l->isa->gemm_f32(g);
        return;
    }
    float scale[8 * CMF_PANEL];
    g->scale = scale;
    g->w_panel = (size_t)cmf_panel_bytes(t, CMF_PANEL);
    for (; first < last; first += g->panels) {
        g->panels = last - first < 8u ? last - first : 8u;
        for (uint32_t k = 0; k < g->panels * CMF_PANEL; k++)
            scale[k] = cmf_tree_i8_scale(t, stack, first * CMF_PANEL + k);
        g->w = t->codes.data + cmf_panel_start(t, stack, first);
        g->c_offset = out->offset + (size_t)CMF_PANEL * first;
        g->bias = out->bias ? out->bias + (size_t)CMF_PANEL * first : NULL;
        l->isa->gemm_q8_f32(g);
    }
}

/* One panel, decoded a window at a time; sums wait in the output. */
static void f32_decoded(const cmf_linear *l, const cmf_tree *t, uint32_t stack, uint32_t panel, cmf_gemm *g, const f32_target *out,
                        float *window) {
    const uint32_t run = t->run, taps = t->inputs / run;
    const f32_target plain = f32_plain(out->c);
    void *const *a = g->a;
    cmf_panel_reader reader;
    cmf_panel_begin(&reader, t, stack, panel);
    g->panels = 1;
    g->lanes = t->outputs - panel * CMF_PANEL < CMF_PANEL ? t->outputs - panel * CMF_PANEL : CMF_PANEL;
    g->w = window;
    g->w_line = CMF_PANEL;
    g->w_panel = 0;
    g->c_offset = out->offset + (size_t)CMF_PANEL * panel;
    g->accumulate = out->accumulate;
    for (uint32_t tap = 0, input = 0; tap < taps;) {
        g->a = a + tap * g->a_tap;
        g->a_offset = input;
        if (run <= CMF_LINEAR_WINDOW) {
            g->taps = CMF_LINEAR_WINDOW / run < taps - tap ? CMF_LINEAR_WINDOW / run : taps - tap;
            g->n = run;
            for (uint32_t k = 0; k < g->taps; k++)
                cmf_panel_next_f32(&reader, run, window + (size_t)k * run * CMF_PANEL);
            tap += g->taps;
        } else {
            g->taps = 1;
            g->n = run - input < CMF_LINEAR_WINDOW ? run - input : CMF_LINEAR_WINDOW;
            cmf_panel_next_f32(&reader, g->n, window);
            input += g->n;
            if (input == run) {
                input = 0;
                tap++;
            }
        }
        const f32_target *finish = tap == taps ? out : &plain;
        g->bias = finish->bias ? finish->bias + (size_t)CMF_PANEL * panel : NULL;
        g->low = finish->low;
        g->high = finish->high;
        l->isa->gemm_f32(g);
        g->accumulate = 1;
    }
}

/* Panels [first, last) of a panel tree; the activations of run k and row r are a[k * a_tap + r]. */
static void f32_panels(const cmf_linear *l, const cmf_tree *t, uint32_t stack, uint32_t first, uint32_t last, void *const *a,
                       size_t a_tap, uint32_t rows, const f32_target *out, cmf_bump weights) {
    cmf_gemm g = {.a = a, .a_tap = a_tap, .rows = rows, .c = out->c, .accumulate = out->accumulate, .low = out->low, .high = out->high};
    uint32_t whole = cmf_tree_last_lanes(t) == CMF_PANEL && t->outputs % CMF_PANEL == 0 ? cmf_tree_panels(t) : cmf_tree_panels(t) - 1u;
    uint32_t direct = first;
    if (cmf_linear_in_place_f32(t, rows, out->accumulate))
        direct = whole < last ? whole : last;
    if (direct > first)
        f32_direct(l, t, stack, first, direct, &g, out);
    else
        direct = first;
    float *window = direct < last ? cmf_bump_window(&weights, t) : NULL;
    for (uint32_t p = direct; p < last; p++) {
        g.a = a;
        f32_decoded(l, t, stack, p, &g, out, window);
    }
}

/* ------------------------------------------------------------------ dct: activations change basis */

/* The inputs of `taps` runs of `rows` rows into another basis: c[k * rows + r] = Din a[k * a_tap + r], at `step` elements from run to run. */
static void f32_change_inputs(const cmf_linear *l, const cmf_tree *t, const cmf_dct_basis *basis, void *const *a, uint32_t rows,
                              void *const *c, size_t c_offset) {
    const f32_target plain = f32_plain(c);
    uint32_t whole = t->run - basis->in_tail;
    cmf_gemm g = {.a = a, .rows = rows, .taps = 1, .w_line = CMF_PANEL, .c = c, .low = plain.low, .high = plain.high};
    for (uint32_t first = 0; first < t->run; first += g.n) {
        g.n = first < whole ? basis->in_chunk : basis->in_tail;
        g.w = first < whole ? basis->in : basis->in_last;
        g.w_panel = (size_t)g.n * CMF_PANEL;
        g.panels = (g.n + CMF_PANEL - 1u) / CMF_PANEL;
        g.lanes = g.n - (g.panels - 1u) * CMF_PANEL;
        g.a_offset = first;
        g.c_offset = c_offset + first;
        l->isa->gemm_f32(&g);
    }
}

/* y = act(Dout^T y + bias), in place: a tile's rows are read before they are written. */
static void f32_change_outputs(const cmf_linear *l, const cmf_tree *t, const cmf_dct_basis *basis, uint32_t rows,
                               const f32_target *out) {
    cmf_gemm g = {.a = out->c, .rows = rows, .taps = 1, .panels = 1, .w_line = CMF_PANEL, .c = out->c, .low = out->low, .high = out->high};
    for (uint32_t first = 0; first < t->outputs; first += CMF_PANEL) {
        g.n = t->outputs - first < CMF_PANEL ? t->outputs - first : CMF_PANEL;
        g.w = g.n == CMF_PANEL ? basis->out : basis->out_last;
        g.lanes = g.n;
        g.a_offset = g.c_offset = out->offset + first;
        g.bias = out->bias ? out->bias + first : NULL;
        l->isa->gemm_f32(&g);
    }
}

/* ------------------------------------------------------------------ trees over rows that are given by pointers */

static void f32_dct_core(const cmf_linear *l, const cmf_tree *t, const cmf_dct_basis *basis, uint32_t stack, void *const *a,
                         size_t a_tap, uint32_t rows, const f32_target *out, cmf_bump weights) {
    const cmf_tree *inner = t->child[0];
    if (!basis->out) {
        f32_panels(l, inner, stack, 0, cmf_tree_panels(inner), a, a_tap, rows, out, weights);
        return;
    }
    f32_target plain = f32_plain(out->c);
    plain.offset = out->offset;
    f32_panels(l, inner, stack, 0, cmf_tree_panels(inner), a, a_tap, rows, &plain, weights);
    f32_change_outputs(l, t, basis, rows, out);
}

/* A factor (panel tree or dct) over rows; the activations of run k and row r are a[k * a_tap + r]. */
static void f32_factor(const cmf_linear *l, const cmf_tree *t, uint32_t stack, void *const *a, size_t a_tap, uint32_t rows,
                       const f32_target *out, cmf_bump weights, cmf_bump lists) {
    if (t->encoding != CMF_ENC_DCT) {
        f32_panels(l, t, stack, 0, cmf_tree_panels(t), a, a_tap, rows, out, weights);
        return;
    }
    cmf_dct_basis basis = cmf_dct_basis_of(l->tree, t, l->kept);
    if (!basis.in) {
        f32_dct_core(l, t, &basis, stack, a, a_tap, rows, out, weights);
        return;
    }
    uint32_t most = cmf_linear_rows(t->inputs), runs = t->inputs / t->run;
    most = most < rows ? most : rows;
    float *changed = cmf_bump_take(&weights, (size_t)4u * t->inputs * most);
    void **to = cmf_bump_take(&lists, sizeof *to * most * runs);
    for (uint32_t first = 0, n; first < rows; first += n) {
        n = rows - first < most ? rows - first : most;
        for (uint32_t k = 0; k < runs; k++)
            for (uint32_t r = 0; r < n; r++)
                to[k * n + r] = changed + (size_t)r * t->inputs + (size_t)k * t->run;
        for (uint32_t k = 0; k < runs; k++)
            f32_change_inputs(l, t, &basis, a + k * a_tap + first, n, to + (size_t)k * n, 0);
        f32_target part = *out;
        part.c = out->c + first;
        f32_dct_core(l, t, &basis, stack, to, n, n, &part, weights);
    }
}

/* ------------------------------------------------------------------ trees over the taps of a tile */

/* Pixels in another form, as a source of taps. With `single`, the taps of the one row of a tile, one after the other. */
typedef struct f32_pixels {
    cmf_source source;
    void **from, **to;
    uint32_t count;
    int single;
} f32_pixels;

/* Lists the pixels under a tile, and where their other form of n numbers goes. */
static f32_pixels f32_list_pixels(const cmf_linear *l, const cmf_source *source, const cmf_tile *tile, uint32_t n, float *target,
                                  cmf_bump *lists) {
    f32_pixels p = {0};
    p.single = cmf_tile_rows(tile) == 1u;
    cmf_tile box = cmf_linear_box(l, source, tile);
    p.count = p.single ? (uint32_t)l->kh * (uint32_t)l->kw : cmf_tile_rows(&box);
    p.from = cmf_bump_take(lists, sizeof *p.from * p.count);
    p.to = cmf_bump_take(lists, sizeof *p.to * p.count);
    for (uint32_t k = 0; k < p.count; k++)
        p.to[k] = target + (size_t)k * n;
    if (p.single) {
        cmf_linear_taps(l, source, tile, p.from);
        return p;
    }
    void **from = p.from;
    for (int32_t y = box.y0; y < box.y1; y++)
        for (int32_t x = box.x0; x < box.x1; x++)
            *from++ = (void *)(uintptr_t)(source->data + (size_t)(y - source->y0) * source->row + (size_t)(x - source->x0) * source->pixel);
    p.source.data = (const uint8_t *)target;
    p.source.y0 = box.y0;
    p.source.y1 = box.y1;
    p.source.x0 = box.x0;
    p.source.x1 = box.x1;
    p.source.pixel = (size_t)4u * n;
    p.source.row = p.source.pixel * (size_t)(box.x1 - box.x0);
    p.source.zero = source->zero;
    return p;
}

/* Taps of a tile out of such pixels. */
static void *const *f32_pixel_taps(const cmf_linear *l, const f32_pixels *p, const cmf_tile *tile, cmf_bump *lists) {
    if (p->single)
        return p->to;
    void **a = cmf_bump_take(lists, sizeof *a * cmf_tile_rows(tile) * (uint32_t)l->kh * (uint32_t)l->kw);
    cmf_linear_taps(l, &p->source, tile, a);
    return a;
}

/* A dct whose runs are pixels: each pixel changes basis once, whatever number of taps it serves. */
static void f32_spatial_dct(const cmf_linear *l, const cmf_tree *t, uint32_t stack, const cmf_source *source, const cmf_tile *tile,
                            const f32_target *out, cmf_bump weights, cmf_bump lists) {
    cmf_dct_basis basis = cmf_dct_basis_of(l->tree, t, l->kept);
    uint32_t rows = cmf_tile_rows(tile);
    if (!basis.in) {
        void **a = cmf_bump_take(&lists, sizeof *a * rows * (t->inputs / t->run));
        cmf_linear_taps(l, source, tile, a);
        f32_dct_core(l, t, &basis, stack, a, rows, rows, out, weights);
        return;
    }
    cmf_tile box = cmf_linear_box(l, source, tile);
    uint32_t pixels = rows == 1u ? t->inputs / t->run : cmf_tile_rows(&box);
    float *changed = cmf_bump_take(&weights, (size_t)4u * t->run * pixels);
    f32_pixels p = f32_list_pixels(l, source, tile, t->run, changed, &lists);
    f32_change_inputs(l, t, &basis, p.from, p.count, p.to, 0);
    void *const *a = f32_pixel_taps(l, &p, tile, &lists);
    f32_dct_core(l, t, &basis, stack, a, rows, rows, out, weights);
}

/* A factor over the taps of a tile: the pixels of `source` hold its runs, or its patches do. */
static void f32_spatial_factor(const cmf_linear *l, const cmf_tree *t, uint32_t stack, uint32_t first, uint32_t last,
                               const cmf_source *source, const cmf_tile *tile, const f32_target *out, cmf_bump weights, cmf_bump lists) {
    uint32_t rows = cmf_tile_rows(tile), taps = (uint32_t)l->kh * (uint32_t)l->kw, channels = t->inputs / taps;
    if (taps > 1u && t->run != channels) {
        uint32_t runs = t->inputs / t->run;
        uint8_t *patches = cmf_bump_take(&lists, (size_t)4u * rows * t->inputs + 64u);
        void **row = cmf_bump_take(&lists, sizeof *row * rows * runs);
        cmf_linear_patches(l, source, tile, (size_t)4u * channels, patches, row);
        for (uint32_t k = runs; k-- > 1u;)
            for (uint32_t r = 0; r < rows; r++)
                row[(size_t)k * rows + r] = (float *)row[r] + (size_t)k * t->run;
        if (t->encoding == CMF_ENC_DCT)
            f32_factor(l, t, stack, row, rows, rows, out, weights, lists);
        else
            f32_panels(l, t, stack, first, last, row, rows, rows, out, weights);
        return;
    }
    if (t->encoding == CMF_ENC_DCT && taps > 1u) {
        f32_spatial_dct(l, t, stack, source, tile, out, weights, lists);
        return;
    }
    uint32_t runs = t->inputs / t->run;
    void **a = cmf_bump_take(&lists, sizeof *a * rows * (runs > taps ? runs : taps));
    cmf_linear_taps(l, source, tile, a);
    if (t->run < channels) /* a MatMul whose weight has several runs */
        for (uint32_t k = runs; k-- > 1u;)
            for (uint32_t r = 0; r < rows; r++)
                a[(size_t)k * rows + r] = (float *)a[r] + (size_t)k * t->run;
    if (t->encoding == CMF_ENC_DCT)
        f32_factor(l, t, stack, a, rows, rows, out, weights, lists);
    else
        f32_panels(l, t, stack, first, last, a, rows, rows, out, weights);
}

static void **f32_middle(float *middle, uint32_t n, uint32_t rows, cmf_bump *lists) {
    void **row = cmf_bump_take(lists, sizeof *row * rows);
    for (uint32_t r = 0; r < rows; r++)
        row[r] = middle + (size_t)r * n;
    return row;
}

/* One factor after the other, through thin middles. */
static void f32_lowrank(const cmf_linear *l, uint32_t stack, const cmf_source *source, const cmf_tile *tile, const f32_target *out,
                        cmf_bump weights, cmf_bump lists) {
    const cmf_tree *t = l->tree;
    uint32_t rows = cmf_tile_rows(tile);
    int tucker = t->kind == CMF_FORM_TUCKER2;
    const cmf_tree *core = t->child[tucker ? 1 : 0], *last = t->child[tucker ? 2 : 1];
    f32_target result = *out, plain = f32_plain(out->c);
    plain.offset = out->offset;
    if (t->residual)
        result = plain;

    cmf_bump inner = weights, inner_lists = lists;
    float *middle = cmf_bump_take(&inner, (size_t)4u * core->outputs * rows);
    void **row = f32_middle(middle, core->outputs, rows, &inner_lists);
    const f32_target middle_target = f32_plain(row);
    if (tucker) { /* the first factor turns each pixel under the tile once */
        const cmf_tree *first = t->child[0];
        cmf_bump pixel_weights = inner, pixel_lists = inner_lists;
        uint32_t n = first->outputs;
        cmf_tile box = cmf_linear_box(l, source, tile);
        uint32_t pixels = rows == 1u ? (uint32_t)l->kh * (uint32_t)l->kw : cmf_tile_rows(&box);
        float *turned = cmf_bump_take(&pixel_weights, (size_t)4u * n * pixels);
        f32_pixels p = f32_list_pixels(l, source, tile, n, turned, &pixel_lists);
        const f32_target turned_target = f32_plain(p.to);
        if (p.count != 0)
            f32_factor(l, first, stack, p.from, p.count, p.count, &turned_target, pixel_weights, pixel_lists);
        if (p.single) {
            f32_factor(l, core, stack, p.to, 1, 1, &middle_target, pixel_weights, pixel_lists);
        } else {
            f32_spatial_factor(l, core, stack, 0, cmf_tree_panels(core), &p.source, tile, &middle_target, pixel_weights, pixel_lists);
        }
    } else {
        f32_spatial_factor(l, core, stack, 0, cmf_tree_panels(core), source, tile, &middle_target, inner, inner_lists);
    }
    f32_factor(l, last, stack, row, rows, rows, &result, inner, inner_lists);
    if (t->residual) {
        f32_target add = *out;
        add.accumulate = 1;
        f32_spatial_factor(l, t->residual, stack, 0, cmf_tree_panels(t->residual), source, tile, &add, weights, lists);
    }
}

void cmf_linear_tile_f32(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, uint32_t first, uint32_t last,
                         cmf_bump weights, cmf_bump rows) {
    void **c = cmf_bump_take(&rows, sizeof *c * cmf_tile_rows(tile));
    cmf_linear_outputs(l, item, tile, c);
    f32_target out = {c, 0, l->bias ? (const float *)l->bias + item->output : NULL, l->low, l->high, 0};
    cmf_source source = {(const uint8_t *)l->x + 4u * item->x, 0, l->h, 0, l->w, 4u * l->x_pixel * (size_t)l->w, 4u * l->x_pixel, l->shared};
    if (l->tree->encoding == CMF_ENC_LOWRANK)
        f32_lowrank(l, item->stack, &source, tile, &out, weights, rows);
    else
        f32_spatial_factor(l, l->tree, item->stack, first, last, &source, tile, &out, weights, rows);
}
