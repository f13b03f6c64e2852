/* Depthwise convolutions: layout rows, 16 channels are the lanes; f32 and int8. */
#include <string.h>

#include "base/math.h"
#include "encodings/encoding.h"
#include "kernels/linear.h"

/* With several outputs for each channel, or an image that ends with its memory: spreads the channels of a panel over its lanes. */
static void depthwise_spread(const cmf_linear *l, uint32_t panel, uint32_t lanes, uint32_t taps, uint32_t rows, void *const *a,
                             void **spread, uint8_t *values) {
    size_t element = l->compute == 0 ? 4u : 1u;
    uint32_t channel[CMF_PANEL];
    for (uint32_t k = 0; k < CMF_PANEL; k++)
        channel[k] = (panel * CMF_PANEL + (k < lanes ? k : 0u)) / l->multiplier;
    for (size_t i = 0; i < (size_t)taps * rows; i++, values += CMF_PANEL * element) {
        for (uint32_t k = 0; k < CMF_PANEL; k++)
            memcpy(values + k * element, (const uint8_t *)a[i] + channel[k] * element, element);
        spread[i] = values;
    }
}

/* One panel: windows of its taps, the sums waiting in c. */
static void depthwise_panel(const cmf_linear *l, uint32_t panel, cmf_depthwise *d, void *const *a, uint32_t taps, void *window) {
    cmf_depthwise plain = *d;
    cmf_panel_reader reader;
    cmf_panel_begin(&reader, l->tree, 0, panel);
    uint32_t most = CMF_LINEAR_WINDOW;
    for (uint32_t tap = 0, n; tap < taps; tap += n) {
        n = taps - tap < most ? taps - tap : most;
        cmf_depthwise part = tap + n == taps ? *d : plain;
        part.w = window;
        part.a = a + (size_t)tap * d->a_tap;
        part.accumulate = tap != 0;
        if (l->compute == 0) {
            if (tap + n != taps) {
                part.bias = NULL;
                part.low = -cmf_inff();
                part.high = cmf_inff();
            }
            cmf_panel_next_f32(&reader, n, window);
            part.taps = n;
            l->isa->dw_f32(&part);
        } else {
            cmf_panel_next_i8(&reader, n, window);
            part.taps = (n + 3u) & ~3u;
            l->isa->dw_i8(&part);
        }
    }
}

void cmf_depthwise_tile(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, uint32_t first, uint32_t last,
                        cmf_bump weights, cmf_bump lists) {
    const uint32_t taps = (uint32_t)l->kh * (uint32_t)l->kw, padded = (taps + 3u) & ~3u, rows = cmf_tile_rows(tile);
    const size_t element = l->compute == 0 ? 4u : 1u;
    void **out = cmf_bump_take(&lists, sizeof *out * rows);
    cmf_linear_outputs(l, item, tile, out);
    void **a = cmf_bump_take(&lists, sizeof *a * rows * padded);
    cmf_source source = {(const uint8_t *)l->x + item->x * element, 0, l->h, 0, l->w, element * l->x_pixel * (size_t)l->w,
                         element * l->x_pixel, l->shared};
    cmf_linear_taps(l, &source, tile, a);
    for (size_t i = (size_t)taps * rows; i < (size_t)padded * rows; i++) /* taps that fill up four: their weights are 0 */
        a[i] = l->shared;
    void **spread = NULL;
    uint8_t *values = NULL;
    if (l->spread) {
        spread = cmf_bump_take(&lists, sizeof *spread * rows * padded);
        values = cmf_bump_take(&lists, element * CMF_PANEL * rows * padded);
    }
    int32_t *acc = NULL;
    float *scales = NULL;
    void *sums = NULL;
    if (l->compute != 0) {
        sums = acc = cmf_bump_take(&lists, sizeof *acc * CMF_PANEL * rows);
        scales = cmf_bump_take(&lists, sizeof *scales * rows);
        if (l->compute == 2)
            cmf_linear_row_scales(l, item, tile, scales);
    }
    void *window = cmf_bump_window(&weights, l->tree);
    for (uint32_t p = first; p < last; p++) {
        uint32_t output = p * CMF_PANEL, left = l->tree->outputs - output;
        cmf_depthwise d = {.a_tap = rows, .rows = rows, .lanes = left < CMF_PANEL ? left : CMF_PANEL, .low = l->low, .high = l->high};
        void *const *from = a;
        if (spread) {
            depthwise_spread(l, p, d.lanes, padded, rows, a, spread, values);
            from = spread;
        } else {
            d.a_offset = output;
        }
        if (l->compute == 0) {
            d.c = out;
            d.c_offset = output;
            d.bias = l->bias ? (const float *)l->bias + output : NULL;
            depthwise_panel(l, p, &d, from, taps, window);
        } else {
            d.c = &sums;
            depthwise_panel(l, p, &d, from, taps, window);
            cmf_linear_finish_i8(l, item, tile, p, acc, out, scales);
        }
    }
}
