/* Depthwise convolutions over the vector vocabulary: 16 channels are the lanes, a few pixels share each tap's weights. */

#define dw_f32_tile CMF_SIMD(dw_f32_tile)
#define dw_i8_tile CMF_SIMD(dw_i8_tile)

CMF_INLINE void dw_f32_tile(const cmf_depthwise *d, const uint32_t mr, uint32_t row) {
    const float *w = d->w;
    v_f32 acc[4][V_REGS];
    CMF_UNROLL for (uint32_t m = 0; m < mr; m++) {
        const float *c = (const float *)d->c[row + m] + d->c_offset;
        CMF_UNROLL for (int v = 0; v < V_REGS; v++)
            acc[m][v] = d->accumulate ? v_load_n(c + V_LANES * v, (int)d->lanes - V_LANES * v) : v_set(0.0f);
    }
    void *const *a = d->a + row;
    for (uint32_t t = 0; t < d->taps; t++, a += d->a_tap, w += CMF_PANEL) {
        CMF_UNROLL for (int v = 0; v < V_REGS; v++) {
            v_f32 line = v_load(w + V_LANES * v);
            CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
                acc[m][v] = v_fma(v_load((const float *)a[m] + d->a_offset + V_LANES * v), line, acc[m][v]);
        }
    }
    const v_f32 low = v_set(d->low), high = v_set(d->high);
    CMF_UNROLL for (uint32_t m = 0; m < mr; m++) {
        float *c = (float *)d->c[row + m] + d->c_offset;
        CMF_UNROLL for (int v = 0; v < V_REGS; v++) {
            int n = (int)d->lanes - V_LANES * v;
            v_f32 b = d->bias ? v_load_n(d->bias + V_LANES * v, n) : v_set(0.0f);
            v_store_n(c + V_LANES * v, v_cap(v_raise(acc[m][v] + b, low), high), n);
        }
    }
}

static void CMF_SIMD(dw_f32)(const cmf_depthwise *d) {
    const uint32_t most = V_REGS > 2 ? 2u : 4u;
    uint32_t r = 0;
    for (; r + most <= d->rows; r += most)
        dw_f32_tile(d, most, r);
    for (; r < d->rows; r++)
        dw_f32_tile(d, 1, r);
}

CMF_INLINE void dw_i8_tile(const cmf_depthwise *d, const uint32_t mr, uint32_t row, const v_i32 start[V_REGS]) {
    const int8_t *w = d->w;
    int32_t *c = (int32_t *)d->c[0] + d->c_offset + (size_t)row * CMF_PANEL;
    v_i32 acc[4][V_REGS];
    CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
        CMF_UNROLL for (int v = 0; v < V_REGS; v++)
            acc[m][v] = d->accumulate ? start[v] + v_load_i32(c + m * CMF_PANEL + V_LANES * v) : start[v];
    void *const *a = d->a + row;
    for (uint32_t t = 0; t < d->taps; t += 4u, a += 4u * d->a_tap, w += CMF_LINE_BYTES) {
        v_line line = v_load_line(w);
        CMF_UNROLL for (uint32_t m = 0; m < mr; m++) {
            const int8_t *x[4];
            CMF_UNROLL for (uint32_t k = 0; k < 4u; k++)
                x[k] = (const int8_t *)a[k * d->a_tap + m] + d->a_offset;
            v_dot_zip(acc[m], line, v_zip(x[0], x[1], x[2], x[3]));
        }
    }
    CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
        CMF_UNROLL for (int v = 0; v < V_REGS; v++)
            v_store_i32(c + m * CMF_PANEL + V_LANES * v, acc[m][v]);
}

static void CMF_SIMD(dw_i8)(const cmf_depthwise *d) {
    v_i32 start[V_REGS];
    for (int v = 0; v < V_REGS; v++)
        start[v] = v_set_i32(0);
#if V_DOT_FLIPPED
    for (uint32_t t = 0; t < d->taps; t += 4u)
        v_dot(start, v_load_line((const int8_t *)d->w + (size_t)(t / 4u) * CMF_LINE_BYTES), v_ones());
    for (int v = 0; v < V_REGS; v++)
        start[v] = v_set_i32(-128) * start[v];
#endif
    const uint32_t most = V_REGS == 1 ? 4u : 1u;
    uint32_t r = 0;
    for (; r + most <= d->rows; r += most)
        dw_i8_tile(d, most, r, start);
    for (; r < d->rows; r++)
        dw_i8_tile(d, 1, r, start);
}

#undef dw_f32_tile
#undef dw_i8_tile
