/* Matrix products over the vector vocabulary; included once for each instruction set. A tile is a few rows by one panel, or, where
 * rows are few, by several panels (the chains of additions must be long enough in number to hide their latency); its sums
 * stay in registers over all inputs. CMF_GEMM_ROWS and CMF_DOT_ROWS say how many rows fit. */

#define gemm_rows CMF_SIMD(gemm_rows)
#define gemm_finish CMF_SIMD(gemm_finish)
#define gemm_f32_tile CMF_SIMD(gemm_f32_tile)
#define gemm_q8_tile CMF_SIMD(gemm_q8_tile)
#define gemm_i8_tile CMF_SIMD(gemm_i8_tile)
#define gemm_i8_row CMF_SIMD(gemm_i8_row)

/* Rows of the next tile: of equal tiles that cover what is left. */
CMF_INLINE uint32_t gemm_rows(uint32_t left, uint32_t most) {
    uint32_t tiles = (left + most - 1u) / most;
    return (left + tiles - 1u) / tiles;
}

/* Bias, activation and store of one row of one panel. */
CMF_INLINE void gemm_finish(const cmf_gemm *g, uint32_t row, uint32_t panel, const v_f32 acc[V_REGS]) {
    float *c = (float *)g->c[row] + g->c_offset + (size_t)panel * CMF_PANEL;
    const float *bias = g->bias ? g->bias + (size_t)panel * CMF_PANEL : NULL;
    const v_f32 low = v_set(g->low), high = v_set(g->high);
    if (panel + 1u < g->panels || g->lanes == CMF_PANEL) {
        for (int v = 0; v < V_REGS; v++) {
            v_f32 b = bias ? v_load(bias + V_LANES * v) : v_set(0.0f);
            v_store(c + V_LANES * v, v_cap(v_raise(acc[v] + b, low), high));
        }
    } else {
        for (int v = 0; v < V_REGS; v++) {
            int n = (int)g->lanes - V_LANES * v;
            v_f32 b = bias ? v_load_n(bias + V_LANES * v, n) : v_set(0.0f);
            v_store_n(c + V_LANES * v, v_cap(v_raise(acc[v] + b, low), high), n);
        }
    }
}

/* One input of all rows and panels of a tile. */
#define GEMM_F32_STEP(k)                                                      \
    do {                                                                      \
        v_f32 line[4][V_REGS];                                                \
        CMF_UNROLL for (uint32_t p = 0; p < np; p++)                          \
            CMF_UNROLL for (int v = 0; v < V_REGS; v++)                       \
                line[p][v] = v_load(w + p * g->w_panel + V_LANES * v);        \
        CMF_UNROLL for (uint32_t m = 0; m < mr; m++) {                        \
            v_f32 x = v_set(a[m][k]);                                         \
            CMF_UNROLL for (uint32_t p = 0; p < np; p++)                      \
                CMF_UNROLL for (int v = 0; v < V_REGS; v++)                   \
                    acc[m * np + p][v] = v_fma(x, line[p][v], acc[m * np + p][v]); \
        }                                                                     \
        w += g->w_line;                                                       \
    } while (0)

