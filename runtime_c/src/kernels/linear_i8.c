/* int8_static and int8_dynamic products by panel trees (FORMAT.md 5.2). */
#include <string.h>

#include "encodings/panels.h"
#include "kernels/linear.h"

#define I8_ROW_PANELS 8u

size_t cmf_linear_sums_bytes(uint32_t rows) {
    return (size_t)(rows > I8_ROW_PANELS ? rows : I8_ROW_PANELS) * CMF_PANEL * sizeof(int32_t);
}

int cmf_linear_in_place_i8(const cmf_tree *t) {
    return t->encoding == CMF_ENC_QUANTIZED && t->bits == 8 && t->layout == CMF_LAYOUT_LINES && t->zeros.data == NULL;
}

static void i8_scales(const cmf_tree *tree, uint32_t stack, uint32_t output, uint32_t lanes, float *scale) {
    const cmf_tree *leaf = cmf_tree_leaf(tree);
    if (leaf->granularity == CMF_GRAN_CHANNEL && leaf->scale_dtype == CMF_F32)
        memcpy(scale, leaf->scales.data + 4u * (stack * cmf_tree_padded_outputs(leaf) + output), lanes * sizeof *scale);
    else
        for (uint32_t k = 0; k < lanes; k++)
            scale[k] = cmf_tree_i8_scale(tree, stack, output + k);
}

/* The sums of one panel, its codes decoded a window at a time. */
static void i8_decoded(const cmf_linear *l, const cmf_tree *t, uint32_t stack, uint32_t panel, cmf_gemm *g, int8_t *window) {
    const uint32_t run = t->run, taps = t->inputs / run, most = 4u * CMF_LINEAR_WINDOW, run_lines = (run + 3u) / 4u;
    void *const *a = g->a;
    cmf_panel_reader reader;
    cmf_panel_begin(&reader, t, stack, panel);
    g->w = window;
    g->accumulate = 0;
    for (uint32_t tap = 0, input = 0; tap < taps;) {
        g->a = a + tap * g->a_tap;
        g->a_offset = input;
        if (run <= most) {
            g->taps = CMF_LINEAR_WINDOW / run_lines < taps - tap ? CMF_LINEAR_WINDOW / run_lines : taps - tap;
            g->n = run;
            for (uint32_t k = 0; k < g->taps; k++)
                cmf_panel_next_i8(&reader, run, window + (size_t)k * run_lines * CMF_LINE_BYTES);
            tap += g->taps;
        } else {
            g->taps = 1;
            g->n = run - input < most ? run - input : most;
            cmf_panel_next_i8(&reader, g->n, window);
            input += g->n;
            if (input == run) {
                input = 0;
                tap++;
            }
        }
        l->isa->gemm_i8(g);
        g->accumulate = 1;
    }
    g->a = a;
}

void cmf_linear_finish_i8(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, uint32_t panel,
                          const int32_t *acc, void *const *out, const float *row_scales) {
    uint32_t output = panel * CMF_PANEL, left = l->tree->outputs - output, lanes = left < CMF_PANEL ? left : CMF_PANEL;
    if (l->compute == 1) {
        int32_t bias[CMF_PANEL] = {0};
        float m[CMF_PANEL] = {0};
        if (l->bias)
            memcpy(bias, (const int32_t *)l->bias + item->output + output, lanes * sizeof *bias);
        memcpy(m, l->kept + (size_t)item->stack * l->tree->outputs + output, lanes * sizeof *m);
        cmf_sums_to_i8 q = {acc, bias, m, cmf_tile_rows(tile), lanes, l->zero_y, l->code_low, l->code_high, out, output};
        l->isa->sums_to_i8(&q);
    } else {
        float bias[CMF_PANEL] = {0}, scale[CMF_PANEL] = {0};
        if (l->bias)
            memcpy(bias, (const float *)l->bias + item->output + output, lanes * sizeof *bias);
        i8_scales(l->tree, item->stack, output, lanes, scale);
        cmf_sums_to_f32 q = {acc, row_scales, scale, bias, l->low, l->high, cmf_tile_rows(tile), lanes, out, output};
        l->isa->sums_to_f32(&q);
    }
}

/* The rows of a tile, run by run: a[run * rows + row]. */
static void **i8_rows(const cmf_linear *l, const cmf_source *source, const cmf_tile *tile, cmf_bump *lists) {
    const cmf_tree *t = l->tree;
    uint32_t rows = cmf_tile_rows(tile), taps = (uint32_t)l->kh * (uint32_t)l->kw, runs = t->inputs / t->run;
    if (taps > 1u && t->run != l->channels) {
        uint8_t *patches = cmf_bump_take(lists, (size_t)rows * t->inputs + 64u);
        void **row = cmf_bump_take(lists, sizeof *row * rows * runs);
        cmf_linear_patches(l, source, tile, l->channels, patches, row);
        for (uint32_t k = runs; k-- > 1u;)
            for (uint32_t r = 0; r < rows; r++)
                row[(size_t)k * rows + r] = (int8_t *)row[r] + (size_t)k * t->run;
        return row;
    }
    void **a = cmf_bump_take(lists, sizeof *a * rows * (runs > taps ? runs : taps));
    cmf_linear_taps(l, source, tile, a);
    if (t->run < l->channels)
        for (uint32_t k = runs; k-- > 1u;)
            for (uint32_t r = 0; r < rows; r++)
                a[(size_t)k * rows + r] = (int8_t *)a[r] + (size_t)k * t->run;
    return a;
}

void cmf_linear_tile_i8(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, uint32_t first, uint32_t last,
                        cmf_bump weights, cmf_bump rows) {
    const cmf_tree *t = l->tree;
    uint32_t count = cmf_tile_rows(tile);
    void **out = cmf_bump_take(&rows, sizeof *out * count);
    cmf_linear_outputs(l, item, tile, out);
    int32_t *acc = cmf_bump_take(&rows, cmf_linear_sums_bytes(count));
    float *scales = cmf_bump_take(&rows, sizeof *scales * count);
    if (l->compute == 2)
        cmf_linear_row_scales(l, item, tile, scales);
    cmf_source source = {(const uint8_t *)l->x + item->x, 0, l->h, 0, l->w, l->x_pixel * (size_t)l->w, l->x_pixel, l->shared};
    void *sums = acc;
    cmf_gemm g = {.a = i8_rows(l, &source, tile, &rows), .a_tap = count, .rows = count, .panels = 1, .lanes = CMF_PANEL, .c = &sums};
    int8_t *window = cmf_bump_window(&weights, t);
    const uint32_t most = count == 1u ? I8_ROW_PANELS : 1u; /* panels at a time */
    for (uint32_t p = first; p < last; p += g.panels) {
        g.panels = 1;
        if (cmf_linear_in_place_i8(t) && cmf_tree_lanes(t, p) == CMF_PANEL) {
            while (g.panels < most && p + g.panels < last && cmf_tree_lanes(t, p + g.panels) == CMF_PANEL)
                g.panels++;
            g.w = t->codes.data + cmf_panel_start(t, item->stack, p);
            g.w_panel = (size_t)cmf_panel_bytes(t, CMF_PANEL);
            g.taps = t->inputs / t->run;
            g.n = t->run;
            g.a_offset = 0;
            g.accumulate = 0;
            l->isa->gemm_i8(&g);
        } else {
            i8_decoded(l, t, item->stack, p, &g, window);
        }
        for (uint32_t k = 0; k < g.panels; k++)
            cmf_linear_finish_i8(l, item, tile, p + k, acc + (size_t)k * CMF_PANEL, out, scales);
    }
}
