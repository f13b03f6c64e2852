/* Every encoding, width, layout and kind of scales on odd shapes: weights are packed here, bit by bit as FORMAT.md says, and read
 * back through encodings/. Spans and targets end where their heap blocks end, so that a sanitizer sees any access beyond;
 * spans start at the smallest alignment that the format promises. Then malformed trees, each with the status it must get. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "encodings/dct.h"
#include "encodings/encoding.h"
#include "encodings/panels.h"
#include "encodings/winograd.h"

static int failures, checks;

#define CHECK(condition, ...)                                                                  \
    do {                                                                                       \
        checks++;                                                                              \
        if (!(condition) && failures++ < 30) {                                                 \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);                             \
            printf(__VA_ARGS__);                                                               \
            printf("\n");                                                                      \
        }                                                                                      \
    } while (0)

/* ------------------------------------------------------------------ memory and chance */

static void *blocks[4096];
static int block_count;

static void *keep(size_t size) {
    void *p = calloc(1, size ? size : 1);
    if (!p || block_count == 4096) exit(2);
    return blocks[block_count++] = p;
}
static void release_all(void) {
    while (block_count) free(blocks[--block_count]);
}
/* A span that ends with its heap block and is aligned to no more than `alignment`. */
static cmf_bytes span(uint64_t size, size_t alignment) {
    uint8_t *p = keep((size_t)size + alignment);
    return (cmf_bytes){p + alignment, (size_t)size};
}
static uint8_t *writable(cmf_bytes b) { return (uint8_t *)(uintptr_t)b.data; }

static uint32_t chance_state = 12345;
static uint32_t chance(uint32_t n) {
    chance_state = chance_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)chance_state * n) >> 32);
}
static float chance_float(void) { return ((float)chance(2001) - 1000.0f) / 512.0f; }

/* ------------------------------------------------------------------ weights in logical form */

typedef struct weight {
    cmf_tree root, leaf; /* root is leaf unless sparse */
    int sparse;
    uint32_t *codes;     /* [S][O][K] */
    uint8_t *present;    /* [S][O][K] */
    float *scales;       /* [S][O][G] */
    int8_t *zeros;
    float *table;        /* [tables][2^bits] */
    float *values;       /* [S][O][K]: what must come out */
    int8_t *integers;    /* [S][O][K]: the i8 codes */
} weight;

static size_t at(const cmf_tree *t, uint32_t s, uint32_t o, uint32_t k) { return ((size_t)s * t->outputs + o) * t->inputs + k; }

static void put_bits(uint8_t *p, uint64_t bit, uint32_t width, uint32_t code) {
    for (uint32_t i = 0; i < width; i++, bit++)
        if (code >> i & 1u) p[bit / 8] |= (uint8_t)(1u << bit % 8);
}

/* Planes of a width, low bits first; returns their number. */
static uint32_t planes_of(uint32_t bits, uint32_t widths[2]) {
    static const uint32_t low[] = {0, 1, 2, 2, 4, 4, 4};
    widths[0] = bits <= 6 ? low[bits] : bits;
    widths[1] = bits - widths[0];
    return widths[1] ? 2 : 1;
}
static uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
static uint32_t lanes_of(const cmf_tree *t, uint32_t p) {
    uint32_t left = t->outputs - 16 * p;
    return left >= 16 ? 16 : ceil_div(left, 4) * 4;
}

/* Codes of an all-present leaf into bytes; returns the size. With target NULL only counts. */
static uint64_t pack(const weight *w, uint8_t *target) {
    const cmf_tree *t = &w->leaf;
    uint32_t widths[2], planes = planes_of(t->bits, widths), P = ceil_div(t->outputs, 16), R = t->run;
    uint64_t byte = 0;
    for (uint32_t s = 0; s < t->stack; s++)
        for (uint32_t p = 0; p < P; p++) {
            uint32_t L = lanes_of(t, p), below = 0;
            for (uint32_t plane = 0; plane < planes; below += widths[plane], plane++) {
                uint32_t b = widths[plane];
                for (uint32_t k = 0; target && k < t->inputs; k++)
                    for (uint32_t lane = 0; lane < L && 16 * p + lane < t->outputs; lane++) {
                        uint32_t code = w->codes[at(t, s, 16 * p + lane, k)] >> below & (0xffffffffu >> (32 - b));
                        if (t->layout == CMF_LAYOUT_LINES) {
                            uint32_t i = k % R, per_word = 32 / b, c = i % per_word;
                            uint64_t word = ((uint64_t)(k / R) * ceil_div(R * b, 32) + i / per_word) * L + lane;
                            put_bits(target, 8 * byte + 32 * word + (b >= 8 ? b * c : 8 * (c % 4) + b * (c / 4)), b, code);
                        } else {
                            put_bits(target, 8 * (byte + (uint64_t)k * ceil_div(L * b, 8)) + b * lane, b, code);
                        }
                    }
                byte += t->layout == CMF_LAYOUT_LINES ? 4ull * L * (t->inputs / R) * ceil_div(R * b, 32) : (uint64_t)t->inputs * ceil_div(L * b, 8);
            }
            byte = (byte + 3) / 4 * 4;
        }
    return byte;
}

