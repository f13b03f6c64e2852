/* The vector kernels against the scalar set, slot by slot (after dav1d's checkasm), then Conv and MatMul as ops against naive loops.
 * Every instruction set that is compiled in and present on this processor is checked; the sets are printed.
 *
 *     check_kernels [seed]        needs CMF_CHECK_SCRATCH in the library's build to hold scratch to its stated bounds */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/schema_ids.h"
#include "encodings/dct.h"
#include "encodings/winograd.h"
#include "kernels/linear.h"

extern const cmf_op cmf_op_conv, cmf_op_matmul;

static int failures, checks;
static const char *where = "";

#define CHECK(condition, ...)                                                  \
    do {                                                                       \
        checks++;                                                              \
        if (!(condition) && failures++ < 40) {                                 \
            printf("%s:%d: %s: ", __FILE__, __LINE__, where);                  \
            printf(__VA_ARGS__);                                               \
            printf("\n");                                                      \
        }                                                                      \
    } while (0)

/* ------------------------------------------------------------------ memory and chance */

static void *blocks[8192];
static int block_count;

static void *keep(size_t size) {
    void *p = calloc(1, size ? size : 1);
    if (!p || block_count == 8192)
        exit(2);
    return blocks[block_count++] = p;
}
static void release_all(void) {
    while (block_count)
        free(blocks[--block_count]);
}

static uint64_t state = 1;
static uint32_t chance(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}
static uint32_t below(uint32_t n) { return chance() % n; }
static float real(void) { return ((float)(chance() & 0xffffu) - 32768.0f) / 32768.0f; }
static int8_t code(void) { return (int8_t)(chance() >> 8); }
/* Mostly random, sometimes all at an end of the range. */
static void fill_codes(int8_t *p, size_t n) {
    uint32_t kind = below(5);
    for (size_t i = 0; i < n; i++)
        p[i] = kind == 0 ? -128 : kind == 1 ? 127 : kind == 2 ? (int8_t)(i & 1 ? -128 : 127) : code();
}
static void fill_reals(float *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        p[i] = real();
}
/* Activations: 64 readable bytes behind them. */
static float *reals(size_t n) {
    float *p = keep(n * 4 + 64);
    fill_reals(p, n + 16);
    return p;
}
static int8_t *codes(size_t n) {
    int8_t *p = keep(n + 64);
    fill_codes(p, n + 64);
    return p;
}

/* ------------------------------------------------------------------ slots */

#define GUARD 0x7b

/* A buffer of `rows` rows of `n` elements with guard bytes around each row. */
typedef struct area {
    uint8_t *bytes;
    size_t size, stride;
    void **row;
} area;

static area make_area(uint32_t rows, size_t row_bytes) {
    area a;
    a.stride = (row_bytes + 32 + 15) / 16 * 16;
    a.size = a.stride * rows + 32;
    a.bytes = keep(a.size);
    memset(a.bytes, GUARD, a.size);
    a.row = keep(sizeof *a.row * rows);
    for (uint32_t r = 0; r < rows; r++)
        a.row[r] = a.bytes + 32 + r * a.stride;
    return a;
}

static float scalar_error(const float *x, const float *y, size_t n, const float *size) {
    float worst = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i]) && isnan(y[i]))
            continue;
        if (x[i] == y[i])
            continue;
        float e = fabsf(x[i] - y[i]) / (size ? size[i] : 1.0f);
        if (!(e <= worst))
            worst = e;
    }
    return worst;
}

/* Do two areas agree in rows of n floats, within a tolerance, and everywhere else to the byte? */
static void compare_floats(const char *slot, const cmf_isa_kernels *isa, const area *x, const area *y, uint32_t rows, size_t first, size_t n,
                           float tolerance) {
    for (uint32_t r = 0; r < rows; r++) {
        float *a = (float *)x->row[r] + first, *b = (float *)y->row[r] + first;
        float e = scalar_error(a, b, n, NULL);
        CHECK(e <= tolerance, "%s %s: row %u is off by %g", isa->name, slot, r, (double)e);
        memcpy(a, b, n * 4);
    }
    CHECK(memcmp(x->bytes, y->bytes, x->size) == 0, "%s %s: wrote outside its rows", isa->name, slot);
}

static void check_gemm(const cmf_isa_kernels *isa, int kind) {
    const char *slot = kind == 0 ? "gemm_f32" : kind == 1 ? "gemm_q8_f32" : "gemm_i8";
    static const uint32_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 16, 27, 33, 64};
    uint32_t taps = 1 + below(3), n = sizes[below(11)], rows = below(4) ? 1 + below(33) : 1, panels = kind == 2 && rows > 1 ? 1 : 1 + below(9);
    uint32_t lanes = 1 + below(16), offset = below(5);
    size_t lines = kind == 0 ? (size_t)taps * n : (size_t)taps * ((n + 3) / 4), element = kind == 2 ? 1 : 4;
    size_t w_line = kind == 0 && below(3) == 0 ? 16u * panels : 16u;
    cmf_gemm g = {.a_tap = rows, .a_offset = offset, .rows = rows, .taps = taps, .n = n, .panels = panels, .lanes = lanes,
                  .c_offset = kind == 2 ? 0 : below(3)};
    void **a = keep(sizeof *a * taps * rows);
    for (uint32_t i = 0; i < taps * rows; i++)
        a[i] = element == 4 ? (void *)reals(offset + n) : (void *)codes(offset + n);
    g.a = a;
    if (kind == 0) {
        float *w = keep(lines * panels * 16 * 4);
        fill_reals(w, lines * panels * 16);
        g.w = w;
        g.w_line = w_line;
        g.w_panel = w_line == 16 ? lines * 16 : 16;
    } else {
        int8_t *w = keep(lines * panels * 64);
        fill_codes(w, lines * panels * 64);
        for (size_t line = 0; line < lines * panels; line++) /* codes beyond a tap's inputs are 0 */
            for (uint32_t k = 0; k < 64; k++)
                if (line % ((n + 3) / 4) * 4 + k % 4 >= n)
                    w[line * 64 + k] = 0;
        g.w = w;
        g.w_panel = lines * 64;
    }
    float *scale = keep(panels * 16 * 4), *bias = keep(((panels - 1) * 16 + lanes) * 4);
    fill_reals(scale, panels * 16);
    fill_reals(bias, (panels - 1) * 16 + lanes);
    g.scale = scale;
    g.bias = below(2) ? bias : NULL;
    g.low = below(2) ? -0.25f : -INFINITY;
    g.high = below(2) ? 0.5f : INFINITY;
    g.accumulate = kind != 1 && (int)below(2);
    size_t width = g.c_offset + (panels - 1) * 16 + lanes;
    area x = make_area(kind == 2 ? 1 : rows, kind == 2 ? panels * rows * 64 : width * 4), y;
    for (uint32_t r = 0; r < (kind == 2 ? 1 : rows); r++) {
        if (kind == 2)
            for (uint32_t i = 0; i < panels * rows * 16; i++)
                ((int32_t *)x.row[r])[i] = (int32_t)(chance() << 4);
        else
            fill_reals((float *)x.row[r] + g.c_offset, width - g.c_offset);
    }
    y = make_area(kind == 2 ? 1 : rows, kind == 2 ? panels * rows * 64 : width * 4);
    memcpy(y.bytes, x.bytes, x.size);
    g.c = x.row;
    (kind == 0 ? isa->gemm_f32 : kind == 1 ? isa->gemm_q8_f32 : isa->gemm_i8)(&g);
    g.c = y.row;
    (kind == 0 ? cmf_isa_scalar.gemm_f32 : kind == 1 ? cmf_isa_scalar.gemm_q8_f32 : cmf_isa_scalar.gemm_i8)(&g);
    if (kind == 2)
        CHECK(memcmp(x.bytes, y.bytes, x.size) == 0, "%s %s: %u rows, %u taps of %u differ", isa->name, slot, rows, taps, n);
    else
        compare_floats(slot, isa, &x, &y, rows, g.c_offset, width - g.c_offset, (kind == 1 ? 128.0f : 1.0f) * 1e-6f * (float)(taps * n + 4));
}