CMF_INLINE void gemm_f32_tile(const cmf_gemm *g, const uint32_t mr, const uint32_t np, uint32_t row, uint32_t panel) {
    v_f32 acc[CMF_GEMM_ROWS][V_REGS];
    const float *w = (const float *)g->w + panel * g->w_panel;
    CMF_UNROLL for (uint32_t m = 0; m < mr; m++) {
        CMF_UNROLL for (uint32_t p = 0; p < np; p++) {
            const float *c = (const float *)g->c[row + m] + g->c_offset + (size_t)(panel + p) * CMF_PANEL;
            int n = panel + p + 1u < g->panels ? (int)CMF_PANEL : (int)g->lanes;
            CMF_UNROLL for (int v = 0; v < V_REGS; v++)
                acc[m * np + p][v] = g->accumulate ? v_load_n(c + V_LANES * v, n - V_LANES * v) : v_set(0.0f);
        }
    }
    for (uint32_t t = 0; t < g->taps; t++) {
        const float *a[CMF_GEMM_ROWS];
        CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
            a[m] = (const float *)g->a[t * g->a_tap + row + m] + g->a_offset;
        uint32_t i = 0;
#if CMF_GEMM_INPUTS == 4 /* a row's pointer is fetched once for four inputs: there are more rows than address registers */
        for (; i + 4u <= g->n; i += 4u, w += 4u * g->w_line) {
            v_f32 line[4][4];
            CMF_UNROLL for (uint32_t k = 0; k < 4u; k++)
                CMF_UNROLL for (uint32_t p = 0; p < np; p++)
                    line[k][p] = v_load(w + k * g->w_line + p * g->w_panel);
            CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
                CMF_UNROLL for (uint32_t p = 0; p < np; p++)
                    CMF_UNROLL for (uint32_t k = 0; k < 4u; k++)
                        acc[m * np + p][0] = v_fma(v_set(a[m][i + k]), line[k][p], acc[m * np + p][0]);
        }
#endif
        for (; i < g->n; i++)
            GEMM_F32_STEP(i);
    }
    CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
        CMF_UNROLL for (uint32_t p = 0; p < np; p++)
            gemm_finish(g, row + m, panel + p, acc[m * np + p]);
}

static void CMF_SIMD(gemm_f32)(const cmf_gemm *g) {
    uint32_t rows = g->rows;
    if (rows == 1u) {
        uint32_t p = 0;
        for (; p + 4u <= g->panels; p += 4u)
            gemm_f32_tile(g, 1, 4, 0, p);
        for (; p < g->panels; p++)
            gemm_f32_tile(g, 1, 1, 0, p);
        return;
    }
    for (uint32_t p = 0; p < g->panels; p++) {
        if (rows < 4u && p + 2u <= g->panels) {
            if (rows == 2u)
                gemm_f32_tile(g, 2, 2, 0, p);
            else
                gemm_f32_tile(g, 3, 2, 0, p);
            p++;
            continue;
        }
        for (uint32_t r = 0, n; r < rows; r += n) {
            n = gemm_rows(rows - r, CMF_GEMM_ROWS);
            switch (n) {
            case 1: gemm_f32_tile(g, 1, 1, r, p); break;
            case 2: gemm_f32_tile(g, 2, 1, r, p); break;
            case 3: gemm_f32_tile(g, 3, 1, r, p); break;
            case 4: gemm_f32_tile(g, 4, 1, r, p); break;
            case 5: gemm_f32_tile(g, 5, 1, r, p); break;
            case 6: gemm_f32_tile(g, 6, 1, r, p); break;
#if CMF_GEMM_ROWS > 6
            case 7: gemm_f32_tile(g, 7, 1, r, p); break;
            case 8: gemm_f32_tile(g, 8, 1, r, p); break;
            case 9: gemm_f32_tile(g, 9, 1, r, p); break;
            case 10: gemm_f32_tile(g, 10, 1, r, p); break;
            case 11: gemm_f32_tile(g, 11, 1, r, p); break;
            case 12: gemm_f32_tile(g, 12, 1, r, p); break;
            case 13: gemm_f32_tile(g, 13, 1, r, p); break;
            case 14: gemm_f32_tile(g, 14, 1, r, p); break;
#endif
            default: break;
            }
        }
    }
}

/* ------------------------------------------------------------------ float by lines of i8 codes */