static void pack_sparse(weight *w) {
    const cmf_tree *t = &w->leaf;
    uint32_t P = ceil_div(t->outputs, 16), R = t->run, panels = t->stack * P;
    int wide = t->layout == CMF_LAYOUT_LINES && t->bits <= 8;
    uint32_t units = wide ? t->inputs / R * ceil_div(R, 4) : t->inputs;
    w->root.mask = span((uint64_t)panels * units * (wide ? 8 : 2), wide ? 4 : 2);
    w->root.offsets = span(4ull * (panels + 1), 4);
    uint8_t *mask = writable(w->root.mask);
    uint8_t *values = keep(64 + 4ull * t->stack * P * 16 * t->inputs);
    uint32_t offset = 0;
    for (uint32_t q = 0; q < panels; q++) {
        uint32_t s = q / P, p = q % P;
        uint64_t bit = 32ull * offset;
        /* In the order of units, and of bits in a unit. */
        for (uint32_t u = 0; u < units; u++)
            for (uint32_t m = 0; m < (wide ? 64u : 16u); m++) {
                uint32_t lane = wide ? m / 4 : m, run_units = wide ? ceil_div(R, 4) : R;
                uint32_t i = wide ? u % run_units * 4 + m % 4 : u % run_units, k = u / run_units * R + i;
                if (i >= R || 16 * p + lane >= t->outputs || !w->present[at(t, s, 16 * p + lane, k)]) continue;
                put_bits(mask, ((uint64_t)q * units + u) * (wide ? 64 : 16) + m, 1, 1);
                put_bits(values, bit, t->bits, w->codes[at(t, s, 16 * p + lane, k)]);
                bit += t->bits;
            }
        offset = (uint32_t)((bit + 31) / 32);
        memcpy(writable(w->root.offsets) + 4 * (q + 1), &offset, 4);
    }
    w->leaf.codes = span(4ull * offset + 64, 4);
    memcpy(writable(w->leaf.codes), values, 4ull * offset);
}

/* Scales (and zeros) in the order of FORMAT.md 2.3. */
static void pack_scales(weight *w, int with_zeros) {
    cmf_tree *t = &w->leaf;
    uint32_t P = ceil_div(t->outputs, 16), G = t->granularity == CMF_GRAN_GROUP ? t->inputs / t->run * ceil_div(t->run, t->group) : 1;
    uint32_t padded = 16 * (P - 1) + lanes_of(t, P - 1), count = t->granularity == CMF_GRAN_TENSOR ? 1 : t->stack * padded * G;
    size_t width = t->scale_dtype == CMF_F16 ? 2 : 4;
    t->scales = span(count * width, width);
    if (with_zeros) t->zeros = span(count, 1);
    for (uint32_t s = 0; s < t->stack; s++)
        for (uint32_t o = 0; o < t->outputs; o++)
            for (uint32_t g = 0; g < G; g++) {
                uint32_t p = o / 16, L = lanes_of(t, p);
                uint32_t index = t->granularity == CMF_GRAN_TENSOR ? 0 : t->granularity == CMF_GRAN_CHANNEL ? s * padded + o
                                                                      : G * (s * padded + 16 * p) + g * L + o % 16;
                size_t logical = t->granularity == CMF_GRAN_TENSOR ? 0 : ((size_t)s * t->outputs + o) * G + g;
                uint16_t h = cmf_f32_to_f16(w->scales[logical]);
                if (width == 2) memcpy(writable(t->scales) + 2 * index, &h, 2);
                else memcpy(writable(t->scales) + 4 * index, &w->scales[logical], 4);
                if (with_zeros) writable(t->zeros)[index] = (uint8_t)w->zeros[logical];
            }
}

static void expect(weight *w) {
    const cmf_tree *t = &w->leaf;
    uint32_t bits = t->bits, G = t->granularity == CMF_GRAN_GROUP ? t->inputs / t->run * ceil_div(t->run, t->group) : 1;
    size_t count = (size_t)t->stack * t->outputs * t->inputs;
    w->values = keep(4 * count);
    w->integers = keep(count);
    for (uint32_t s = 0; s < t->stack; s++)
        for (uint32_t o = 0; o < t->outputs; o++)
            for (uint32_t k = 0; k < t->inputs; k++) {
                size_t i = at(t, s, o, k);
                uint32_t code = w->codes[i];
                uint32_t g = G == 1 ? 0 : k / t->run * ceil_div(t->run, t->group) + k % t->run / t->group;
                size_t scale_index = t->granularity == CMF_GRAN_TENSOR ? 0 : ((size_t)s * t->outputs + o) * G + g;
                float scale = t->scales.data ? w->scales[scale_index] : 1.0f;
                int32_t integer = 0;
                float value;
                switch (t->encoding) {
                    case CMF_ENC_DENSE: value = t->dtype == CMF_F32 ? cmf_f32_from_bits(code) : t->dtype == CMF_F16 ? cmf_f16_to_f32((uint16_t)code) : cmf_bf16_to_f32((uint16_t)code); break;
                    case CMF_ENC_QUANTIZED:
                        integer = code >> (bits - 1) & 1u ? (int32_t)code - (1 << bits) : (int32_t)code;
                        value = scale * ((float)integer - (float)(t->zeros.data ? w->zeros[scale_index] : 0));
                        break;
                    case CMF_ENC_CODEBOOK: {
                        uint32_t table = t->tables == 1 ? 0 : s * ceil_div(t->outputs, 16) + o / 16;
                        value = w->table[(table << bits) + code];
                        integer = t->table_dtype == CMF_I8 ? (int32_t)value : 0;
                        if (t->scales.data) value = scale * value;
                        break;
                    }
                    default:
                        integer = t->kind == CMF_LEVELS_BINARY ? (code ? 1 : -1) : code == 3 ? -1 : (int32_t)code;
                        value = scale * (float)integer;
                }
                w->values[i] = w->present[i] ? value : 0.0f;
                w->integers[i] = w->present[i] ? (int8_t)integer : 0;
            }
}

typedef struct form {
    uint8_t encoding, bits, dtype, kind;
} form;