static void check_depthwise(const cmf_isa_kernels *isa, int i8) {
    static const uint32_t sizes[] = {1, 4, 9, 25, 49};
    uint32_t taps = sizes[below(5)], rows = 1 + below(11), offset = below(3) * 16, padded = (taps + 3) & ~3u;
    cmf_depthwise d = {.a_tap = rows, .a_offset = offset, .rows = rows, .taps = i8 ? padded : taps, .lanes = 1 + below(16),
                       .accumulate = (int)below(2), .c_offset = i8 ? 0 : below(20)};
    void **a = keep(sizeof *a * padded * rows);
    for (uint32_t i = 0; i < padded * rows; i++)
        a[i] = i8 ? (void *)codes(offset + 16) : (void *)reals(offset + d.lanes);
    d.a = a;
    if (i8) {
        int8_t *w = keep(padded * 16);
        fill_codes(w, padded * 16);
        d.w = w;
    } else {
        float *w = keep(taps * 64);
        fill_reals(w, taps * 16);
        d.w = w;
    }
    float *bias = keep(d.lanes * 4);
    fill_reals(bias, d.lanes);
    d.bias = below(2) ? bias : NULL;
    d.low = below(2) ? 0.0f : -INFINITY;
    d.high = below(2) ? 0.75f : INFINITY;
    size_t bytes = i8 ? rows * 64u : (d.c_offset + d.lanes) * 4;
    area x = make_area(i8 ? 1 : rows, bytes), y = make_area(i8 ? 1 : rows, bytes);
    for (uint32_t r = 0; r < (i8 ? 1 : rows); r++) {
        if (i8)
            for (uint32_t i = 0; i < rows * 16; i++)
                ((int32_t *)x.row[r])[i] = (int32_t)(chance() << 4);
        else
            fill_reals((float *)x.row[r] + d.c_offset, d.lanes);
    }
    memcpy(y.bytes, x.bytes, x.size);
    d.c = x.row;
    (i8 ? isa->dw_i8 : isa->dw_f32)(&d);
    d.c = y.row;
    (i8 ? cmf_isa_scalar.dw_i8 : cmf_isa_scalar.dw_f32)(&d);
    if (i8)
        CHECK(memcmp(x.bytes, y.bytes, x.size) == 0, "%s dw_i8: %u rows of %u taps differ", isa->name, rows, taps);
    else
        compare_floats("dw_f32", isa, &x, &y, rows, d.c_offset, d.lanes, 1e-6f * (float)(taps + 4));
}

static void check_sums(const cmf_isa_kernels *isa) {
    uint32_t rows = 1 + below(9), lanes = 1 + below(16);
    int32_t *acc = keep(rows * 64), bias[16];
    float m[16], scale[16], real_bias[16], *row_scale = keep(rows * 4);
    uint32_t kind = below(4);
    for (uint32_t i = 0; i < rows * 16; i++)
        acc[i] = kind == 0 ? (i & 1 ? INT32_MIN : INT32_MAX) : (int32_t)(chance() << 1) >> (kind * 5);
    for (uint32_t i = 0; i < 16; i++) {
        bias[i] = (int32_t)chance() >> 16;
        m[i] = kind == 0 ? (i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : 1e30f) : real() / (float)(1u << (26 - kind * 5));
        if (kind == 1) /* halves: ties */
            m[i] = 0.5f;
        scale[i] = real();
        real_bias[i] = real();
    }
    if (kind == 1)
        for (uint32_t i = 0; i < rows * 16; i++)
            acc[i] = (int32_t)below(600) - 300;
    for (uint32_t i = 0; i < rows; i++)
        row_scale[i] = real();
    int32_t zero = code(), low = code(), high = code();
    if (low > high) {
        int32_t t = low;
        low = high;
        high = t;
    }
    area x = make_area(rows, 16 + lanes), y = make_area(rows, 16 + lanes);
    cmf_sums_to_i8 q = {acc, bias, m, rows, lanes, zero, low, high, x.row, below(17)};
    isa->sums_to_i8(&q);
    q.c = y.row;
    cmf_isa_scalar.sums_to_i8(&q);
    CHECK(memcmp(x.bytes, y.bytes, x.size) == 0, "%s sums_to_i8: differ", isa->name);

    x = make_area(rows, (16 + lanes) * 4);
    y = make_area(rows, (16 + lanes) * 4);
    cmf_sums_to_f32 f = {acc, row_scale, scale, real_bias, below(2) ? 0.0f : -INFINITY, below(2) ? 6.0f : INFINITY, rows, lanes, x.row, below(17)};
    isa->sums_to_f32(&f);
    f.c = y.row;
    cmf_isa_scalar.sums_to_f32(&f);
    CHECK(memcmp(x.bytes, y.bytes, x.size) == 0, "%s sums_to_f32: differ", isa->name);
}

static void check_quantize(const cmf_isa_kernels *isa) {
    size_t n = 1 + below(70);
    float *x = keep(n * 4);
    fill_reals(x, n);
    if (below(4) == 0)
        x[below((uint32_t)n)] = NAN;
    if (below(4) == 0)
        x[below((uint32_t)n)] = -INFINITY;
    float top = isa->absmax(x, n);
    CHECK(top == cmf_isa_scalar.absmax(x, n), "%s absmax: %g", isa->name, (double)top);
    area a = make_area(1, n), b = make_area(1, n);
    float scale = below(2) ? 1.0f / 64 : 0.7f / 127; /* ties, and beyond the range */
    isa->quantize(x, n, scale, a.row[0]);
    cmf_isa_scalar.quantize(x, n, scale, b.row[0]);
    CHECK(memcmp(a.bytes, b.bytes, a.size) == 0, "%s quantize: %zu numbers differ", isa->name, n);
}

static void check_winograd_slots(const cmf_isa_kernels *isa) {
    uint32_t tile = below(2) ? 2 : 4, positions = (tile + 2) * (tile + 2), channels = 1 + below(40), lanes = 1 + below(16);
    void *d[36];
    for (uint32_t k = 0; k < positions; k++)
        d[k] = reals(channels);
    area x = make_area(positions, channels * 4), y = make_area(positions, channels * 4);
    isa->winograd_input(tile, d, channels, x.row[0], x.stride / 4);
    cmf_isa_scalar.winograd_input(tile, d, channels, y.row[0], y.stride / 4);
    CHECK(memcmp(x.bytes, y.bytes, x.size) == 0, "%s winograd_input: %u channels of tile %u differ", isa->name, channels, tile);
    float *m = keep(positions * 16 * 4), *bias = keep(lanes * 4);
    fill_reals(m, positions * 16);
    fill_reals(bias, lanes);
    uint32_t offset = below(5);
    x = make_area(tile * tile, (offset + lanes) * 4);
    y = make_area(tile * tile, (offset + lanes) * 4);
    uint32_t out = below(tile * tile);
    for (uint32_t k = 0; k < tile * tile; k++)
        if (k == out || below(5) == 0)
            x.row[k] = y.row[k] = NULL;
    isa->winograd_output(tile, m, 16, lanes, bias, -0.5f, INFINITY, x.row, offset);
    cmf_isa_scalar.winograd_output(tile, m, 16, lanes, bias, -0.5f, INFINITY, y.row, offset);
    CHECK(memcmp(x.bytes, y.bytes, x.size) == 0, "%s winograd_output: tile %u differs", isa->name, tile);
}

static void check_slots(const cmf_isa_kernels *isa) {
    where = "slots";
    for (int i = 0; i < 150; i++) {
        for (int kind = 0; kind < 3; kind++)
            check_gemm(isa, kind);
        check_depthwise(isa, 0);
        check_depthwise(isa, 1);
        check_sums(isa);
        check_quantize(isa);
        check_winograd_slots(isa);
        release_all();
    }
}

/* ------------------------------------------------------------------ a tiny packer: FORMAT.md 2.2 */

/* A tree, and the numbers W[S][O][K] that it stands for. */
typedef struct weight {
    cmf_tree *tree;
    float *w;
    int8_t *codes; /* where there are i8 codes */
    float *scales; /* [S][O] */
} weight;