CMF_INLINE void gemm_q8_tile(const cmf_gemm *g, const uint32_t mr, const uint32_t np, uint32_t row, uint32_t panel) {
    v_f32 acc[4][V_REGS];
    const int8_t *w = (const int8_t *)g->w + panel * g->w_panel;
    CMF_UNROLL for (uint32_t m = 0; m < mr * np; m++)
        CMF_UNROLL for (int v = 0; v < V_REGS; v++)
            acc[m][v] = v_set(0.0f);
    for (uint32_t t = 0; t < g->taps; t++) {
        const float *a[4];
        CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
            a[m] = (const float *)g->a[t * g->a_tap + row + m] + g->a_offset;
        for (uint32_t i = 0; i < g->n; i += 4u, w += CMF_LINE_BYTES) {
            uint32_t left = g->n - i;
            CMF_UNROLL for (uint32_t k = 0; k < 4u; k++) {
                if (k >= left)
                    break;
                CMF_UNROLL for (uint32_t p = 0; p < np; p++) {
                    CMF_UNROLL for (int v = 0; v < V_REGS; v++) {
                        v_i32 line = v_load_i32((const int32_t *)(const void *)(w + p * g->w_panel) + V_LANES * v);
                        v_f32 codes = v_byte(line, (int)k);
                        CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
                            acc[m * np + p][v] = v_fma(v_set(a[m][i + k]), codes, acc[m * np + p][v]);
                    }
                }
            }
        }
    }
    CMF_UNROLL for (uint32_t m = 0; m < mr; m++) {
        CMF_UNROLL for (uint32_t p = 0; p < np; p++) {
            CMF_UNROLL for (int v = 0; v < V_REGS; v++) {
                v_f32 scale = v_load(g->scale + (size_t)(panel + p) * CMF_PANEL + V_LANES * v);
                acc[m * np + p][v] = (acc[m * np + p][v] * v_set(V_BYTE_UNIT)) * scale;
            }
            gemm_finish(g, row + m, panel + p, acc[m * np + p]);
        }
    }
}

static void CMF_SIMD(gemm_q8_f32)(const cmf_gemm *g) {
    for (uint32_t r = 0, n; r < g->rows; r += n) {
        n = gemm_rows(g->rows - r, 4u);
        uint32_t p = 0;
        if (n == 1u)
            for (; p + 4u <= g->panels; p += 4u)
                gemm_q8_tile(g, 1, 4, r, p);
        if (n <= 2u)
            for (; p + 2u <= g->panels; p += 2u) {
                if (n == 1u)
                    gemm_q8_tile(g, 1, 2, r, p);
                else
                    gemm_q8_tile(g, 2, 2, r, p);
            }
        for (; p < g->panels; p++) {
            switch (n) {
            case 1: gemm_q8_tile(g, 1, 1, r, p); break;
            case 2: gemm_q8_tile(g, 2, 1, r, p); break;
            case 3: gemm_q8_tile(g, 3, 1, r, p); break;
            default: gemm_q8_tile(g, 4, 1, r, p); break;
            }
        }
    }
}

/* ------------------------------------------------------------------ i8 by lines of i8 */

CMF_INLINE void gemm_i8_tile(const cmf_gemm *g, const uint32_t mr, uint32_t row, const v_i32 start[V_REGS]) {
    v_i32 acc[CMF_DOT_ROWS][V_REGS];
    int32_t *c = (int32_t *)g->c[0] + g->c_offset + (size_t)row * CMF_PANEL;
    const int8_t *w = (const int8_t *)g->w;
    CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
        CMF_UNROLL for (int v = 0; v < V_REGS; v++)
            acc[m][v] = g->accumulate ? start[v] + v_load_i32(c + m * CMF_PANEL + V_LANES * v) : start[v];
    for (uint32_t t = 0; t < g->taps; t++) {
        const int8_t *a[CMF_DOT_ROWS];
        CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
            a[m] = (const int8_t *)g->a[t * g->a_tap + row + m] + g->a_offset;
        uint32_t i = 0;
#if CMF_GEMM_INPUTS == 4
        for (; i + 8u < g->n; i += 8u, w += 2u * CMF_LINE_BYTES) {
            v_line line[2] = {v_load_line(w), v_load_line(w + CMF_LINE_BYTES)};
            CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
                CMF_UNROLL for (uint32_t k = 0; k < 2u; k++)
                    v_dot(acc[m], line[k], v_load_word(a[m] + i + 4u * k));
        }
#endif
        for (; i < g->n; i += 4u, w += CMF_LINE_BYTES) {
            v_line line = v_load_line(w);
            CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
                v_dot(acc[m], line, v_load_word(a[m] + i));
        }
    }
    CMF_UNROLL for (uint32_t m = 0; m < mr; m++)
        CMF_UNROLL for (int v = 0; v < V_REGS; v++)
            v_store_i32(c + m * CMF_PANEL + V_LANES * v, acc[m][v]);
}