/* A random weight of a form; what is not said by the arguments is drawn. */
static weight *make(form f, uint8_t layout, int sparse, uint32_t S, uint32_t O, uint32_t K, uint32_t R) {
    weight *w = keep(sizeof *w);
    cmf_tree *t = &w->leaf;
    size_t count = (size_t)S * O * K;
    *t = (cmf_tree){.encoding = f.encoding, .layout = layout, .bits = f.bits, .dtype = f.dtype, .kind = f.kind,
                    .stack = S, .outputs = O, .inputs = K, .run = R};
    w->sparse = sparse;
    w->codes = keep(4 * count);
    w->present = keep(count);
    uint32_t density = chance(5); /* 0: nothing present, 4: everything */
    for (size_t i = 0; i < count; i++) {
        w->present[i] = (uint8_t)(!sparse || chance(4) < density);
        uint32_t code = chance(0xffffffffu) >> (32 - f.bits);
        if (f.encoding == CMF_ENC_BITPACKED && f.kind == CMF_LEVELS_TERNARY && code == 2) code = 3;
        w->codes[i] = code;
    }
    if (f.encoding == CMF_ENC_CODEBOOK) {
        uint32_t panels = S * ceil_div(O, 16), entries;
        t->vector = 1;
        t->tables = chance(2) ? 1 : panels;
        t->table_dtype = (uint8_t)(chance(3) == 0 ? CMF_F32 : chance(2) ? CMF_F16 : CMF_I8);
        entries = t->tables << f.bits;
        size_t width = t->table_dtype == CMF_F32 ? 4 : t->table_dtype == CMF_F16 ? 2 : 1;
        t->table = span(entries * width, width == 1 ? 1 : 4);
        w->table = keep(4ull * entries);
        for (uint32_t i = 0; i < entries; i++) {
            uint16_t h = cmf_f32_to_f16(chance_float());
            int8_t q = (int8_t)((int32_t)chance(256) - 128);
            w->table[i] = width == 4 ? chance_float() * 1.001f : width == 2 ? cmf_f16_to_f32(h) : (float)q;
            const void *from = width == 4 ? (const void *)&w->table[i] : width == 2 ? (const void *)&h : (const void *)&q;
            memcpy(writable(t->table) + width * i, from, width);
        }
    }
    if (f.encoding != CMF_ENC_DENSE) {
        t->granularity = (uint8_t)chance(layout == CMF_LAYOUT_LINES && f.encoding != CMF_ENC_BITPACKED ? 3 : 2);
        t->group = t->granularity == CMF_GRAN_GROUP ? 32 + 32 * chance(2) : 0;
        t->scale_dtype = (uint8_t)(chance(2) ? CMF_F32 : CMF_F16);
        uint32_t scales = S * O * (t->granularity == CMF_GRAN_GROUP ? K / R * ceil_div(R, t->group) : 1);
        w->scales = keep(4ull * scales);
        w->zeros = keep(scales);
        for (uint32_t i = 0; i < scales; i++) {
            w->scales[i] = cmf_f16_to_f32(cmf_f32_to_f16(chance_float())) * (t->scale_dtype == CMF_F32 ? 1.0001f : 1.0f);
            w->zeros[i] = (int8_t)((int32_t)chance(256) - 128);
        }
        if (f.encoding == CMF_ENC_CODEBOOK && chance(3) == 0) { t->granularity = CMF_GRAN_TENSOR; t->group = 0; }
        else pack_scales(w, f.encoding == CMF_ENC_QUANTIZED && f.bits <= 8 && chance(2));
    }
    expect(w);
    w->root = *t;
    if (sparse) {
        w->root = (cmf_tree){.encoding = CMF_ENC_SPARSE, .layout = layout, .stack = S, .outputs = O, .inputs = K, .run = R};
        w->root.child[0] = t;
        pack_sparse(w);
    } else {
        t->codes = span(pack(w, NULL), 4);
        pack(w, writable(t->codes));
        w->root = *t;
    }
    return w;
}

static const char *describe(const weight *w) {
    static char text[200];
    const cmf_tree *t = &w->leaf;
    snprintf(text, sizeof text, "%s%s %u bits, layout %u, granularity %u, [%u, %u, %u] run %u", w->sparse ? "sparse " : "",
             cmf_encoding_get(t->encoding)->name, t->bits, t->layout, t->granularity, t->stack, t->outputs, t->inputs, t->run);
    return text;
}

static cmf_status validate(const cmf_tree *t, int full) {
    cmf_error error = {CMF_OK, ""};
    cmf_status status = cmf_tree_validate(t, full, &error);
    CHECK(status == error.status && (status == CMF_OK) == (error.message[0] == 0), "status %d, message '%s'", (int)status, error.message);
    if (getenv("VERBOSE") && status != CMF_OK) printf("%s\n", error.message);
    return status;
}

/* Reads a weight through its panels, `chunk` inputs at a time (0: whole runs), and compares. */
static void check_reading(const weight *w, uint32_t chunk, int compare) {
    const cmf_tree *t = &w->root;
    for (uint32_t s = 0; s < t->stack; s++)
        for (uint32_t p = 0; p < cmf_tree_panels(t); p++) {
            cmf_panel_reader floats, integers;
            cmf_panel_begin(&floats, t, s, p);
            cmf_panel_begin(&integers, t, s, p);
            for (uint32_t k = 0, n; k < t->inputs; k += n) {
                uint32_t left = t->run - k % t->run;
                n = chunk && chunk < left ? chunk : left;
                float *f = malloc(n * 64ull);
                int8_t *q = malloc(ceil_div(n, 4) * 64ull);
                if (!f || !q) exit(2);
                memset(f, 0x55, n * 64ull);
                memset(q, 0x55, ceil_div(n, 4) * 64ull);
                cmf_panel_next_f32(&floats, n, f);
                int has_i8 = cmf_tree_has_i8(t), same = 1, same_i8 = 1;
                if (has_i8) cmf_panel_next_i8(&integers, n, q);
                for (uint32_t i = 0; i < ceil_div(n, 4) * 4; i++)
                    for (uint32_t lane = 0; lane < 16; lane++) {
                        int there = i < n && 16 * p + lane < t->outputs;
                        float want = there ? w->values[at(t, s, 16 * p + lane, k + i)] : 0.0f;
                        int8_t want_i8 = there ? w->integers[at(t, s, 16 * p + lane, k + i)] : 0;
                        if (i < n && cmf_f32_bits(f[16 * i + lane]) != cmf_f32_bits(want)) same = 0;
                        if (has_i8 && q[64 * (i / 4) + 4 * lane + i % 4] != want_i8) same_i8 = 0;
                    }
                CHECK(!compare || same, "f32 of %s, panel %u, inputs %u..", describe(w), p, k);
                CHECK(!compare || same_i8, "i8 of %s, panel %u, inputs %u..", describe(w), p, k);
                free(f);
                free(q);
            }
            CHECK(floats.input == t->inputs, "%s", describe(w));
        }
}

