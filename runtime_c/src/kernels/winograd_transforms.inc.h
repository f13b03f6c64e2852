/* The one-dimensional transforms of FORMAT.md 3.8 over a type `v_f32` that has + - *: shared by every instruction set.
 * Only sums, differences and products by powers of two and 5, each rounded on its own: the same bits everywhere. */

/* B^T x for F(2) */
CMF_INLINE void CMF_SIMD(wino_b2)(const v_f32 x[4], v_f32 y[4]) {
    y[0] = x[0] - x[2];
    y[1] = x[1] + x[2];
    y[2] = x[2] - x[1];
    y[3] = x[1] - x[3];
}

/* A^T x for F(2) */
CMF_INLINE void CMF_SIMD(wino_a2)(const v_f32 x[4], v_f32 y[2]) {
    y[0] = (x[0] + x[1]) + x[2];
    y[1] = (x[1] - x[2]) - x[3];
}

/* B^T x for F(4) */
CMF_INLINE void CMF_SIMD(wino_b4)(const v_f32 x[6], v_f32 y[6]) {
    v_f32 a = x[4] - 4.0f * x[2], b = x[3] - 4.0f * x[1], c = x[4] - x[2], d = 2.0f * (x[3] - x[1]);
    y[0] = (4.0f * x[0] - 5.0f * x[2]) + x[4];
    y[1] = a + b;
    y[2] = a - b;
    y[3] = c + d;
    y[4] = c - d;
    y[5] = (4.0f * x[1] - 5.0f * x[3]) + x[5];
}

/* A^T x for F(4) */
CMF_INLINE void CMF_SIMD(wino_a4)(const v_f32 x[6], v_f32 y[4]) {
    v_f32 a = x[1] + x[2], b = x[1] - x[2], c = x[3] + x[4], d = x[3] - x[4];
    y[0] = (x[0] + a) + c;
    y[1] = b + 2.0f * d;
    y[2] = a + 4.0f * c;
    y[3] = (b + 8.0f * d) + x[5];
}

CMF_INLINE void CMF_SIMD(wino_b)(uint32_t tile, const v_f32 *x, v_f32 *y) {
    if (tile == 2)
        CMF_SIMD(wino_b2)(x, y);
    else
        CMF_SIMD(wino_b4)(x, y);
}

CMF_INLINE void CMF_SIMD(wino_a)(uint32_t tile, const v_f32 *x, v_f32 *y) {
    if (tile == 2)
        CMF_SIMD(wino_a2)(x, y);
    else
        CMF_SIMD(wino_a4)(x, y);
}

/* v = B^T d B of one column of lanes; d and v hold (tile + 2)^2 values. */
CMF_INLINE void CMF_SIMD(wino_input_2d)(const uint32_t tile, const v_f32 *d, v_f32 *v) {
    const uint32_t size = tile + 2u;
    v_f32 t[36], x[6], y[6];
    for (uint32_t j = 0; j < size; j++) { /* columns: t = B^T d */
        for (uint32_t i = 0; i < size; i++)
            x[i] = d[i * size + j];
        CMF_SIMD(wino_b)(tile, x, y);
        for (uint32_t i = 0; i < size; i++)
            t[i * size + j] = y[i];
    }
    for (uint32_t i = 0; i < size; i++)
        CMF_SIMD(wino_b)(tile, t + i * size, v + i * size);
}

/* y = A^T m A of one column of lanes; m holds (tile + 2)^2 values, y tile^2. */
CMF_INLINE void CMF_SIMD(wino_output_2d)(const uint32_t tile, const v_f32 *m, v_f32 *y) {
    const uint32_t size = tile + 2u;
    v_f32 t[24], x[6], z[4];
    for (uint32_t j = 0; j < size; j++) {
        for (uint32_t i = 0; i < size; i++)
            x[i] = m[i * size + j];
        CMF_SIMD(wino_a)(tile, x, z);
        for (uint32_t i = 0; i < tile; i++)
            t[i * size + j] = z[i];
    }
    for (uint32_t i = 0; i < tile; i++)
        CMF_SIMD(wino_a)(tile, t + i * size, y + i * tile);
}