static cmf_tree *make_tree(uint8_t encoding, uint32_t s, uint32_t o, uint32_t k, uint32_t run) {
    cmf_tree *t = keep(sizeof *t);
    t->encoding = encoding;
    t->layout = encoding == CMF_ENC_LOWRANK || encoding == CMF_ENC_DCT || encoding == CMF_ENC_WINOGRAD ? CMF_LAYOUT_NONE : CMF_LAYOUT_LINES;
    t->stack = s;
    t->outputs = o;
    t->inputs = k;
    t->run = run;
    return t;
}

/* Packs codes [S][O][K] of 1, 2, 4, 8, 16 or 32 bits. */
static cmf_bytes pack(const cmf_tree *t, const uint32_t *code_of) {
    uint32_t b = t->bits, last = cmf_tree_last_lanes(t), panels = cmf_tree_panels(t);
    size_t run_lines = (t->run * b + 31) / 32, lines = t->inputs / t->run * run_lines;
    cmf_bytes bytes;
    if (t->layout == CMF_LAYOUT_ROWS) {
        size_t whole = ((size_t)t->inputs * ((16 * b + 7) / 8) + 3) & ~(size_t)3, end = ((size_t)t->inputs * ((last * b + 7) / 8) + 3) & ~(size_t)3;
        bytes.size = t->stack * ((panels - 1) * whole + end);
        uint8_t *data = keep(bytes.size);
        bytes.data = data;
        for (uint32_t s = 0; s < t->stack; s++)
            for (uint32_t o = 0; o < t->outputs; o++)
                for (uint32_t k = 0; k < t->inputs; k++) {
                    uint32_t p = o / 16, lanes = p + 1 == panels ? last : 16, bit = b * (o % 16);
                    uint8_t *row = data + s * ((panels - 1) * whole + end) + p * whole + (size_t)k * ((lanes * b + 7) / 8);
                    uint32_t c = code_of[((size_t)s * t->outputs + o) * t->inputs + k];
                    for (uint32_t i = 0; i < b; i++)
                        row[(bit + i) / 8] |= (uint8_t)((c >> i & 1) << ((bit + i) % 8));
                }
        return bytes;
    }
    bytes.size = 4 * lines * t->stack * cmf_tree_padded_outputs(t);
    uint8_t *data = keep(bytes.size);
    bytes.data = data;
    for (uint32_t s = 0; s < t->stack; s++)
        for (uint32_t o = 0; o < t->outputs; o++)
            for (uint32_t k = 0; k < t->inputs; k++) {
                uint32_t p = o / 16, lanes = p + 1 == panels ? last : 16, in_run = k % t->run, i = in_run % (32 / b);
                size_t line = k / t->run * run_lines + in_run / (32 / b);
                uint8_t *panel = data + 4 * lines * (s * cmf_tree_padded_outputs(t) + 16 * p);
                uint32_t word, c = code_of[((size_t)s * t->outputs + o) * t->inputs + k];
                if (b < 32)
                    c &= (1u << b) - 1;
                memcpy(&word, panel + 4 * (line * lanes + o % 16), 4);
                word |= c << (b >= 8 ? (b == 32 ? 0 : b * i) : 8 * (i % 4) + b * (i / 4));
                memcpy(panel + 4 * (line * lanes + o % 16), &word, 4);
            }
    return bytes;
}

static weight make_dense(uint8_t dtype, uint8_t layout, uint32_t s, uint32_t o, uint32_t k, uint32_t run) {
    weight r = {make_tree(CMF_ENC_DENSE, s, o, k, run), NULL, NULL, NULL};
    size_t n = (size_t)s * o * k;
    uint32_t *c = keep(n * 4);
    r.w = keep(n * 4);
    r.tree->dtype = dtype;
    r.tree->layout = layout;
    r.tree->bits = dtype == CMF_F32 ? 32 : 16;
    for (size_t i = 0; i < n; i++) {
        r.w[i] = real();
        c[i] = dtype == CMF_F32 ? cmf_f32_bits(r.w[i]) : dtype == CMF_F16 ? cmf_f32_to_f16(r.w[i]) : cmf_f32_to_bf16(r.w[i]);
        r.w[i] = dtype == CMF_F32 ? r.w[i] : dtype == CMF_F16 ? cmf_f16_to_f32((uint16_t)c[i]) : cmf_bf16_to_f32((uint16_t)c[i]);
    }
    r.tree->codes = pack(r.tree, c);
    return r;
}

/* Codes of `bits` bits with scales for each tensor or channel; `zeros`: with zero points; `group`: with scales for groups. */
static weight make_quantized(uint32_t bits, uint8_t layout, int granularity, int zeros, uint32_t s, uint32_t o, uint32_t k, uint32_t run) {
    weight r = {make_tree(CMF_ENC_QUANTIZED, s, o, k, run), NULL, NULL, NULL};
    cmf_tree *t = r.tree;
    size_t n = (size_t)s * o * k;
    t->bits = (uint8_t)bits;
    t->layout = layout;
    t->granularity = (uint8_t)granularity;
    t->group = granularity == CMF_GRAN_GROUP ? 32 : 0;
    t->scale_dtype = CMF_F32;
    uint32_t groups = granularity == CMF_GRAN_GROUP ? k / run * ((run + 31) / 32) : 1;
    size_t padded = cmf_tree_padded_outputs(t), count = granularity == CMF_GRAN_TENSOR ? 1 : s * padded * groups;
    float *scales = keep(count * 4);
    int8_t *zero = keep(count);
    uint32_t *c = keep(n * 4);
    int8_t *signed_codes = keep(n);
    r.w = keep(n * 4);
    r.scales = keep((size_t)s * o * 4);
    for (size_t i = 0; i < count; i++) {
        scales[i] = 0.01f + 0.02f * (float)below(100) / 100;
        zero[i] = zeros ? (int8_t)((int32_t)below(9) - 4) : 0;
    }
    fill_codes(signed_codes, n);
    for (uint32_t i = 0; i < s; i++)
        for (uint32_t j = 0; j < o; j++)
            for (uint32_t l = 0; l < k; l++) {
                size_t at = ((size_t)i * o + j) * k + l, index = 0;
                uint32_t p = j / 16, lanes = cmf_tree_lanes(t, p), g = l / run * ((run + 31) / 32) + l % run / 32;
                if (granularity == CMF_GRAN_CHANNEL)
                    index = i * padded + j;
                if (granularity == CMF_GRAN_GROUP)
                    index = groups * (i * padded + 16 * p) + g * lanes + j % 16;
                int32_t value = (int32_t)((uint32_t)signed_codes[at] << (32 - bits)) >> (32 - bits);
                signed_codes[at] = (int8_t)value;
                c[at] = (uint32_t)value;
                r.w[at] = scales[index] * (float)(value - zero[index]);
                r.scales[(size_t)i * o + j] = scales[index];
            }
    for (uint32_t i = 0; granularity != CMF_GRAN_TENSOR && i < s; i++) /* absent lanes */
        for (uint32_t j = o; j < padded; j++)
            for (uint32_t g = 0; g < groups; g++) {
                uint32_t lanes = cmf_tree_lanes(t, j / 16);
                size_t index = groups == 1 ? i * padded + j : groups * (i * padded + 16 * (j / 16)) + g * lanes + j % 16;
                scales[index] = 0;
                zero[index] = 0;
            }
    t->codes = pack(t, c);
    t->scales = (cmf_bytes){(const uint8_t *)scales, count * 4};
    if (zeros)
        t->zeros = (cmf_bytes){(const uint8_t *)zero, count};
    r.codes = zeros || granularity == CMF_GRAN_GROUP ? NULL : signed_codes;
    return r;
}