static void check_rows(const weight *w) {
    const cmf_tree *t = &w->root;
    void *scratch = keep(cmf_tree_row_scratch(t));
    float *row = keep(4ull * t->inputs);
    for (uint32_t s = 0; s < t->stack; s++)
        for (uint32_t o = 0; o < t->outputs; o++) {
            cmf_tree_decode_row(t, s, o, row, scratch);
            CHECK(memcmp(row, w->values + at(t, s, o, 0), 4ull * t->inputs) == 0, "row %u of %s", o, describe(w));
            if (cmf_tree_has_i8(t)) {
                float scale = w->scales[w->leaf.granularity == CMF_GRAN_TENSOR ? 0 : s * t->outputs + o];
                CHECK(cmf_tree_i8_scale(t, s, o) == scale, "scale of %s", describe(w));
            }
        }
}

static const form forms[] = {
    {CMF_ENC_DENSE, 32, CMF_F32, 0}, {CMF_ENC_DENSE, 16, CMF_F16, 0}, {CMF_ENC_DENSE, 16, CMF_BF16, 0},
    {CMF_ENC_QUANTIZED, 1, 0, 0}, {CMF_ENC_QUANTIZED, 2, 0, 0}, {CMF_ENC_QUANTIZED, 3, 0, 0}, {CMF_ENC_QUANTIZED, 4, 0, 0},
    {CMF_ENC_QUANTIZED, 5, 0, 0}, {CMF_ENC_QUANTIZED, 6, 0, 0}, {CMF_ENC_QUANTIZED, 8, 0, 0}, {CMF_ENC_QUANTIZED, 16, 0, 0},
    {CMF_ENC_CODEBOOK, 1, 0, 0}, {CMF_ENC_CODEBOOK, 2, 0, 0}, {CMF_ENC_CODEBOOK, 3, 0, 0}, {CMF_ENC_CODEBOOK, 4, 0, 0},
    {CMF_ENC_CODEBOOK, 5, 0, 0}, {CMF_ENC_CODEBOOK, 6, 0, 0}, {CMF_ENC_CODEBOOK, 8, 0, 0},
    {CMF_ENC_BITPACKED, 1, 0, CMF_LEVELS_BINARY}, {CMF_ENC_BITPACKED, 2, 0, CMF_LEVELS_TERNARY},
};
enum { FORMS = sizeof forms / sizeof forms[0] };

static void test_panels(void) {
    static const uint32_t outputs[] = {1, 10, 16, 17, 33};
    static const uint32_t inputs[][2] = {{1, 1}, {27, 27}, {27, 9}, {27, 3}, {33, 33}, {64, 64}, {64, 16}, {99, 33}, {100, 100}, {160, 80}};
    for (int f = 0; f < FORMS; f++)
        for (int sparse = 0; sparse < 2; sparse++)
            for (uint8_t layout = CMF_LAYOUT_LINES; layout <= CMF_LAYOUT_ROWS; layout++)
                for (size_t o = 0; o < sizeof outputs / sizeof outputs[0]; o++)
                    for (size_t k = 0; k < sizeof inputs / sizeof inputs[0]; k++)
                        for (uint32_t stack = 1; stack <= 3; stack += 2) {
                            uint32_t K = inputs[k][0], R = inputs[k][1];
                            if (layout == CMF_LAYOUT_ROWS && R != K) continue;
                            weight *w = make(forms[f], layout, sparse, stack, outputs[o], K, R);
                            CHECK(validate(&w->root, 0) == CMF_OK && validate(&w->root, 1) == CMF_OK, "%s", describe(w));
                            check_reading(w, 32, 1);
                            check_reading(w, 0, 1);
                            if (stack == 1) check_rows(w);
                            /* Whatever the codes are: nothing outside is touched, and only `full` minds. */
                            for (size_t i = 0; i < w->leaf.codes.size; i++) writable(w->leaf.codes)[i] = (uint8_t)(0x80u + chance(128));
                            if (!sparse) w->root = w->leaf;
                            CHECK(validate(&w->root, 0) == CMF_OK, "%s", describe(w));
                            check_reading(w, 32, 0);
                            release_all();
                        }
}

/* ------------------------------------------------------------------ products and bases */

static cmf_tree *dense_tree(uint32_t S, uint32_t O, uint32_t K, uint32_t R, float **values) {
    weight *w = make((form){CMF_ENC_DENSE, 32, CMF_F32, 0}, CMF_LAYOUT_LINES, 0, S, O, K, R);
    for (size_t i = 0; i < (size_t)S * O * K; i++) { w->values[i] = chance_float(); w->codes[i] = cmf_f32_bits(w->values[i]); }
    memset(writable(w->leaf.codes), 0, w->leaf.codes.size);
    pack(w, writable(w->leaf.codes));
    w->root = w->leaf;
    *values = w->values;
    return &w->root;
}

static void check_close(const cmf_tree *t, const double *want, const char *what) {
    void *scratch = keep(cmf_tree_row_scratch(t));
    float *row = keep(4ull * t->inputs);
    CHECK(validate(t, 0) == CMF_OK && validate(t, 1) == CMF_OK, "%s", what);
    for (uint32_t s = 0; s < t->stack; s++)
        for (uint32_t o = 0; o < t->outputs; o++) {
            double worst = 0, most = 1e-3;
            cmf_tree_decode_row(t, s, o, row, scratch);
            for (uint32_t k = 0; k < t->inputs; k++) {
                double v = want[at(t, s, o, k)];
                worst = fmax(worst, fabs(row[k] - v));
                most = fmax(most, fabs(v));
            }
            CHECK(worst <= 1e-5 * most, "%s: row %u is off by %g of %g", what, o, worst, most);
        }
}

/* Entry [k][j] of the block-diagonal basis over n points cut into runs and blocks. */
static double basis(uint32_t k, uint32_t j, uint32_t run, uint32_t block) {
    const double pi = 3.14159265358979323846;
    uint32_t start = k / run * run + k % run / block * block, end = k / run * run + run;
    uint32_t n = end - start < block ? end - start : block;
    if (j < start || j >= start + n) return 0;
    return (k == start ? sqrt(1.0 / n) : sqrt(2.0 / n)) * cos(pi * (2 * (j - start) + 1) * (k - start) / (2.0 * n));
}

