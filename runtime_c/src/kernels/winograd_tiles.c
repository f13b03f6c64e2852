/* Convolutions by Winograd's minimal filtering (Lavin and Gray, arXiv 1509.09308): Y = A^T [U * (B^T d B)] A. The filters stay in their
 * basis; a block of tiles of activations changes into it, is multiplied position by position, and the results change back. */
#include "base/math.h"
#include "encodings/panels.h"
#include "kernels/linear.h"

/* Where the (tile + 2)^2 pixels under output tile (y, x) lie. */
static void winograd_pixels(const cmf_linear *l, const cmf_source *source, int32_t y, int32_t x, void **d) {
    int32_t size = l->tree->tile + 2;
    for (int32_t i = 0; i < size; i++) {
        int32_t iy = y - l->top + i;
        for (int32_t j = 0; j < size; j++) {
            int32_t ix = x - l->left + j;
            const void *p = source->zero;
            if (iy >= source->y0 && iy < source->y1 && ix >= source->x0 && ix < source->x1)
                p = source->data + (size_t)iy * source->row + (size_t)ix * source->pixel;
            *d++ = (void *)(uintptr_t)p;
        }
    }
}

/* Panel `panel` of position `position` for `rows` tiles: m[row][16] = v[row][channels] U. */
static void winograd_product(const cmf_linear *l, uint32_t position, uint32_t panel, const float *v, uint32_t rows, float *m,
                             float *window) {
    const cmf_tree *t = l->tree->child[0];
    void *a[64], *c[64];
    for (uint32_t r = 0; r < rows; r++) {
        a[r] = (void *)(uintptr_t)(v + (size_t)r * t->inputs);
        c[r] = m + (size_t)r * CMF_PANEL;
    }
    const float infinity = cmf_inff();
    cmf_gemm g = {.a = a, .rows = rows, .taps = 1, .panels = 1, .lanes = CMF_PANEL, .w_line = CMF_PANEL, .c = c, .low = -infinity, .high = infinity};
    if (t->encoding == CMF_ENC_DENSE && t->dtype == CMF_F32 && cmf_tree_lanes(t, panel) == CMF_PANEL) {
        g.n = t->inputs;
        g.w = t->codes.data + cmf_panel_start(t, position, panel);
        l->isa->gemm_f32(&g);
        return;
    }
    cmf_panel_reader reader;
    cmf_panel_begin(&reader, t, position, panel);
    g.w = window;
    for (uint32_t input = 0; input < t->inputs; input += g.n) {
        uint32_t left = t->run - input % t->run;
        g.n = left < CMF_LINEAR_WINDOW ? left : CMF_LINEAR_WINDOW;
        g.a_offset = input;
        cmf_panel_next_f32(&reader, g.n, window);
        l->isa->gemm_f32(&g);
        g.accumulate = 1;
    }
}

void cmf_winograd_tile(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *block, cmf_bump weights, cmf_bump lists) {
    const cmf_tree *t = l->tree->child[0];
    const uint32_t tile = l->tree->tile, positions = t->stack, most = cmf_winograd_block(l->tree);
    const int32_t step = (int32_t)tile;
    float *v = cmf_bump_take(&weights, (size_t)4u * positions * t->inputs * most);
    float *m = cmf_bump_take(&weights, (size_t)4u * positions * CMF_PANEL * most);
    float *window = cmf_bump_window(&weights, t);
    void **pointers = cmf_bump_take(&lists, sizeof *pointers * 64u);
    cmf_source source = {(const uint8_t *)l->x + 4u * item->x, 0, l->h, 0, l->w, 4u * l->x_pixel * (size_t)l->w, 4u * l->x_pixel, l->shared};

    uint32_t rows = 0;
    const size_t v_position = (size_t)most * t->inputs, m_position = (size_t)most * CMF_PANEL;
    for (int32_t y = block->y0; y < block->y1; y += step) {
        for (int32_t x = block->x0; x < block->x1; x += step, rows++) {
            winograd_pixels(l, &source, y, x, pointers);
            l->isa->winograd_input(tile, pointers, t->inputs, v + (size_t)rows * t->inputs, v_position);
        }
    }
    float *image = (float *)l->y + item->y;
    for (uint32_t p = 0; p < cmf_tree_panels(t); p++) {
        for (uint32_t k = 0; k < positions; k++)
            winograd_product(l, k, p, v + k * v_position, rows, m + k * m_position, window);
        uint32_t output = p * CMF_PANEL, left = t->outputs - output, row = 0;
        for (int32_t y = block->y0; y < block->y1; y += step) {
            for (int32_t x = block->x0; x < block->x1; x += step, row++) {
                for (int32_t i = 0; i < step; i++)
                    for (int32_t j = 0; j < step; j++)
                        pointers[i * step + j] = y + i < block->y1 && x + j < block->x1
                            ? image + ((size_t)(y + i) * (size_t)l->wo + (size_t)(x + j)) * l->y_pixel : NULL;
                l->isa->winograd_output(tile, m + (size_t)row * CMF_PANEL, m_position, left < CMF_PANEL ? left : CMF_PANEL,
                                        l->bias ? (const float *)l->bias + output : NULL, l->low, l->high, pointers, output);
            }
        }
    }
}