/* One row by np panels: the sums of the weights, where they are needed, in the same pass over them. */
CMF_INLINE void gemm_i8_row(const cmf_gemm *g, const uint32_t np, uint32_t panel) {
    v_i32 acc[4][V_REGS];
#if V_DOT_FLIPPED
    v_i32 sum[4][V_REGS];
#endif
    int32_t *c = (int32_t *)g->c[0] + g->c_offset + (size_t)panel * CMF_PANEL;
    const int8_t *w = (const int8_t *)g->w + panel * g->w_panel;
    CMF_UNROLL for (uint32_t p = 0; p < np; p++) {
        CMF_UNROLL for (int v = 0; v < V_REGS; v++) {
            acc[p][v] = g->accumulate ? v_load_i32(c + p * CMF_PANEL + V_LANES * v) : v_set_i32(0);
#if V_DOT_FLIPPED
            sum[p][v] = v_set_i32(0);
#endif
        }
    }
    for (uint32_t t = 0; t < g->taps; t++) {
        const int8_t *a = (const int8_t *)g->a[t * g->a_tap] + g->a_offset;
        for (uint32_t i = 0; i < g->n; i += 4u, w += CMF_LINE_BYTES) {
            v_word x = v_load_word(a + i);
            CMF_UNROLL for (uint32_t p = 0; p < np; p++) {
                v_line line = v_load_line(w + p * g->w_panel);
                v_dot(acc[p], line, x);
#if V_DOT_FLIPPED
                v_dot(sum[p], line, v_ones());
#endif
            }
        }
    }
    CMF_UNROLL for (uint32_t p = 0; p < np; p++) {
        CMF_UNROLL for (int v = 0; v < V_REGS; v++) {
#if V_DOT_FLIPPED
            acc[p][v] -= v_set_i32(128) * sum[p][v];
#endif
            v_store_i32(c + p * CMF_PANEL + V_LANES * v, acc[p][v]);
        }
    }
}

static void CMF_SIMD(gemm_i8)(const cmf_gemm *g) {
    if (g->rows == 1u) {
        uint32_t p = 0;
        for (; p + 4u <= g->panels; p += 4u)
            gemm_i8_row(g, 4, p);
        for (; p < g->panels; p++)
            gemm_i8_row(g, 1, p);
        return;
    }
    v_i32 start[V_REGS];
    for (int v = 0; v < V_REGS; v++)
        start[v] = v_set_i32(0);
#if V_DOT_FLIPPED
    const int8_t *w = (const int8_t *)g->w;
    size_t lines = (size_t)g->taps * ((g->n + 3u) / 4u);
    for (size_t k = 0; k < lines; k++)
        v_dot(start, v_load_line(w + k * CMF_LINE_BYTES), v_ones());
    for (int v = 0; v < V_REGS; v++)
        start[v] = v_set_i32(-128) * start[v];
#endif
    for (uint32_t r = 0, n; r < g->rows; r += n) {
        n = gemm_rows(g->rows - r, CMF_DOT_ROWS);
        switch (n) {
        case 1: gemm_i8_tile(g, 1, r, start); break;
        case 2: gemm_i8_tile(g, 2, r, start); break;
#if CMF_DOT_ROWS > 2
        case 3: gemm_i8_tile(g, 3, r, start); break;
        case 4: gemm_i8_tile(g, 4, r, start); break;
#endif
#if CMF_DOT_ROWS > 4
        case 5: gemm_i8_tile(g, 5, r, start); break;
        case 6: gemm_i8_tile(g, 6, r, start); break;
#endif
#if CMF_DOT_ROWS > 6
        case 7: gemm_i8_tile(g, 7, r, start); break;
        case 8: gemm_i8_tile(g, 8, r, start); break;
        case 9: gemm_i8_tile(g, 9, r, start); break;
        case 10: gemm_i8_tile(g, 10, r, start); break;
        case 11: gemm_i8_tile(g, 11, r, start); break;
        case 12: gemm_i8_tile(g, 12, r, start); break;
        case 13: gemm_i8_tile(g, 13, r, start); break;
        case 14: gemm_i8_tile(g, 14, r, start); break;
#endif
        default: break;
        }
    }
}

#undef GEMM_F32_STEP
#undef gemm_rows
#undef gemm_finish
#undef gemm_f32_tile
#undef gemm_q8_tile
#undef gemm_i8_tile
#undef gemm_i8_row