static cmf_tree *dct_tree(uint32_t S, uint32_t O, uint32_t K, uint32_t R, uint8_t in, uint8_t out, double **values) {
    float *c;
    cmf_tree *t = keep(sizeof *t), *child = dense_tree(S, O, K, R, &c);
    *t = (cmf_tree){.encoding = CMF_ENC_DCT, .stack = S, .outputs = O, .inputs = K, .run = R, .input_block = in, .output_block = out};
    t->child[0] = child;
    *values = keep(sizeof(double) * S * O * K);
    for (uint32_t s = 0; s < S; s++)
        for (uint32_t o = 0; o < O; o++)
            for (uint32_t k = 0; k < K; k++) {
                double sum = 0;
                for (uint32_t p = 0; p < O; p++)
                    for (uint32_t q = 0; q < K; q++) {
                        double d = basis(p, o, O, out);
                        if (d != 0) sum += d * c[at(t, s, p, q)] * basis(q, k, R, in);
                    }
                (*values)[at(t, s, o, k)] = sum;
            }
    return t;
}

static double *widen(const float *x, size_t n) {
    double *y = keep(n * sizeof *y);
    for (size_t i = 0; i < n; i++) y[i] = x[i];
    return y;
}

static cmf_tree *svd_tree(uint32_t S, uint32_t O, uint32_t K, uint32_t R, uint32_t r, int with_dct, int with_residual, double **values) {
    cmf_tree *t = keep(sizeof *t);
    float *bf, *af, *rf = NULL;
    double *b, *a;
    *t = (cmf_tree){.encoding = CMF_ENC_LOWRANK, .kind = CMF_FORM_SVD, .factor_count = 2, .stack = S, .outputs = O, .inputs = K, .run = R};
    if (with_dct) {
        t->child[0] = dct_tree(S, r, K, R, 8, 4, &b);
        t->child[1] = dct_tree(S, O, r, r, 4, 2, &a);
    } else {
        t->child[0] = dense_tree(S, r, K, R, &bf);
        t->child[1] = dense_tree(S, O, r, r, &af);
        b = widen(bf, (size_t)S * r * K);
        a = widen(af, (size_t)S * O * r);
    }
    if (with_residual) t->residual = dense_tree(S, O, K, R, &rf);
    *values = keep(sizeof(double) * S * O * K);
    for (uint32_t s = 0; s < S; s++)
        for (uint32_t o = 0; o < O; o++)
            for (uint32_t k = 0; k < K; k++) {
                double sum = rf ? rf[at(t, s, o, k)] : 0;
                for (uint32_t i = 0; i < r; i++) sum += a[((size_t)s * O + o) * r + i] * b[((size_t)s * r + i) * K + k];
                (*values)[at(t, s, o, k)] = sum;
            }
    return t;
}

static cmf_tree *tucker_tree(uint32_t O, uint32_t taps, uint32_t C, uint32_t rin, uint32_t rout, double **values) {
    cmf_tree *t = keep(sizeof *t);
    float *first, *core, *last;
    *t = (cmf_tree){.encoding = CMF_ENC_LOWRANK, .kind = CMF_FORM_TUCKER2, .factor_count = 3, .stack = 1, .outputs = O, .inputs = taps * C, .run = C};
    t->child[0] = dense_tree(1, rin, C, C, &first);
    t->child[1] = dense_tree(1, rout, taps * rin, rin, &core);
    t->child[2] = dense_tree(1, O, rout, rout, &last);
    *values = keep(sizeof(double) * O * taps * C);
    for (uint32_t o = 0; o < O; o++)
        for (uint32_t tap = 0; tap < taps; tap++)
            for (uint32_t c = 0; c < C; c++) {
                double sum = 0;
                for (uint32_t i = 0; i < rout; i++)
                    for (uint32_t j = 0; j < rin; j++)
                        sum += (double)last[o * rout + i] * core[(size_t)i * taps * rin + tap * rin + j] * first[j * C + c];
                (*values)[((size_t)o * taps + tap) * C + c] = sum;
            }
    return t;
}

static void test_products(void) {
    static const uint32_t shapes[][4] = {{1, 1, 1, 1}, {1, 10, 27, 27}, {3, 17, 27, 9}, {1, 33, 100, 50}, {1, 16, 64, 64}};
    static const uint8_t blocks_[][2] = {{1, 1}, {2, 4}, {8, 16}, {32, 1}, {16, 8}};
    double *want;
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 5; j++) {
            const uint32_t *s = shapes[i];
            cmf_tree *t = dct_tree(s[0], s[1], s[2], s[3], blocks_[j][0], blocks_[j][1], &want);
            check_close(t, want, "dct");
            for (int k = 0; k < 4; k++) {
                t = svd_tree(s[0], s[1], s[2], s[3], 1 + 7 * (uint32_t)j, k & 1, k & 2, &want);
                check_close(t, want, "lowrank svd");
            }
            t = tucker_tree(s[1], 9, 1 + (uint32_t)i * 9, 1 + (uint32_t)j * 6, 17 - (uint32_t)j * 4, &want);
            check_close(t, want, "lowrank tucker2");
            release_all();
        }
}

static void test_dct_matrix(void) {
    for (uint32_t n = 1; n <= CMF_DCT_MAX_BLOCK; n++) {
        float d[CMF_DCT_MAX_BLOCK * CMF_DCT_MAX_BLOCK];
        cmf_dct_matrix(n, d);
        for (uint32_t k = 0; k < n; k++)
            for (uint32_t j = 0; j < n; j++) {
                double want = basis(k, j, n, n);
                CHECK(fabs(d[k * n + j] - want) <= 6e-8 * fabs(want) + 1e-14 /* the error of `want` near 0 */, "dct %u [%u, %u] = %.9g, want %.9g", n, k, j, (double)d[k * n + j], want);
            }
    }
}

