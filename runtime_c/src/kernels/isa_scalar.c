/* The kernels in plain C: what the slots mean. Other sets are held to these by tests/c/check_kernels.c. */
#include <string.h>

#include "base/math.h"
#include "kernels/isa_kernels.h"

#define CMF_SIMD(name) name##_scalar

/* Both leave a value that is not a number alone. */
static float scalar_activate(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

static const float *scalar_row_f32(void *const *rows, size_t index, size_t offset) {
    return (const float *)rows[index] + offset;
}

static const int8_t *scalar_row_i8(void *const *rows, size_t index, size_t offset) {
    return (const int8_t *)rows[index] + offset;
}

static void scalar_gemm_f32(const cmf_gemm *g) {
    for (uint32_t p = 0; p < g->panels; p++) {
        const float *panel = (const float *)g->w + p * g->w_panel;
        uint32_t lanes = p + 1 == g->panels ? g->lanes : CMF_PANEL;
        for (uint32_t r = 0; r < g->rows; r++) {
            float *c = (float *)g->c[r] + g->c_offset + (size_t)p * CMF_PANEL;
            float sum[CMF_PANEL] = {0};
            if (g->accumulate)
                memcpy(sum, c, lanes * sizeof *c);
            const float *line = panel;
            for (uint32_t t = 0; t < g->taps; t++) {
                const float *a = scalar_row_f32(g->a, t * g->a_tap + r, g->a_offset);
                for (uint32_t i = 0; i < g->n; i++, line += g->w_line)
                    for (uint32_t l = 0; l < CMF_PANEL; l++)
                        sum[l] += a[i] * line[l];
            }
            const float *bias = g->bias ? g->bias + (size_t)p * CMF_PANEL : NULL;
            for (uint32_t l = 0; l < lanes; l++)
                c[l] = scalar_activate(sum[l] + (bias ? bias[l] : 0.0f), g->low, g->high);
        }
    }
}

static void scalar_gemm_q8_f32(const cmf_gemm *g) {
    for (uint32_t p = 0; p < g->panels; p++) {
        const int8_t *panel = (const int8_t *)g->w + p * g->w_panel;
        const float *scale = g->scale + (size_t)p * CMF_PANEL;
        uint32_t lanes = p + 1 == g->panels ? g->lanes : CMF_PANEL;
        for (uint32_t r = 0; r < g->rows; r++) {
            float *c = (float *)g->c[r] + g->c_offset + (size_t)p * CMF_PANEL;
            float sum[CMF_PANEL] = {0};
            const int8_t *line = panel;
            for (uint32_t t = 0; t < g->taps; t++, line += (size_t)(g->n + 3u) / 4u * CMF_LINE_BYTES) {
                const float *a = scalar_row_f32(g->a, t * g->a_tap + r, g->a_offset);
                for (uint32_t i = 0; i < g->n; i++)
                    for (uint32_t l = 0; l < CMF_PANEL; l++)
                        sum[l] += a[i] * (float)line[(size_t)(i / 4u) * CMF_LINE_BYTES + 4u * l + i % 4u];
            }
            const float *bias = g->bias ? g->bias + (size_t)p * CMF_PANEL : NULL;
            for (uint32_t l = 0; l < lanes; l++)
                c[l] = scalar_activate(sum[l] * scale[l] + (bias ? bias[l] : 0.0f), g->low, g->high);
        }
    }
}

static void scalar_gemm_i8(const cmf_gemm *g) {
    int32_t *c = (int32_t *)g->c[0] + g->c_offset;
    for (uint32_t k = 0; k < g->panels * g->rows; k++, c += CMF_PANEL) {
        uint32_t r = k % g->rows;
        uint32_t sum[CMF_PANEL] = {0}; /* unsigned: wraps */
        if (g->accumulate)
            memcpy(sum, c, sizeof sum);
        const int8_t *line = (const int8_t *)g->w + k / g->rows * g->w_panel;
        for (uint32_t t = 0; t < g->taps; t++) {
            const int8_t *a = scalar_row_i8(g->a, t * g->a_tap + r, g->a_offset);
            for (uint32_t i = 0; i < g->n; i += 4u, line += CMF_LINE_BYTES)
                for (uint32_t l = 0; l < CMF_PANEL; l++)
                    for (uint32_t b = 0; b < 4u; b++)
                        sum[l] += (uint32_t)(a[i + b] * line[4u * l + b]);
        }
        memcpy(c, sum, sizeof sum);
    }
}

static void scalar_dw_f32(const cmf_depthwise *d) {
    for (uint32_t r = 0; r < d->rows; r++) {
        float *c = (float *)d->c[r] + d->c_offset;
        const float *w = d->w;
        for (uint32_t l = 0; l < d->lanes; l++) {
            float sum = d->accumulate ? c[l] : 0.0f;
            for (uint32_t t = 0; t < d->taps; t++)
                sum += scalar_row_f32(d->a, t * d->a_tap + r, d->a_offset)[l] * w[(size_t)t * CMF_PANEL + l];
            c[l] = scalar_activate(sum + (d->bias ? d->bias[l] : 0.0f), d->low, d->high);
        }
    }
}

static void scalar_dw_i8(const cmf_depthwise *d) {
    int32_t *c = (int32_t *)d->c[0] + d->c_offset;
    for (uint32_t r = 0; r < d->rows; r++, c += CMF_PANEL) {
        const int8_t *w = d->w;
        for (uint32_t l = 0; l < CMF_PANEL; l++) {
            uint32_t sum = d->accumulate ? (uint32_t)c[l] : 0u;
            for (uint32_t t = 0; t < d->taps; t++) {
                int32_t x = scalar_row_i8(d->a, t * d->a_tap + r, d->a_offset)[l];
                sum += (uint32_t)(x * w[(size_t)(t / 4u) * CMF_LINE_BYTES + 4u * l + t % 4u]);
            }
            c[l] = (int32_t)sum;
        }
    }
}

static void scalar_sums_to_i8(const cmf_sums_to_i8 *q) {
    float low = (float)(q->low - q->zero), high = (float)(q->high - q->zero); /* exact: the order of rounding and clamping is free */
    const int32_t *acc = q->acc;
    for (uint32_t r = 0; r < q->rows; r++, acc += CMF_PANEL) {
        int8_t *c = (int8_t *)q->c[r] + q->c_offset;
        for (uint32_t l = 0; l < q->lanes; l++) {
            float x = (float)(int32_t)((uint32_t)acc[l] + (uint32_t)q->bias[l]) * q->m[l];
            x = x > low ? x : low; /* not a number: low */
            x = x < high ? x : high;
            c[l] = (int8_t)((int32_t)cmf_rintf(x) + q->zero);
        }
    }
}

static void scalar_sums_to_f32(const cmf_sums_to_f32 *q) {
    const int32_t *acc = q->acc;
    for (uint32_t r = 0; r < q->rows; r++, acc += CMF_PANEL) {
        float *c = (float *)q->c[r] + q->c_offset;
        for (uint32_t l = 0; l < q->lanes; l++)
            c[l] = scalar_activate((float)acc[l] * (q->row_scale[r] * q->scale[l]) + q->bias[l], q->low, q->high);
    }
}

static float scalar_absmax(const float *x, size_t n) {
    float most = 0.0f;
    for (size_t i = 0; i < n; i++) {
        float a = cmf_absf(x[i]);
        most = a > most ? a : most;
    }
    return most;
}

static void scalar_quantize(const float *x, size_t n, float scale, int8_t *q) {
    for (size_t i = 0; i < n; i++) {
        float y = x[i] / scale;
        y = y > -127.0f ? y : -127.0f;
        y = y < 127.0f ? y : 127.0f;
        q[i] = (int8_t)cmf_rintf(y);
    }
}

typedef float scalar_f32;
#define v_f32 scalar_f32
#include "kernels/winograd_transforms.inc.h"
#undef v_f32

static void scalar_winograd_input(uint32_t tile, void *const *d, uint32_t channels, float *v, size_t v_position) {
    const uint32_t positions = (tile + 2u) * (tile + 2u);
    float x[36], y[36];
    for (uint32_t c = 0; c < channels; c++) {
        for (uint32_t k = 0; k < positions; k++)
            x[k] = ((const float *)d[k])[c];
        wino_input_2d_scalar(tile, x, y);
        for (uint32_t k = 0; k < positions; k++)
            v[k * v_position + c] = y[k];
    }
}

static void scalar_winograd_output(uint32_t tile, const float *m, size_t m_position, uint32_t lanes, const float *bias,
                                   float low, float high, void *const *y, size_t c_offset) {
    const uint32_t positions = (tile + 2u) * (tile + 2u);
    float x[36], z[16];
    for (uint32_t l = 0; l < lanes; l++) {
        for (uint32_t k = 0; k < positions; k++)
            x[k] = m[k * m_position + l];
        wino_output_2d_scalar(tile, x, z);
        for (uint32_t k = 0; k < tile * tile; k++)
            if (y[k])
                ((float *)y[k])[c_offset + l] = scalar_activate(z[k] + (bias ? bias[l] : 0.0f), low, high);
    }
}

const cmf_isa_kernels cmf_isa_scalar = {
    .level = CMF_ISA_SCALAR, .name = "scalar",
    .gemm_f32 = scalar_gemm_f32, .gemm_q8_f32 = scalar_gemm_q8_f32, .gemm_i8 = scalar_gemm_i8,
    .dw_f32 = scalar_dw_f32, .dw_i8 = scalar_dw_i8,
    .sums_to_i8 = scalar_sums_to_i8, .sums_to_f32 = scalar_sums_to_f32,
    .absmax = scalar_absmax, .quantize = scalar_quantize,
    .winograd_input = scalar_winograd_input, .winograd_output = scalar_winograd_output,
};

#undef CMF_SIMD