static weight make_codebook(uint32_t bits, uint8_t layout, uint32_t s, uint32_t o, uint32_t k, uint32_t run) {
    weight r = {make_tree(CMF_ENC_CODEBOOK, s, o, k, run), NULL, NULL, NULL};
    cmf_tree *t = r.tree;
    size_t n = (size_t)s * o * k, padded = cmf_tree_padded_outputs(t);
    t->bits = (uint8_t)bits;
    t->layout = layout;
    t->tables = 1;
    t->vector = 1;
    t->table_dtype = CMF_I8;
    t->granularity = CMF_GRAN_CHANNEL;
    t->scale_dtype = CMF_F32;
    int8_t *table = keep(1u << bits);
    for (uint32_t i = 0; i < 1u << bits; i++)
        table[i] = code();
    float *scales = keep(s * padded * 4);
    uint32_t *c = keep(n * 4);
    r.w = keep(n * 4);
    r.codes = keep(n);
    r.scales = keep((size_t)s * o * 4);
    for (uint32_t i = 0; i < s; i++)
        for (uint32_t j = 0; j < o; j++) {
            r.scales[i * o + j] = scales[i * padded + j] = 0.01f + 0.01f * (float)below(100) / 100;
            for (uint32_t l = 0; l < k; l++) {
                size_t at = ((size_t)i * o + j) * k + l;
                c[at] = below(1u << bits);
                r.codes[at] = table[c[at]];
                r.w[at] = r.scales[i * o + j] * (float)table[c[at]];
            }
        }
    t->codes = pack(t, c);
    t->scales = (cmf_bytes){(const uint8_t *)scales, s * padded * 4};
    t->table = (cmf_bytes){(const uint8_t *)table, 1u << bits};
    return r;
}

/* W = A B, or W[o][tap][i] = sum A[o][b] core[b][tap][a] F[a][i]; factors as given. */
static weight make_product(weight b, weight core, weight a, int tucker, int residual, uint32_t s, uint32_t o, uint32_t k, uint32_t run) {
    weight r = {make_tree(CMF_ENC_LOWRANK, s, o, k, run), NULL, NULL, NULL};
    cmf_tree *t = r.tree;
    t->kind = tucker ? CMF_FORM_TUCKER2 : CMF_FORM_SVD;
    t->factor_count = tucker ? 3 : 2;
    t->child[0] = b.tree;
    t->child[1] = tucker ? core.tree : a.tree;
    t->child[2] = tucker ? a.tree : NULL;
    r.w = keep((size_t)s * o * k * 4);
    weight rest = {0};
    if (residual) {
        rest = make_dense(CMF_F32, CMF_LAYOUT_LINES, s, o, k, run);
        t->residual = rest.tree;
    }
    uint32_t rank = a.tree->inputs;
    for (uint32_t i = 0; i < s; i++)
        for (uint32_t j = 0; j < o; j++)
            for (uint32_t l = 0; l < k; l++) {
                double sum = residual ? rest.w[((size_t)i * o + j) * k + l] : 0;
                for (uint32_t x = 0; x < rank; x++) {
                    double left = a.w[((size_t)i * o + j) * rank + x];
                    if (!tucker) {
                        sum += left * b.w[((size_t)i * rank + x) * k + l];
                        continue;
                    }
                    uint32_t rin = b.tree->outputs, cin = b.tree->inputs, tap = l / cin;
                    for (uint32_t y = 0; y < rin; y++)
                        sum += left * core.w[(size_t)x * core.tree->inputs + tap * rin + y] * b.w[(size_t)y * cin + l % cin];
                }
                r.w[((size_t)i * o + j) * k + l] = (float)sum;
            }
    return r;
}

/* W = Dout^T C Din. */
static weight make_dct(weight c, uint32_t input_block, uint32_t output_block) {
    const cmf_tree *inner = c.tree;
    uint32_t s = inner->stack, o = inner->outputs, k = inner->inputs, run = inner->run;
    weight r = {make_tree(CMF_ENC_DCT, s, o, k, run), NULL, NULL, NULL};
    r.tree->child[0] = inner;
    r.tree->input_block = (uint8_t)input_block;
    r.tree->output_block = (uint8_t)output_block;
    size_t n = (size_t)s * o * k;
    double *x = keep(n * 8);
    float d[32 * 32];
    r.w = keep(n * 4);
    for (size_t row = 0; row < (size_t)s * o; row++) /* C Din */
        for (uint32_t first = 0, size; first < k; first += size) {
            uint32_t left = run - first % run;
            size = left < input_block ? left : input_block;
            cmf_dct_matrix(size, d);
            for (uint32_t j = 0; j < size; j++)
                for (uint32_t f = 0; f < size; f++)
                    x[row * k + first + j] += (double)c.w[row * k + first + f] * d[f * size + j];
        }
    for (uint32_t i = 0; i < s; i++)
        for (uint32_t first = 0, size; first < o; first += size) {
            size = o - first < output_block ? o - first : output_block;
            cmf_dct_matrix(size, d);
            for (uint32_t j = 0; j < size; j++)
                for (uint32_t l = 0; l < k; l++) {
                    double sum = 0;
                    for (uint32_t f = 0; f < size; f++)
                        sum += (double)d[f * size + j] * x[((size_t)i * o + first + f) * k + l];
                    r.w[((size_t)i * o + first + j) * k + l] = (float)sum;
                }
        }
    return r;
}

/* A 3 x 3 kernel in its Winograd basis. */
static weight make_winograd(uint32_t tile, uint32_t o, uint32_t channels) {
    weight r = {make_tree(CMF_ENC_WINOGRAD, 1, o, 9 * channels, channels), NULL, NULL, NULL};
    uint32_t size = tile + 2;
    const float *g = tile == 2 ? &cmf_winograd_g2[0][0] : &cmf_winograd_g4[0][0];
    cmf_tree *f = make_tree(CMF_ENC_DENSE, size * size, o, channels, channels);
    uint32_t *c = keep((size_t)size * size * o * channels * 4);
    r.w = keep((size_t)o * 9 * channels * 4);
    fill_reals(r.w, (size_t)o * 9 * channels);
    f->dtype = CMF_F32;
    f->bits = 32;
    for (uint32_t j = 0; j < o; j++)
        for (uint32_t ch = 0; ch < channels; ch++)
            for (uint32_t y = 0; y < size; y++)
                for (uint32_t x = 0; x < size; x++) {
                    double sum = 0;
                    for (uint32_t p = 0; p < 3; p++)
                        for (uint32_t q = 0; q < 3; q++)
                            sum += (double)g[y * 3 + p] * g[x * 3 + q] * r.w[(j * 9 + p * 3 + q) * channels + ch];
                    c[((size_t)(y * size + x) * o + j) * channels + ch] = cmf_f32_bits((float)sum);
                }
    f->codes = pack(f, c);
    r.tree->child[0] = f;
    r.tree->tile = (uint8_t)tile;
    return r;
}

/* Trees of every family with W [s][o][k]. `kind` counts up until NULL; *name says what it is. */
static weight make_weight(int kind, uint8_t layout, uint32_t s, uint32_t o, uint32_t k, uint32_t run, const char **name) {
    weight none = {0};
    uint32_t rank = 1 + below(o < 20 ? o : 20);
    switch (kind) {
    case 0: *name = "dense f32"; return make_dense(CMF_F32, layout, s, o, k, run);
    case 1: *name = "dense f16"; return make_dense(CMF_F16, layout, s, o, k, run);
    case 2: *name = "quantized 8 channel"; return make_quantized(8, layout, CMF_GRAN_CHANNEL, 0, s, o, k, run);
    case 3: *name = "quantized 8 tensor"; return make_quantized(8, layout, CMF_GRAN_TENSOR, 0, s, o, k, run);
    case 4: *name = "quantized 4 channel"; return make_quantized(4, layout, CMF_GRAN_CHANNEL, 0, s, o, k, run);
    case 5: *name = "codebook 4"; return make_codebook(4, layout, s, o, k, run);
    case 6: *name = "quantized 8 zeros"; return make_quantized(8, layout, CMF_GRAN_CHANNEL, 1, s, o, k, run);
    default: break;
    }
    if (layout == CMF_LAYOUT_ROWS)
        return none;
    switch (kind) {
    case 7: *name = "quantized 4 group"; return make_quantized(4, layout, CMF_GRAN_GROUP, 1, s, o, k, run);
    case 8: *name = "svd";
        return make_product(make_dense(CMF_F32, layout, s, rank, k, run), none, make_dense(CMF_F32, layout, s, o, rank, rank), 0, 0, s, o, k, run);
    case 9: *name = "svd with residual";
        return make_product(make_quantized(8, layout, CMF_GRAN_CHANNEL, 0, s, rank, k, run), none, make_dense(CMF_F16, layout, s, o, rank, rank), 0, 1, s,
                            o, k, run);
    case 10: *name = "dct 8 4"; return make_dct(make_dense(CMF_F32, layout, s, o, k, run), 8, 4);
    case 11: *name = "dct 32 16"; return make_dct(make_quantized(8, layout, CMF_GRAN_CHANNEL, 0, s, o, k, run), 32, 16);
    case 12: *name = "dct 16 1"; return make_dct(make_dense(CMF_F32, layout, s, o, k, run), 16, 1);
    case 13: *name = "dct 1 8"; return make_dct(make_dense(CMF_F32, layout, s, o, k, run), 1, 8);
    case 14: *name = "svd of dct";
        return make_product(make_dct(make_dense(CMF_F32, layout, s, rank, k, run), 4, 2), none,
                            make_dct(make_dense(CMF_F32, layout, s, o, rank, rank), 2, 8), 0, 0, s, o, k, run);
    default: return none;
    }
}
#define KINDS 15
/* Relative to the sum of magnitudes, its mean added; sums through another basis or a middle cancel more. */
#define TOLERANCE(kind) ((kind) < 8 ? 2e-6 : 5e-6)
static double mean_of(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return 1e-30 + sum / (double)n;
}