/* One tile of both Winograd forms against the direct convolution. */
static void winograd_tile(uint32_t m, const float *g, const float *bt, const float *at_) {
    uint32_t e = m + 2;
    double filter[3][3], data[6][6], u[6][6] = {{0}}, v[6][6] = {{0}}, y[4][4] = {{0}};
    for (int i = 0; i < 3; i++) for (int j = 0; j < 3; j++) filter[i][j] = chance_float();
    for (uint32_t i = 0; i < e; i++) for (uint32_t j = 0; j < e; j++) data[i][j] = chance_float();
    for (uint32_t i = 0; i < e; i++)
        for (uint32_t j = 0; j < e; j++) {
            for (uint32_t p = 0; p < 3; p++) for (uint32_t q = 0; q < 3; q++) u[i][j] += (double)g[3 * i + p] * filter[p][q] * (double)g[3 * j + q];
            for (uint32_t p = 0; p < e; p++) for (uint32_t q = 0; q < e; q++) v[i][j] += (double)bt[e * i + p] * data[p][q] * (double)bt[e * j + q];
        }
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < m; j++) {
            double want = 0;
            for (uint32_t p = 0; p < e; p++) for (uint32_t q = 0; q < e; q++) y[i][j] += (double)at_[e * i + p] * u[p][q] * v[p][q] * (double)at_[e * j + q];
            for (uint32_t p = 0; p < 3; p++) for (uint32_t q = 0; q < 3; q++) want += filter[p][q] * data[i + p][j + q];
            CHECK(fabs(y[i][j] - want) < 1e-5, "F(%u x %u) [%u, %u] = %g, want %g", m, m, i, j, y[i][j], want);
        }
}

/* ------------------------------------------------------------------ malformed trees */

static weight *sample(int f, int sparse) { return make(forms[f], CMF_LAYOUT_LINES, sparse, 1, 17, 33, 33); }

#define REFUSED(tree, full, want) \
    do { cmf_status got_ = validate(tree, full); CHECK(got_ == (want), "got %s", cmf_status_name(got_)); } while (0)
/* One wrong thing in an otherwise good leaf. */
#define BAD_LEAF(form_index, change, want) \
    do { weight *w = sample(form_index, 0); cmf_tree *t = &w->leaf; change; REFUSED(t, 0, want); } while (0)
#define BAD_SPARSE(form_index, change, want) \
    do { weight *w = sample(form_index, 1); cmf_tree *t = &w->root, *leaf = &w->leaf; (void)leaf; change; REFUSED(t, 0, want); } while (0)

static void poke(cmf_bytes b, size_t at_, uint8_t xor_) { writable(b)[at_] ^= xor_; }

static void test_malformed_leaves(void) {
    BAD_LEAF(0, t->encoding = 0, CMF_E_UNSUPPORTED);
    BAD_LEAF(0, t->encoding = 9, CMF_E_UNSUPPORTED);
    BAD_LEAF(0, t->encoding = 255, CMF_E_UNSUPPORTED);
    BAD_LEAF(0, t->layout = 3, CMF_E_UNSUPPORTED);
    BAD_LEAF(0, t->layout = CMF_LAYOUT_NONE, CMF_E_ENCODING);
    BAD_LEAF(0, t->stack = 0, CMF_E_ENCODING);
    BAD_LEAF(0, t->outputs = 0, CMF_E_ENCODING);
    BAD_LEAF(0, t->inputs = 0, CMF_E_ENCODING);
    BAD_LEAF(0, t->run = 0, CMF_E_ENCODING);
    BAD_LEAF(0, t->run = 32, CMF_E_ENCODING);
    BAD_LEAF(0, (t->layout = CMF_LAYOUT_ROWS, t->run = 11), CMF_E_ENCODING);
    BAD_LEAF(0, t->outputs = 18, CMF_OK); /* 20 lanes as before */
    BAD_LEAF(0, t->outputs = 21, CMF_E_ENCODING);
    BAD_LEAF(0, t->outputs = 0x80000000u, CMF_E_LIMIT);
    BAD_LEAF(0, (t->stack = t->outputs = t->inputs = t->run = 0x7fffffffu), CMF_E_LIMIT);
    BAD_LEAF(0, (t->stack = t->outputs = 1u << 20, t->inputs = t->run = 1), CMF_E_ENCODING); /* legal, but the bytes are not there */
    BAD_LEAF(0, (t->stack = t->outputs = 1u << 20, t->inputs = t->run = 2), CMF_E_LIMIT);
    BAD_LEAF(0, (t->stack = 1, t->outputs = t->run = 1, t->inputs = 0x7fffffffu), CMF_E_ENCODING);
    BAD_LEAF(0, t->codes.data = NULL, CMF_E_ENCODING);
    BAD_LEAF(0, t->codes.size -= 4, CMF_E_ENCODING);
    BAD_LEAF(0, t->codes.size += 4, CMF_E_ENCODING);
    BAD_LEAF(0, t->dtype = CMF_F64, CMF_E_ENCODING);
    BAD_LEAF(0, t->bits = 16, CMF_E_ENCODING);
    BAD_LEAF(9, t->bits = 7, CMF_E_ENCODING);
    BAD_LEAF(9, t->bits = 0, CMF_E_ENCODING);
    BAD_LEAF(9, t->bits = 32, CMF_E_ENCODING);
    BAD_LEAF(9, t->bits = 4, CMF_E_ENCODING);
    BAD_LEAF(9, t->granularity = 3, CMF_E_UNSUPPORTED);
    BAD_LEAF(9, t->scale_dtype = CMF_BF16, CMF_E_ENCODING);
    BAD_LEAF(9, t->scales.data = NULL, CMF_E_ENCODING);
    BAD_LEAF(9, t->scales.size += 1, CMF_E_ENCODING);
    BAD_LEAF(9, (t->granularity = CMF_GRAN_GROUP, t->group = 0), CMF_E_ENCODING);
    BAD_LEAF(9, (t->granularity = CMF_GRAN_GROUP, t->group = 33), CMF_E_ENCODING);
    BAD_LEAF(9, (t->granularity = CMF_GRAN_CHANNEL, t->group = 32), CMF_E_ENCODING);
    BAD_LEAF(9, (memset(writable(t->scales), 0xff, 2), memset(writable(t->scales) + 2, 0xff, t->scale_dtype == CMF_F32 ? 2 : 0)), CMF_E_ENCODING);
    BAD_LEAF(9, t->zeros = span(t->scales.size + 1, 1), CMF_E_ENCODING);
    BAD_LEAF(10, t->zeros = span(cmf_scale_count(t), 1), CMF_E_ENCODING);
    BAD_LEAF(14, t->vector = 2, CMF_E_UNSUPPORTED);
    BAD_LEAF(14, t->bits = 16, CMF_E_ENCODING);
    BAD_LEAF(14, t->tables = 0, CMF_E_ENCODING);
    BAD_LEAF(14, t->tables = 3, CMF_E_ENCODING);
    BAD_LEAF(14, t->table_dtype = CMF_BF16, CMF_E_ENCODING);
    BAD_LEAF(14, t->table.data = NULL, CMF_E_ENCODING);
    BAD_LEAF(14, t->table.size -= 1, CMF_E_ENCODING);
    BAD_LEAF(18, t->kind = 2, CMF_E_UNSUPPORTED);
    BAD_LEAF(18, t->bits = 2, CMF_E_ENCODING);
    BAD_LEAF(19, (t->granularity = CMF_GRAN_GROUP, t->group = 32), CMF_E_ENCODING);
    release_all();
}

