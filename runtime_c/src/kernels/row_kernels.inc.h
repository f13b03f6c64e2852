/* Requantization, quantization and the Winograd transforms over the vector vocabulary. */

CMF_INLINE void CMF_SIMD(sums_to_i8_lanes)(const cmf_sums_to_i8 *q, const uint32_t lanes) {
    const v_f32 low = v_set((float)(q->low - q->zero)), high = v_set((float)(q->high - q->zero));
    const v_i32 zero = v_set_i32(q->zero);
    v_i32 bias[V_REGS];
    v_f32 m[V_REGS];
    CMF_UNROLL for (int v = 0; v < V_REGS; v++) {
        bias[v] = v_load_i32(q->bias + V_LANES * v);
        m[v] = v_load(q->m + V_LANES * v);
    }
    const int32_t *acc = q->acc;
    for (uint32_t r = 0; r < q->rows; r++, acc += CMF_PANEL) {
        v_i32 y[V_REGS];
        CMF_UNROLL for (int v = 0; v < V_REGS; v++) {
            v_f32 x = v_float(v_load_i32(acc + V_LANES * v) + bias[v]) * m[v];
            y[v] = v_round(v_at_most(v_at_least(x, low), high)) + zero;
        }
        v_store_i8((int8_t *)q->c[r] + q->c_offset, y, (int)lanes);
    }
}

static void CMF_SIMD(sums_to_i8)(const cmf_sums_to_i8 *q) {
    if (q->lanes == CMF_PANEL)
        CMF_SIMD(sums_to_i8_lanes)(q, CMF_PANEL);
    else
        CMF_SIMD(sums_to_i8_lanes)(q, q->lanes);
}

static void CMF_SIMD(sums_to_f32)(const cmf_sums_to_f32 *q) {
    const v_f32 low = v_set(q->low), high = v_set(q->high);
    const int32_t *acc = q->acc;
    for (uint32_t r = 0; r < q->rows; r++, acc += CMF_PANEL) {
        float *c = (float *)q->c[r] + q->c_offset;
        const v_f32 row_scale = v_set(q->row_scale[r]);
        CMF_UNROLL for (int v = 0; v < V_REGS; v++) {
            v_f32 scale = row_scale * v_load(q->scale + V_LANES * v);
            v_f32 x = v_float(v_load_i32(acc + V_LANES * v)) * scale + v_load(q->bias + V_LANES * v);
            v_store_n(c + V_LANES * v, v_cap(v_raise(x, low), high), (int)q->lanes - V_LANES * v);
        }
    }
}

static float CMF_SIMD(absmax)(const float *x, size_t n) {
    v_f32 most = v_set(0.0f);
    for (; n >= V_LANES; n -= V_LANES, x += V_LANES)
        most = v_at_least(v_abs(v_load(x)), most); /* not a number: most */
    most = v_at_least(v_abs(v_load_n(x, (int)n)), most);
    float lanes[V_LANES], top = 0.0f;
    v_store(lanes, most);
    for (int l = 0; l < V_LANES; l++)
        top = lanes[l] > top ? lanes[l] : top;
    return top;
}

static void CMF_SIMD(quantize)(const float *x, size_t n, float scale, int8_t *q) {
    const v_f32 low = v_set(-127.0f), high = v_set(127.0f), s = v_set(scale);
    for (size_t i = 0; i < n; i += CMF_PANEL) {
        int left = n - i < CMF_PANEL ? (int)(n - i) : (int)CMF_PANEL;
        v_i32 y[V_REGS];
        CMF_UNROLL for (int v = 0; v < V_REGS; v++)
            y[v] = v_round(v_at_most(v_at_least(v_load_n(x + i + V_LANES * v, left - V_LANES * v) / s, low), high));
        v_store_i8(q + i, y, left);
    }
}

CMF_INLINE void CMF_SIMD(winograd_input_tile)(const uint32_t tile, void *const *d, uint32_t channels, float *v, size_t v_position) {
    const uint32_t positions = (tile + 2u) * (tile + 2u);
    for (uint32_t c = 0; c < channels; c += V_LANES) {
        int n = (int)(channels - c);
        v_f32 x[36], y[36];
        CMF_UNROLL for (uint32_t k = 0; k < positions; k++)
            x[k] = v_load_n((const float *)d[k] + c, n);
        CMF_SIMD(wino_input_2d)(tile, x, y);
        CMF_UNROLL for (uint32_t k = 0; k < positions; k++)
            v_store_n(v + k * v_position + c, y[k], n);
    }
}

static void CMF_SIMD(winograd_input)(uint32_t tile, void *const *d, uint32_t channels, float *v, size_t v_position) {
    if (tile == 2u)
        CMF_SIMD(winograd_input_tile)(2, d, channels, v, v_position);
    else
        CMF_SIMD(winograd_input_tile)(4, d, channels, v, v_position);
}

CMF_INLINE void CMF_SIMD(winograd_output_tile)(const uint32_t tile, const float *m, size_t m_position, uint32_t lanes,
                                               const float *bias, float low, float high, void *const *y, size_t c_offset) {
    const uint32_t positions = (tile + 2u) * (tile + 2u);
    const v_f32 least = v_set(low), most = v_set(high);
    for (uint32_t l = 0; l < lanes; l += V_LANES) {
        int n = (int)(lanes - l);
        v_f32 b = bias ? v_load_n(bias + l, n) : v_set(0.0f);
        v_f32 x[36], z[16];
        CMF_UNROLL for (uint32_t k = 0; k < positions; k++)
            x[k] = v_load(m + k * m_position + l);
        CMF_SIMD(wino_output_2d)(tile, x, z);
        CMF_UNROLL for (uint32_t k = 0; k < tile * tile; k++)
            if (y[k])
                v_store_n((float *)y[k] + c_offset + l, v_cap(v_raise(z[k] + b, least), most), n);
    }
}

static void CMF_SIMD(winograd_output)(uint32_t tile, const float *m, size_t m_position, uint32_t lanes, const float *bias,
                                      float low, float high, void *const *y, size_t c_offset) {
    if (tile == 2u)
        CMF_SIMD(winograd_output_tile)(2, m, m_position, lanes, bias, low, high, y, c_offset);
    else
        CMF_SIMD(winograd_output_tile)(4, m, m_position, lanes, bias, low, high, y, c_offset);
}