/* ------------------------------------------------------------------ running an op */

static uint32_t pool_threads;
/* Out of order, on changing threads. */
static void pool_run(void *user, cmf_task task, void *context, uint32_t count) {
    (void)user;
    for (uint32_t i = 0; i < count; i++)
        task(context, count - 1 - i, (i * 7 + 3) % pool_threads);
}
static const cmf_parallel pool = {pool_run, NULL};

static cmf_array array(uint8_t dtype, void *data, uint32_t rank, const int32_t *dims) {
    cmf_array a = {.dtype = dtype, .rank = (uint8_t)rank, .data = data};
    for (uint32_t i = 0; i < rank; i++)
        a.dims[i] = dims[i];
    return a;
}

/* Runs an op on exact amounts of memory; the output has guard bytes around it. Returns the status of infer. */
static cmf_status run_op(const cmf_op *op, const cmf_node *node, const cmf_array *const *inputs, cmf_array *output, const cmf_isa_kernels *isa,
                         uint32_t threads, cmf_error *error) {
    cmf_workers workers = {threads, threads > 1 ? &pool : NULL};
    cmf_array *outputs[1] = {output};
    cmf_op_call call = {.node = node, .inputs = inputs, .outputs = outputs, .isa = isa, .workers = &workers, .error = error};
    pool_threads = threads;
    memset(error, 0, sizeof *error);
    cmf_status status = op->infer(&call);
    if (status != CMF_OK)
        return status;
    size_t kept = 0, scratch = 0;
    CHECK(op->keep(&call, &kept) == CMF_OK && op->scratch(&call, &scratch) == CMF_OK, "keep or scratch failed");
    call.kept = keep(kept);
    void *block = NULL;
    if (posix_memalign(&block, 64, scratch ? scratch : 1))
        exit(2);
    memset(block, 0xa5, scratch);
    call.scratch = block;
    call.scratch_size = scratch;
    size_t n = (size_t)1;
    for (uint32_t i = 0; i < output->rank; i++)
        n *= (size_t)output->dims[i];
    n *= output->dtype == CMF_I8 ? 1 : 4;
    uint8_t *bytes = keep(n + 64);
    memset(bytes, GUARD, n + 64);
    output->data = bytes + 32;
    CHECK(op->prepare(&call) == CMF_OK && op->run(&call) == CMF_OK, "prepare or run failed: %s", error->message);
    for (size_t i = 0; i < 32; i++)
        CHECK(bytes[i] == GUARD && bytes[32 + n + i] == GUARD, "wrote outside the output");
    free(block);
    return CMF_OK;
}

/* ------------------------------------------------------------------ Conv */

typedef struct conv {
    int32_t n, h, w, c, o, kh, kw, group;
    uint32_t strides[2], dilations[2], pads[4];
} conv;

static int32_t conv_size(int32_t size, uint32_t pads, int32_t kernel, uint32_t dilation, uint32_t stride) {
    return (size + (int32_t)pads - (kernel - 1) * (int32_t)dilation - 1) / (int32_t)stride + 1;
}

/* y[n][oy][ox][o] = sum x w, and the sum of magnitudes. x by a function of its index, so that codes and floats share the loops. */
static void naive_conv(const conv *v, const float *x, float pad, const float *w, int depthwise, double *y, double *size) {
    int32_t ho = conv_size(v->h, v->pads[0] + v->pads[2], v->kh, v->dilations[0], v->strides[0]);
    int32_t wo = conv_size(v->w, v->pads[1] + v->pads[3], v->kw, v->dilations[1], v->strides[1]);
    int32_t per = v->c / v->group, out = v->o / v->group;
    (void)depthwise;
    for (int32_t n = 0; n < v->n; n++)
        for (int32_t oy = 0; oy < ho; oy++)
            for (int32_t ox = 0; ox < wo; ox++)
                for (int32_t o = 0; o < v->o; o++) {
                    double sum = 0, most = 0;
                    for (int32_t i = 0; i < v->kh; i++)
                        for (int32_t j = 0; j < v->kw; j++)
                            for (int32_t k = 0; k < per; k++) {
                                int32_t iy = oy * (int32_t)v->strides[0] - (int32_t)v->pads[0] + i * (int32_t)v->dilations[0];
                                int32_t ix = ox * (int32_t)v->strides[1] - (int32_t)v->pads[1] + j * (int32_t)v->dilations[1];
                                int inside = iy >= 0 && iy < v->h && ix >= 0 && ix < v->w;
                                int32_t ch = o / out * per + k;
                                double a = inside ? x[((n * v->h + iy) * v->w + ix) * v->c + ch] : pad;
                                double b = w[((size_t)o * v->kh * v->kw + (size_t)(i * v->kw + j)) * (size_t)per + (size_t)k];
                                sum += a * b;
                                most += fabs(a * b);
                            }
                    size_t at = (((size_t)n * ho + oy) * wo + ox) * v->o + o;
                    y[at] = sum;
                    size[at] = most;
                }
}

static void check_conv_f32(const conv *v, weight w, const char *name, const cmf_isa_kernels *isa, double tolerance) {
    int32_t per = v->c / v->group;
    int32_t xd[4] = {v->n, v->h, v->w, v->c}, wd[4] = {v->o, v->kh, v->kw, per}, bd[1] = {v->o};
    size_t xn = (size_t)v->n * v->h * v->w * v->c;
    cmf_node node = {.op = CMF_FB_OP_CONV, .input_count = 3, .output_count = 1};
    memcpy(node.options.strides, v->strides, sizeof v->strides);
    memcpy(node.options.dilations, v->dilations, sizeof v->dilations);
    memcpy(node.options.pads, v->pads, sizeof v->pads);
    node.options.group = (uint32_t)v->group;
    node.activation = (uint8_t)below(3);
    node.activation_min = -0.5f;
    node.activation_max = 2.0f;
    cmf_array x = array(CMF_F32, reals(xn), 4, xd), ww = array(CMF_F32, NULL, 4, wd), b = array(CMF_F32, keep((size_t)v->o * 4), 1, bd), y = {0};
    fill_reals(b.data, (size_t)v->o);
    ww.tree = w.tree;
    int with_bias = below(3) != 0;
    const cmf_array *inputs[3] = {&x, &ww, with_bias ? &b : NULL};
    cmf_error error;
    uint32_t threads = 1 + below(3);
    cmf_status status = run_op(&cmf_op_conv, &node, inputs, &y, isa, threads, &error);
    CHECK(status == CMF_OK, "%s conv of %s: %s", isa->name, name, error.message);
    if (status != CMF_OK)
        return;
    size_t n = (size_t)y.dims[0] * y.dims[1] * y.dims[2] * y.dims[3];
    double *want = keep(n * 8), *size = keep(n * 8), worst = 0;
    naive_conv(v, x.data, 0, w.w, 0, want, size);
    double mean = mean_of(size, n);
    for (size_t i = 0; i < n; i++) {
        double r = want[i], add = with_bias ? ((float *)b.data)[i % (size_t)v->o] : 0;
        r += add;
        if (node.activation == 1)
            r = r < 0 ? 0 : r;
        if (node.activation == 2)
            r = r < -0.5 ? -0.5 : r > 2 ? 2 : r;
        double e = fabs(r - ((float *)y.data)[i]) / (mean + size[i] + fabs(add));
        if (!(e <= worst))
            worst = e;
    }
    CHECK(worst <= tolerance,
          "%s conv of %s, x [%d %d %d %d], w [%d %d %d %d], group %d, strides %u %u, dilations %u %u, pads %u %u %u %u, run %u, threads %u: off by %g",
          isa->name, name, v->n, v->h, v->w, v->c, v->o, v->kh, v->kw, per, v->group, v->strides[0], v->strides[1], v->dilations[0],
          v->dilations[1], v->pads[0], v->pads[1], v->pads[2], v->pads[3], w.tree->run, threads, worst);
}