static void test_malformed_sparse(void) {
    BAD_SPARSE(9, t->kind = 1, CMF_E_UNSUPPORTED);
    BAD_SPARSE(9, t->mask.data = NULL, CMF_E_ENCODING);
    BAD_SPARSE(9, t->mask.size -= 8, CMF_E_ENCODING);
    BAD_SPARSE(9, t->offsets.data = NULL, CMF_E_ENCODING);
    BAD_SPARSE(9, t->offsets.size -= 4, CMF_E_ENCODING);
    BAD_SPARSE(9, leaf->codes.data = NULL, CMF_E_ENCODING);
    BAD_SPARSE(9, leaf->codes.size -= 4, CMF_E_ENCODING);
    BAD_SPARSE(9, t->outputs = 18, CMF_E_ENCODING);
    BAD_SPARSE(9, (t->run = leaf->run = 11), CMF_E_ENCODING);
    BAD_SPARSE(9, poke(t->offsets, 0, 1), CMF_E_ENCODING);
    BAD_SPARSE(9, poke(t->offsets, 7, 0x80), CMF_E_ENCODING);
    BAD_SPARSE(9, poke(t->offsets, 4, 1), CMF_E_ENCODING);
    BAD_SPARSE(9, poke(t->offsets, 8, 1), CMF_E_ENCODING);
    BAD_SPARSE(0, poke(t->mask, 0, 1), CMF_E_ENCODING);                  /* one position more or less */
    BAD_SPARSE(9, poke(t->mask, 8 * 9 + 1, 0x01), CMF_E_ENCODING);       /* second panel: lane 2 of 1 */
    BAD_SPARSE(9, poke(t->mask, 8 * 8 + 0, 0x02), CMF_E_ENCODING);       /* input 33 of 33 */
    BAD_SPARSE(0, poke(t->mask, 2 * 33, 0x02), CMF_E_ENCODING);          /* second panel: lane 1 of 1 */
    BAD_SPARSE(0, poke(t->mask, 2 * 33 + 1, 0x80), CMF_E_ENCODING);
    release_all();
    /* Level full: padding. The last code of a panel is 3 bits and 17 outputs x 33 inputs never fill all words. */
    for (int i = 0; i < 20; i++) {
        weight *w = sample(5, 1);
        REFUSED(&w->root, 1, CMF_OK);
        poke(w->leaf.codes, w->leaf.codes.size - 1, 0x01);
        REFUSED(&w->root, 0, CMF_OK);
        REFUSED(&w->root, 1, CMF_E_ENCODING);
        poke(w->leaf.codes, w->leaf.codes.size - 1, 0x01);
        uint32_t words;
        memcpy(&words, w->root.offsets.data + 8, 4);
        uint64_t last = 0;
        for (uint32_t k = 0; k < 33; k++) last += w->present[16 * 33 + k];
        if (last * 3 % 32) {
            poke(w->leaf.codes, 4 * words - 1, 0x80);
            REFUSED(&w->root, 0, CMF_OK);
            REFUSED(&w->root, 1, CMF_E_ENCODING);
        }
        release_all();
    }
}

/* Level full on leaves: each bit of the codes that no code owns must be zero, every other may be anything. */
static void test_padding(void) {
    for (int f = 0; f < FORMS; f++)
        for (uint8_t layout = CMF_LAYOUT_LINES; layout <= CMF_LAYOUT_ROWS; layout++) {
            weight *w = make(forms[f], layout, 0, 2, 17, 9, layout == CMF_LAYOUT_LINES ? 3 : 9);
            int ternary = forms[f].encoding == CMF_ENC_BITPACKED && forms[f].kind == CMF_LEVELS_TERNARY;
            uint8_t *owned = keep(w->leaf.codes.size);
            size_t count = 2 * 17 * 9;
            for (size_t i = 0; i < count; i++) w->codes[i] = 0xffffffffu >> (32 - forms[f].bits);
            pack(w, owned);
            for (size_t bit = 0; bit < 8 * w->leaf.codes.size; bit++) {
                int own = owned[bit / 8] >> bit % 8 & 1;
                if (own && ternary) continue;
                poke(w->leaf.codes, bit / 8, (uint8_t)(1u << bit % 8));
                cmf_status want = own ? CMF_OK : CMF_E_ENCODING;
                CHECK(validate(&w->leaf, 1) == want, "bit %zu of %s", bit, describe(w));
                CHECK(validate(&w->leaf, 0) == CMF_OK, "bit %zu of %s", bit, describe(w));
                poke(w->leaf.codes, bit / 8, (uint8_t)(1u << bit % 8));
            }
            release_all();
        }
    weight *w = sample(19, 0);
    writable(w->leaf.codes)[0] = 0x02; /* a ternary -2 */
    REFUSED(&w->leaf, 0, CMF_OK);
    REFUSED(&w->leaf, 1, CMF_E_ENCODING);
    do { w = sample(9, 0); } while (w->leaf.granularity == CMF_GRAN_TENSOR || !w->leaf.zeros.data);
    poke(w->leaf.scales, w->leaf.scales.size - 1, 0x01); /* the scale of a lane without an output */
    REFUSED(&w->leaf, 0, CMF_OK);
    REFUSED(&w->leaf, 1, CMF_E_ENCODING);
    poke(w->leaf.scales, w->leaf.scales.size - 1, 0x01);
    poke(w->leaf.zeros, w->leaf.zeros.size - 1, 0x01);
    REFUSED(&w->leaf, 0, CMF_OK);
    REFUSED(&w->leaf, 1, CMF_E_ENCODING);
    release_all();
}

