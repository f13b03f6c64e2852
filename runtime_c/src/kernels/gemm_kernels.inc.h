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

/* Each form of a tile is a function of its own. */
typedef void CMF_SIMD(gemm_tile)(const cmf_gemm *g, uint32_t row, uint32_t panel);
#define GEMM_F32_TILE(mr, np)                                                                            \
    static void CMF_SIMD(gemm_f32_##mr##x##np)(const cmf_gemm *g, uint32_t row, uint32_t panel) {         \
        gemm_f32_tile(g, mr, np, row, panel);                                                             \
    }
#define GEMM_F32_NAME(mr, np) CMF_SIMD(gemm_f32_##mr##x##np)
GEMM_F32_TILE(1, 4)
GEMM_F32_TILE(2, 2)
GEMM_F32_TILE(3, 2)
GEMM_F32_TILE(1, 1)
GEMM_F32_TILE(2, 1)
GEMM_F32_TILE(3, 1)
GEMM_F32_TILE(4, 1)
GEMM_F32_TILE(5, 1)
GEMM_F32_TILE(6, 1)
#if CMF_GEMM_ROWS > 6
GEMM_F32_TILE(7, 1)
GEMM_F32_TILE(8, 1)
GEMM_F32_TILE(9, 1)
GEMM_F32_TILE(10, 1)
GEMM_F32_TILE(11, 1)
GEMM_F32_TILE(12, 1)
GEMM_F32_TILE(13, 1)
GEMM_F32_TILE(14, 1)
#endif