/* clamp(rne((float)acc * m) + zero), as FORMAT.md 5.2 has it. */
static int32_t requantized(double acc, float m, int32_t zero, int32_t low, int32_t high) {
    double r = nearbyint((double)((float)(int32_t)acc * m)) + zero;
    return r < low ? low : r > high ? high : (int32_t)r;
}

static void check_conv_i8(const conv *v, weight w, const char *name, const cmf_isa_kernels *isa) {
    int32_t per = v->c / v->group, dynamic = (int32_t)below(2);
    int32_t xd[4] = {v->n, v->h, v->w, v->c}, wd[4] = {v->o, v->kh, v->kw, per}, bd[1] = {v->o};
    size_t image = (size_t)v->h * v->w * v->c, xn = (size_t)v->n * image, wn = (size_t)v->o * v->kh * v->kw * per;
    cmf_node node = {.op = CMF_FB_OP_CONV, .input_count = 3, .output_count = 1, .compute = dynamic ? 2 : 1};
    memcpy(node.options.strides, v->strides, sizeof v->strides);
    memcpy(node.options.dilations, v->dilations, sizeof v->dilations);
    memcpy(node.options.pads, v->pads, sizeof v->pads);
    node.options.group = (uint32_t)v->group;
    node.activation = (uint8_t)below(2);
    cmf_array x = array(CMF_F32, reals(xn), 4, xd), ww = array(CMF_F32, NULL, 4, wd), b = array(CMF_F32, keep((size_t)v->o * 4), 1, bd), y = {0};
    ww.tree = w.tree;
    float *q = keep(xn * 4), *wq = keep(wn * 4), *image_scale = keep((size_t)v->n * 4);
    for (size_t i = 0; i < wn; i++)
        wq[i] = w.codes[i];
    if (dynamic) {
        fill_reals(b.data, (size_t)v->o);
        if (below(4) == 0)
            memset(x.data, 0, image * 4); /* an image of zeros */
        for (int32_t i = 0; i < v->n; i++) {
            float top = 0;
            const float *from = (float *)x.data + i * image;
            for (size_t k = 0; k < image; k++)
                top = fabsf(from[k]) > top ? fabsf(from[k]) : top;
            image_scale[i] = top / 127.0f;
            for (size_t k = 0; k < image; k++)
                q[i * image + k] = image_scale[i] > 0 ? nearbyintf(from[k] / image_scale[i]) : 0;
        }
    } else {
        int8_t *c = codes(xn);
        x.data = c;
        x.dtype = CMF_I8;
        b.dtype = CMF_I32;
        x.has_affine = y.has_affine = 1;
        y.dtype = CMF_I8;
        x.scale = 0.02f;
        y.scale = 0.05f * sqrtf((float)(v->kh * v->kw * per));
        x.zero_point = (int32_t)below(256) - 128;
        y.zero_point = (int32_t)below(256) - 128;
        for (int32_t i = 0; i < v->o; i++)
            ((int32_t *)b.data)[i] = (int32_t)(chance() & 0xffff) - 32768;
        for (size_t i = 0; i < xn; i++)
            q[i] = c[i];
    }
    const cmf_array *inputs[3] = {&x, &ww, &b};
    cmf_error error;
    cmf_status status = run_op(&cmf_op_conv, &node, inputs, &y, isa, 1 + below(3), &error);
    CHECK(status == CMF_OK, "%s int8 conv of %s: %s", isa->name, name, error.message);
    if (status != CMF_OK)
        return;
    size_t n = (size_t)y.dims[0] * y.dims[1] * y.dims[2] * y.dims[3], wrong = 0;
    double *want = keep(n * 8), *size = keep(n * 8);
    naive_conv(v, q, dynamic ? 0 : (float)x.zero_point, wq, 0, want, size);
    for (size_t i = 0; i < n; i++) {
        size_t o = i % (size_t)v->o;
        if (dynamic) {
            volatile float scale = image_scale[i / (n / (size_t)v->n)] * w.scales[o];
            volatile float product = (float)(int32_t)want[i] * scale;
            float r = product + ((float *)b.data)[o];
            r = node.activation == 1 && r < 0 ? 0 : r;
            wrong += r != ((float *)y.data)[i];
        } else {
            float m = (float)((double)x.scale * (double)w.scales[o] / (double)y.scale);
            int32_t low = node.activation == 1 ? y.zero_point : -128;
            wrong += requantized(want[i] + ((int32_t *)b.data)[o], m, y.zero_point, low, 127) != ((int8_t *)y.data)[i];
        }
    }
    CHECK(wrong == 0, "%s %s conv of %s: %zu of %zu outputs differ", isa->name, dynamic ? "int8_dynamic" : "int8_static", name, wrong, n);
}

static conv random_conv(void) {
    static const int32_t channel[] = {1, 3, 4, 7, 16, 17, 20}, output[] = {1, 4, 10, 16, 17, 33, 48};
    conv v = {.n = 1 + (int32_t)below(2), .kh = 1 + (int32_t)below(3), .kw = 1 + (int32_t)below(3), .group = 1};
    v.c = channel[below(7)];
    v.o = output[below(7)];
    if (below(4) == 0) {
        v.group = 2 + (int32_t)below(2);
        v.c = (v.c + 1) * v.group;
        v.o *= v.group;
    }
    for (int k = 0; k < 2; k++) {
        v.strides[k] = 1 + below(3) / 2;
        v.dilations[k] = 1 + below(4) / 3;
    }
    for (int k = 0; k < 4; k++)
        v.pads[k] = below(3);
    v.h = (v.kh - 1) * (int32_t)v.dilations[0] + 1 + (int32_t)below(9);
    v.w = (v.kw - 1) * (int32_t)v.dilations[1] + 1 + (int32_t)below(9);
    return v;
}