static void test_malformed_trees(void) {
    double *want;
    float *values;
    cmf_tree *svd = svd_tree(1, 10, 27, 9, 5, 1, 1, &want), *tucker = tucker_tree(10, 9, 4, 3, 5, &want), *dct = dct_tree(1, 10, 27, 9, 8, 4, &want);
    cmf_tree *leaf = dense_tree(1, 10, 27, 9, &values), t;
    weight *sparse = sample(0, 1);
    cmf_tree winograd = {.encoding = CMF_ENC_WINOGRAD, .tile = 2, .stack = 1, .outputs = 10, .inputs = 27, .run = 3};
    winograd.child[0] = dense_tree(16, 10, 3, 3, &values);
    REFUSED(svd, 0, CMF_OK);
    REFUSED(tucker, 0, CMF_OK);
    REFUSED(dct, 0, CMF_OK);
    REFUSED(&winograd, 0, CMF_OK);
#define BAD(base, change, status) do { t = *(base); change; REFUSED(&t, 0, status); } while (0)
    BAD(svd, t.child[0] = NULL, CMF_E_ENCODING);
    BAD(svd, t.child[1] = svd, CMF_E_ENCODING);
    BAD(svd, t.child[1] = &winograd, CMF_E_ENCODING);
    BAD(svd, t.child[0] = &t, CMF_E_ENCODING); /* a cycle */
    BAD(svd, t.residual = dct, CMF_E_ENCODING);
    BAD(svd, t.residual = svd->child[1]->child[0], CMF_E_ENCODING);
    BAD(svd, t.residual = NULL, CMF_OK);
    BAD(svd, t.factor_count = 0, CMF_E_ENCODING);
    BAD(svd, t.factor_count = 1, CMF_E_ENCODING);
    BAD(svd, t.factor_count = 4, CMF_E_ENCODING);
    BAD(svd, (t.factor_count = 3, t.child[2] = leaf), CMF_E_ENCODING);
    BAD(svd, t.kind = CMF_FORM_TUCKER2, CMF_E_ENCODING);
    BAD(svd, t.kind = 2, CMF_E_UNSUPPORTED);
    BAD(svd, t.layout = CMF_LAYOUT_LINES, CMF_E_ENCODING);
    BAD(svd, t.outputs = 11, CMF_E_ENCODING);
    BAD(svd, t.run = 27, CMF_E_ENCODING);
    BAD(svd, (t.child[0] = svd->child[1], t.child[1] = svd->child[0]), CMF_E_ENCODING);
    BAD(tucker, t.factor_count = 2, CMF_E_ENCODING);
    BAD(tucker, t.inputs = 32, CMF_E_ENCODING);
    BAD(tucker, t.kind = CMF_FORM_SVD, CMF_E_ENCODING);
    BAD(tucker, t.child[2] = leaf, CMF_E_ENCODING);
    BAD(dct, t.input_block = 64, CMF_E_ENCODING);
    BAD(dct, t.input_block = 3, CMF_E_ENCODING);
    BAD(dct, t.input_block = 0, CMF_E_ENCODING);
    BAD(dct, t.output_block = 32, CMF_E_ENCODING);
    BAD(dct, t.child[0] = dct, CMF_E_ENCODING);
    BAD(dct, t.child[0] = svd, CMF_E_ENCODING);
    BAD(dct, t.child[0] = &sparse->root, CMF_E_ENCODING);
    BAD(dct, t.child[0] = NULL, CMF_E_ENCODING);
    BAD(dct, t.layout = CMF_LAYOUT_ROWS, CMF_E_ENCODING);
    BAD(&winograd, t.tile = 3, CMF_E_ENCODING);
    BAD(&winograd, t.tile = 4, CMF_E_ENCODING);
    BAD(&winograd, t.inputs = 30, CMF_E_ENCODING);
    BAD(&winograd, t.outputs = 9, CMF_E_ENCODING);
    BAD(&winograd, t.child[0] = leaf, CMF_E_ENCODING);
    BAD(&winograd, t.child[0] = dct, CMF_E_ENCODING);
    BAD(&sparse->root, t.child[0] = &sparse->root, CMF_E_ENCODING);
    BAD(&sparse->root, t.child[0] = dct, CMF_E_ENCODING);
    BAD(&sparse->root, t.child[0] = NULL, CMF_E_ENCODING);
    BAD(&sparse->root, t.layout = CMF_LAYOUT_ROWS, CMF_E_ENCODING);
    release_all();
}

int main(void) {
    for (uint8_t id = 0; id < 255; id++) {
        const cmf_encoding *encoding = cmf_encoding_get(id);
        CHECK((encoding != NULL) == (id >= 1 && id <= 8) && (!encoding || encoding->id == id), "id %u", id);
    }
    test_panels();
    test_products();
    test_dct_matrix();
    for (int i = 0; i < 10; i++) {
        winograd_tile(2, cmf_winograd_g2[0], cmf_winograd_bt2[0], cmf_winograd_at2[0]);
        winograd_tile(4, cmf_winograd_g4[0], cmf_winograd_bt4[0], cmf_winograd_at4[0]);
    }
    test_malformed_leaves();
    test_malformed_sparse();
    test_padding();
    test_malformed_trees();
    if (failures) printf("%d of %d checks failed\n", failures, checks);
    else printf("ok: %d checks\n", checks);
    return failures != 0;
}