static void CMF_SIMD(gemm_f32)(const cmf_gemm *g) {
    static CMF_SIMD(gemm_tile) *const tiles[CMF_GEMM_ROWS] = {
        GEMM_F32_NAME(1, 1), GEMM_F32_NAME(2, 1), GEMM_F32_NAME(3, 1), GEMM_F32_NAME(4, 1), GEMM_F32_NAME(5, 1), GEMM_F32_NAME(6, 1),
#if CMF_GEMM_ROWS > 6
        GEMM_F32_NAME(7, 1), GEMM_F32_NAME(8, 1), GEMM_F32_NAME(9, 1), GEMM_F32_NAME(10, 1), GEMM_F32_NAME(11, 1), GEMM_F32_NAME(12, 1),
        GEMM_F32_NAME(13, 1), GEMM_F32_NAME(14, 1),
#endif
    };
    uint32_t panel = 0;
    if (g->rows == 1u)
        for (; panel + 4u <= g->panels; panel += 4u)
            GEMM_F32_NAME(1, 4)(g, 0, panel);
    if (g->rows == 2u || g->rows == 3u)
        for (; panel + 2u <= g->panels; panel += 2u)
            (g->rows == 2u ? GEMM_F32_NAME(2, 2) : GEMM_F32_NAME(3, 2))(g, 0, panel);
    for (; panel < g->panels; panel++) {
        for (uint32_t row = 0, n; row < g->rows; row += n) {
            n = gemm_rows(g->rows - row, CMF_GEMM_ROWS);
            tiles[n - 1u](g, row, panel);
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

#define GEMM_Q8_TILE(mr, np)                                                                             \
    static void CMF_SIMD(gemm_q8_##mr##x##np)(const cmf_gemm *g, uint32_t row, uint32_t panel) {          \
        gemm_q8_tile(g, mr, np, row, panel);                                                              \
    }
#define GEMM_Q8_NAME(mr, np) CMF_SIMD(gemm_q8_##mr##x##np)
GEMM_Q8_TILE(1, 4)
GEMM_Q8_TILE(2, 2)
GEMM_Q8_TILE(1, 1)
GEMM_Q8_TILE(2, 1)
GEMM_Q8_TILE(3, 1)
GEMM_Q8_TILE(4, 1)

static void CMF_SIMD(gemm_q8_f32)(const cmf_gemm *g) {
    static CMF_SIMD(gemm_tile) *const tiles[4] = {GEMM_Q8_NAME(1, 1), GEMM_Q8_NAME(2, 1), GEMM_Q8_NAME(3, 1), GEMM_Q8_NAME(4, 1)};
    for (uint32_t row = 0, n; row < g->rows; row += n) {
        uint32_t panel = 0;
        n = gemm_rows(g->rows - row, 4u);
        if (n == 1u)
            for (; panel + 4u <= g->panels; panel += 4u)
                GEMM_Q8_NAME(1, 4)(g, row, panel);
        if (n == 2u)
            for (; panel + 2u <= g->panels; panel += 2u)
                GEMM_Q8_NAME(2, 2)(g, row, panel);
        for (; panel < g->panels; panel++)
            tiles[n - 1u](g, row, panel);
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

typedef void CMF_SIMD(gemm_i8_rows)(const cmf_gemm *g, uint32_t row, const v_i32 start[V_REGS]);
#define GEMM_I8_TILE(mr)                                                                                 \
    static void CMF_SIMD(gemm_i8_##mr)(const cmf_gemm *g, uint32_t row, const v_i32 start[V_REGS]) {      \
        gemm_i8_tile(g, mr, row, start);                                                                  \
    }
#define GEMM_I8_NAME(mr) CMF_SIMD(gemm_i8_##mr)
GEMM_I8_TILE(1)
GEMM_I8_TILE(2)
GEMM_I8_TILE(3)
GEMM_I8_TILE(4)
#if CMF_DOT_ROWS > 4
GEMM_I8_TILE(5)
GEMM_I8_TILE(6)
#endif
#if CMF_DOT_ROWS > 6
GEMM_I8_TILE(7)
GEMM_I8_TILE(8)
GEMM_I8_TILE(9)
GEMM_I8_TILE(10)
GEMM_I8_TILE(11)
GEMM_I8_TILE(12)
GEMM_I8_TILE(13)
GEMM_I8_TILE(14)
#endif

static void CMF_SIMD(gemm_i8)(const cmf_gemm *g) {
    static CMF_SIMD(gemm_i8_rows) *const tiles[CMF_DOT_ROWS] = {
        GEMM_I8_NAME(1), GEMM_I8_NAME(2), GEMM_I8_NAME(3), GEMM_I8_NAME(4),
#if CMF_DOT_ROWS > 4
        GEMM_I8_NAME(5), GEMM_I8_NAME(6),
#endif
#if CMF_DOT_ROWS > 6
        GEMM_I8_NAME(7), GEMM_I8_NAME(8), GEMM_I8_NAME(9), GEMM_I8_NAME(10), GEMM_I8_NAME(11), GEMM_I8_NAME(12), GEMM_I8_NAME(13),
        GEMM_I8_NAME(14),
#endif
    };
    if (g->rows == 1u) {
        uint32_t panel = 0;
        for (; panel + 4u <= g->panels; panel += 4u)
            gemm_i8_row(g, 4, panel);
        for (; panel < g->panels; panel++)
            gemm_i8_row(g, 1, panel);
        return;
    }
    v_i32 start[V_REGS];
    for (int v = 0; v < V_REGS; v++)
        start[v] = v_set_i32(0);
#if V_DOT_FLIPPED
    const int8_t *w = (const int8_t *)g->w;
    size_t lines = (size_t)g->taps * ((g->n + 3u) / 4u);
    v_i32 sum[4][V_REGS]; /* chains */
    CMF_UNROLL for (uint32_t j = 0; j < 4u; j++)
        CMF_UNROLL for (int v = 0; v < V_REGS; v++)
            sum[j][v] = v_set_i32(0);
    size_t k = 0;
    for (; k + 4u <= lines; k += 4u)
        CMF_UNROLL for (uint32_t j = 0; j < 4u; j++)
            v_dot(sum[j], v_load_line(w + (k + j) * CMF_LINE_BYTES), v_ones());
    for (; k < lines; k++)
        v_dot(sum[0], v_load_line(w + k * CMF_LINE_BYTES), v_ones());
    for (int v = 0; v < V_REGS; v++)
        start[v] = v_set_i32(-128) * ((sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]));
#endif
    for (uint32_t row = 0, n; row < g->rows; row += n) {
        n = gemm_rows(g->rows - row, CMF_DOT_ROWS);
        tiles[n - 1u](g, row, start);
    }
}

#undef GEMM_F32_STEP
#undef GEMM_F32_TILE
#undef GEMM_F32_NAME
#undef GEMM_Q8_TILE
#undef GEMM_Q8_NAME
#undef GEMM_I8_TILE
#undef GEMM_I8_NAME
#undef gemm_rows
#undef gemm_finish
#undef gemm_f32_tile
#undef gemm_q8_tile
#undef gemm_i8_tile
#undef gemm_i8_row