static void check_convs(const cmf_isa_kernels *isa) {
    const char *name = "";
    where = "conv";
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < 6; i++) {
            conv v = random_conv();
            uint32_t per = (uint32_t)(v.c / v.group), k = per * (uint32_t)(v.kh * v.kw);
            weight w = make_weight(kind, CMF_LAYOUT_LINES, (uint32_t)v.group, (uint32_t)(v.o / v.group), k, below(3) ? per : k, &name);
            check_conv_f32(&v, w, name, isa, TOLERANCE(kind));
            if (w.codes)
                check_conv_i8(&v, w, name, isa);
            release_all();
        }
    where = "depthwise";
    for (int kind = 0; kind < 7; kind++)
        for (int i = 0; i < 6; i++) {
            conv v = random_conv();
            int32_t channels[] = {2, 4, 15, 16, 17, 33, 48};
            v.kh = 1 + (int32_t)below(5);
            v.kw = 1 + (int32_t)below(5);
            v.h += v.kh * 2;
            v.w += v.kw * 2;
            v.c = v.group = channels[below(7)];
            v.o = v.c * (below(4) == 0 ? 2 : 1);
            uint32_t k = (uint32_t)(v.kh * v.kw);
            weight w = make_weight(kind, CMF_LAYOUT_ROWS, 1, (uint32_t)v.o, k, k, &name);
            check_conv_f32(&v, w, name, isa, 2e-6);
            if (w.codes)
                check_conv_i8(&v, w, name, isa);
            release_all();
        }
    where = "tucker2";
    for (int i = 0; i < 12; i++) {
        conv v = random_conv();
        weight none = {0};
        v.group = 1;
        v.h += 20 * (int32_t)below(2);
        v.w += v.kh == 1 && v.kw == 1 ? (int32_t)v.dilations[1] : 0;
        v.kw = v.kw + (v.kh == 1 && v.kw == 1);
        v.w += 30 * (int32_t)below(2);
        uint32_t per = (uint32_t)v.c, taps = (uint32_t)(v.kh * v.kw), in = 1 + below(per), out = 1 + below((uint32_t)v.o), o = (uint32_t)v.o;
        weight first = make_dense(CMF_F32, CMF_LAYOUT_LINES, 1, in, per, per), core = make_dense(CMF_F32, CMF_LAYOUT_LINES, 1, out, taps * in, in);
        if (below(2))
            first = make_dct(first, 4, 4);
        if (below(2))
            core = make_dct(core, 8, 8);
        weight w = make_product(first, core, make_dense(CMF_F32, CMF_LAYOUT_LINES, 1, o, out, out), 1, (int)below(2), 1, o, per * taps, per);
        (void)none;
        check_conv_f32(&v, w, "tucker2", isa, 4e-6);
        release_all();
    }
    /* Middles that reach their bounds: a dilation that leaves room for single pixels only, and wide factors. */
    for (int i = 0; i < 2; i++) {
        conv v = {.n = 1, .h = 45, .w = 45, .c = 40, .o = 5, .kh = 3, .kw = 3, .group = 1, .strides = {3, 3}, .dilations = {20, 20}, .pads = {1, 1, 1, 1}};
        weight core = make_dense(CMF_F32, CMF_LAYOUT_LINES, 1, 6, 9 * 35, 35);
        if (i)
            core = make_dct(core, 8, 2);
        weight w = make_product(make_dense(CMF_F32, CMF_LAYOUT_LINES, 1, 35, 40, 40), core, make_dense(CMF_F32, CMF_LAYOUT_LINES, 1, 5, 6, 6), 1, 0, 1, 5,
                                360, 40);
        check_conv_f32(&v, w, "tucker2 with dilation", isa, 4e-6);
        release_all();
    }
    where = "winograd";
    for (int i = 0; i < 8; i++) {
        conv v = random_conv();
        v.kh = v.kw = 3;
        v.group = 1;
        v.h += 3 + 20 * (i == 7);
        v.w += 3 + 30 * (i == 7);
        for (int k = 0; k < 2; k++)
            v.strides[k] = v.dilations[k] = 1;
        uint32_t tile = i & 1 ? 2 : 4;
        check_conv_f32(&v, make_winograd(tile, (uint32_t)v.o, (uint32_t)v.c), tile == 2 ? "winograd 2" : "winograd 4", isa, tile == 2 ? 1e-5 : 5e-5);
        release_all();
    }
    /* More taps than a window has lines, a window inside a run, and several tiles. */
    where = "large";
    static const conv large[] = {
        {1, 20, 20, 40, 20, 3, 3, 1, {1, 1}, {1, 1}, {1, 1, 1, 1}},
        {1, 40, 41, 4, 17, 3, 3, 1, {1, 1}, {1, 1}, {1, 1, 1, 1}},
        {1, 2, 3, 600, 17, 1, 2, 1, {1, 1}, {1, 1}, {0, 0, 0, 1}},
        {1, 24, 24, 1, 3, 17, 17, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        for (int kind = 0; kind < 5; kind += kind == 0 ? 2 : 1) {
            const conv *v = &large[i];
            weight w = make_weight(kind, CMF_LAYOUT_LINES, 1, (uint32_t)v->o, (uint32_t)(v->kh * v->kw * v->c), (uint32_t)v->c, &name);
            check_conv_f32(v, w, name, isa, 2e-6);
            if (w.codes)
                check_conv_i8(v, w, name, isa);
            release_all();
        }
    conv wide = {.n = 1, .h = 40, .w = 34, .c = 3, .o = 3, .kh = 33, .kw = 34, .group = 3, .strides = {1, 1}, .dilations = {1, 1}, .pads = {1, 0, 0, 1}};
    for (int kind = 0; kind < 3; kind++) {
        weight w = make_weight(kind, CMF_LAYOUT_ROWS, 1, 3, 33 * 34, 33 * 34, &name);
        check_conv_f32(&wide, w, name, isa, 2e-6);
        if (w.codes)
            check_conv_i8(&wide, w, name, isa);
        release_all();
    }
}

/* ------------------------------------------------------------------ MatMul */

/* y[b][m][n] of a[b or 0][m][k] and w[b or 0][n][k] (a tree's order) or w[..][k][n]. */
static void naive_matmul(uint32_t batches, uint32_t m, uint32_t n, uint32_t k, const float *a, size_t a_step, const float *w, size_t w_step, int rows,
                         double *y, double *size) {
    for (uint32_t b = 0; b < batches; b++)
        for (uint32_t i = 0; i < m; i++)
            for (uint32_t j = 0; j < n; j++) {
                double sum = 0, most = 0;
                for (uint32_t l = 0; l < k; l++) {
                    double x = a[b * a_step + (size_t)i * k + l], v = w[b * w_step + (rows ? (size_t)l * n + j : (size_t)j * k + l)];
                    sum += x * v;
                    most += fabs(x * v);
                }
                y[((size_t)b * m + i) * n + j] = sum;
                size[((size_t)b * m + i) * n + j] = most;
            }
}

static void compare_matmul(const char *name, const cmf_isa_kernels *isa, const cmf_array *y, const double *want, const double *size, const float *bias,
                           uint32_t n, double tolerance) {
    size_t count = 1;
    double worst = 0;
    for (uint32_t i = 0; i < y->rank; i++)
        count *= (size_t)y->dims[i];
    double mean = mean_of(size, count);
    for (size_t i = 0; i < count; i++) {
        double add = bias ? bias[i % n] : 0, e = fabs(want[i] + add - ((float *)y->data)[i]) / (mean + size[i] + fabs(add));
        if (!(e <= worst))
            worst = e;
    }
    CHECK(worst <= tolerance, "%s matmul by %s [%d %d] rank %u: off by %g", isa->name, name, (int)n, (int)y->dims[0], y->rank, worst);
}

static void check_matmul_weight(const cmf_isa_kernels *isa, int kind) {
    static const uint32_t ks[] = {1, 27, 33, 64, 300, 1030}, ns[] = {1, 10, 16, 17, 48, 80, 130}, ms[] = {1, 1, 2, 3, 4, 6, 15, 29};
    const char *name = "";
    uint32_t k = ks[below(6)], n = ns[below(7)], m = ms[below(8)], stack = below(4) ? 1 : 3, outer = 1 + below(2);
    uint32_t run = k == 300 && below(2) ? 100 : k;
    if (k * n > 40000)
        n = 17;
    weight w = make_weight(kind, CMF_LAYOUT_LINES, stack, n, k, run, &name);
    /* stack 1: [outer, m, k] x [k, n]; else [outer, stack, m, k] or [m, k] x [stack, k, n] */
    int broadcast = stack > 1 && below(2);
    int32_t ad[4] = {(int32_t)outer, (int32_t)stack, (int32_t)m, (int32_t)k}, wd[3] = {(int32_t)stack, (int32_t)k, (int32_t)n}, bd[1] = {(int32_t)n};
    uint32_t batches = broadcast ? stack : outer * stack;
    size_t xn = (size_t)(broadcast ? 1 : outer * stack) * m * k;
    cmf_array a = array(CMF_F32, reals(xn), broadcast ? 2 : 4, broadcast ? ad + 2 : ad), ww = array(CMF_F32, NULL, stack == 1 ? 2 : 3, stack == 1 ? wd + 1 : wd);
    int vector = stack == 1 && m == 1 && outer == 1 && below(2);
    if (vector)
        a = array(CMF_F32, a.data, 1, ad + 3);
    cmf_array b = array(CMF_F32, keep(n * 4), 1, bd), y = {0};
    fill_reals(b.data, n);
    ww.tree = w.tree;
    const cmf_array *inputs[3] = {&a, &ww, &b};
    cmf_node node = {.op = CMF_FB_OP_MATMUL, .input_count = 3, .output_count = 1};
    cmf_error error;
    cmf_status status = run_op(&cmf_op_matmul, &node, inputs, &y, isa, 1 + below(3), &error);
    CHECK(status == CMF_OK, "%s matmul by %s: %s", isa->name, name, error.message);
    if (status != CMF_OK)
        return;
    double *want = keep((size_t)batches * m * n * 8), *size = keep((size_t)batches * m * n * 8);
    for (uint32_t i = 0; i < (broadcast ? 1 : outer); i++)
        naive_matmul(stack, m, n, k, (float *)a.data + (size_t)i * stack * m * k, broadcast ? 0 : (size_t)m * k, w.w, (size_t)n * k, 0,
                     want + (size_t)i * stack * m * n, size + (size_t)i * stack * m * n);
    CHECK(y.rank == (vector ? 1 : broadcast ? 3 : 4), "rank %u", y.rank);
    compare_matmul(name, isa, &y, want, size, b.data, n, TOLERANCE(kind));
    if (!w.codes || stack > 1)
        return;
    /* int8_dynamic: a scale for each row */
    node.compute = 2;
    memset(&y, 0, sizeof y);
    status = run_op(&cmf_op_matmul, &node, inputs, &y, isa, 1 + below(3), &error);
    CHECK(status == CMF_OK, "%s int8_dynamic matmul by %s: %s", isa->name, name, error.message);
    size_t wrong = 0;
    for (uint32_t i = 0; status == CMF_OK && i < batches * m; i++) {
        const float *x = (float *)a.data + (size_t)i * k;
        float top = 0;
        for (uint32_t l = 0; l < k; l++)
            top = fabsf(x[l]) > top ? fabsf(x[l]) : top;
        for (uint32_t j = 0; j < n; j++) {
            int64_t acc = 0;
            for (uint32_t l = 0; l < k; l++)
                acc += (int64_t)nearbyintf(x[l] / (top / 127.0f)) * w.codes[(size_t)j * k + l];
            volatile float scale = top / 127.0f * w.scales[j], product = (float)acc * scale;
            float r = product + ((float *)b.data)[j];
            wrong += r != ((float *)y.data)[(size_t)i * n + j];
        }
    }
    CHECK(wrong == 0, "%s int8_dynamic matmul by %s [%u %u]: %zu of %zu outputs differ", isa->name, name, k, n, wrong, (size_t)batches * m * n);
}

static void check_matmul_activations(const cmf_isa_kernels *isa) {
    static const uint32_t ks[] = {1, 7, 33, 64, 270}, ns[] = {1, 8, 16, 17, 40}, ms[] = {1, 3, 8, 9, 20, 260};
    uint32_t k = ks[below(5)], n = ns[below(5)], m = ms[below(6)], heads = 1 + below(3);
    if (m == 260)
        k = 7;
    int broadcast = (int)below(2);
    int32_t ad[3] = {(int32_t)heads, (int32_t)m, (int32_t)k}, bd[3] = {(int32_t)heads, (int32_t)k, (int32_t)n};
    cmf_array a = array(CMF_F32, reals((size_t)heads * m * k), 3, ad);
    cmf_array b = array(CMF_F32, keep((size_t)heads * k * n * 4), broadcast ? 2 : 3, broadcast ? bd + 1 : bd), y = {0}; /* read exactly */
    fill_reals(b.data, (size_t)(broadcast ? 1 : heads) * k * n);
    const cmf_array *inputs[2] = {&a, &b};
    cmf_node node = {.op = CMF_FB_OP_MATMUL, .input_count = 2, .output_count = 1};
    cmf_error error;
    cmf_status status = run_op(&cmf_op_matmul, &node, inputs, &y, isa, 1 + below(3), &error);
    CHECK(status == CMF_OK, "%s matmul of activations: %s", isa->name, error.message);
    double *want = keep((size_t)heads * m * n * 8), *size = keep((size_t)heads * m * n * 8);
    naive_matmul(heads, m, n, k, a.data, (size_t)m * k, b.data, broadcast ? 0 : (size_t)k * n, 1, want, size);
    if (status == CMF_OK)
        compare_matmul("activations", isa, &y, want, size, NULL, n, 3e-6);
}

static void check_matmuls(const cmf_isa_kernels *isa) {
    where = "matmul";
    for (int i = 0; i < 12; i++) {
        for (int kind = 0; kind < KINDS; kind++) {
            check_matmul_weight(isa, kind);
            release_all();
        }
        check_matmul_activations(isa);
        release_all();
    }
}

/* ------------------------------------------------------------------ refusals */

static void check_refusals(void) {
    const char *name;
    cmf_error error;
    where = "refusals";
    conv v = {.n = 1, .h = 5, .w = 5, .c = 4, .o = 8, .kh = 3, .kw = 3, .group = 1};
    int32_t xd[4] = {1, 5, 5, 4}, wd[4] = {8, 3, 3, 4};
    cmf_node node = {.op = CMF_FB_OP_CONV, .input_count = 2, .output_count = 1, .options = {.strides = {1, 1}, .dilations = {1, 1}, .group = 1}};
    cmf_array x = array(CMF_F32, reals(100), 4, xd), w = array(CMF_F32, NULL, 4, wd), y = {0};
    const cmf_array *inputs[2] = {&x, &w};
    (void)v;
    w.tree = make_weight(8, CMF_LAYOUT_LINES, 1, 8, 36, 4, &name).tree;
    node.compute = 2;
    CHECK(run_op(&cmf_op_conv, &node, inputs, &y, &cmf_isa_scalar, 1, &error) == CMF_E_UNSUPPORTED, "int8 of a lowrank weight is taken");
    node.compute = 0;
    node.options.pads[0] = 0x7fffffff;
    CHECK(run_op(&cmf_op_conv, &node, inputs, &y, &cmf_isa_scalar, 1, &error) == CMF_E_LIMIT, "endless padding is taken");
    node.options.pads[0] = 0;
    node.options.strides[0] = 0;
    CHECK(run_op(&cmf_op_conv, &node, inputs, &y, &cmf_isa_scalar, 1, &error) == CMF_E_GRAPH, "a stride of 0 is taken");
    node.options.strides[0] = 1;
    node.options.group = 2;
    CHECK(run_op(&cmf_op_conv, &node, inputs, &y, &cmf_isa_scalar, 1, &error) == CMF_E_SHAPE, "groups that do not fit are taken");
    node.options.group = 1;
    node.options.dilations[0] = 3;
    CHECK(run_op(&cmf_op_conv, &node, inputs, &y, &cmf_isa_scalar, 1, &error) == CMF_E_SHAPE, "a kernel larger than the image is taken");
    release_all();
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    uint32_t levels = cmf_isa_available();
    state = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    printf("instruction sets:");
    for (uint32_t level = 0; level < CMF_ISA_COUNT; level++)
        if (levels >> level & 1)
            printf(" %s", cmf_isa_name((cmf_isa)level));
    printf("\n");
    CHECK((levels & 1) != 0 && cmf_isa_name(CMF_ISA_COUNT) == NULL, "the ladder");
    for (uint32_t level = 0; level < CMF_ISA_COUNT; level++) {
        if (!(levels >> level & 1))
            continue;
        const cmf_isa_kernels *isa = cmf_isa_select(1u << level);
        CHECK((uint32_t)isa->level == level && strcmp(isa->name, cmf_isa_name((cmf_isa)level)) == 0, "level %u gives %s", level, isa->name);
        check_slots(isa);
        check_convs(isa);
        check_matmuls(isa);
    }
    check_refusals();
    printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}
