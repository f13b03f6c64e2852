/* One row of any tree but winograd. The products of lowrank and the bases of dct are applied to the row alone: work and memory of a
 * row, never those of the weight. */
#include "base/math.h"
#include "encodings/dct.h"
#include "encodings/panels.h"

#define ROW_CHUNK 32u /* inputs decoded at a time */

/* Where the parts of the caller's scratch memory are. */
typedef struct row_scratch {
    float *chunk;  /* [ROW_CHUNK][CMF_PANEL] */
    float *matrix; /* [CMF_DCT_MAX_BLOCK][CMF_DCT_MAX_BLOCK] */
    uint32_t matrix_size;
    float *spectrum; /* a row of coefficients of the widest dct */
    float *vectors;  /* rows of factors */
} row_scratch;

/* Coefficients of the widest dct in a tree: itself or a factor. */
static uint64_t row_spectrum(const cmf_tree *t) {
    uint64_t most = t->encoding == CMF_ENC_DCT ? t->inputs : 0;
    for (uint32_t i = 0; t->encoding == CMF_ENC_LOWRANK && i < t->factor_count; i++)
        if (t->child[i]->encoding == CMF_ENC_DCT && t->child[i]->inputs > most) most = t->child[i]->inputs;
    return most;
}

size_t cmf_tree_row_scratch(const cmf_tree *tree) {
    uint64_t floats = ROW_CHUNK * CMF_PANEL;
    if (!cmf_tree_is_panel(tree)) floats += CMF_DCT_MAX_BLOCK * CMF_DCT_MAX_BLOCK + row_spectrum(tree);
    for (uint32_t i = 1; tree->encoding == CMF_ENC_LOWRANK && i < tree->factor_count; i++) floats += tree->child[i]->inputs;
    return floats > SIZE_MAX / sizeof(float) ? SIZE_MAX : (size_t)floats * sizeof(float);
}

/* Inputs of the next chunk, which ends with its run. */
static uint32_t row_chunk(const cmf_tree *t, uint32_t input) {
    uint32_t left = t->run - input % t->run;
    return left < ROW_CHUNK ? left : ROW_CHUNK;
}

/* target[k] (+)= W[stack][output][k] of a panel tree. */
static void row_panel(const cmf_tree *t, uint32_t stack, uint32_t output, int add, float *target, row_scratch *w) {
    cmf_panel_reader reader;
    cmf_panel_begin(&reader, t, stack, output / CMF_PANEL);
    for (uint32_t input = 0, n; input < t->inputs; input += n) {
        n = row_chunk(t, input);
        cmf_panel_next_f32(&reader, n, w->chunk);
        for (uint32_t i = 0; i < n; i++) {
            float value = w->chunk[CMF_PANEL * i + output % CMF_PANEL];
            target[input + i] = add ? target[input + i] + value : value;
        }
    }
}

/* target[k] += sum over the lanes of coefficients[lane] * W[stack][16 panel + lane][k] of a panel tree. */
static void row_combine_panel(const cmf_tree *t, uint32_t stack, uint32_t panel, const float *coefficients, float *target, row_scratch *w) {
    cmf_panel_reader reader;
    uint32_t outputs = cmf_panel_outputs(t, panel);
    cmf_panel_begin(&reader, t, stack, panel);
    for (uint32_t input = 0, n; input < t->inputs; input += n) {
        n = row_chunk(t, input);
        cmf_panel_next_f32(&reader, n, w->chunk);
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t lane = 0; lane < outputs; lane++) target[input + i] += coefficients[lane] * w->chunk[CMF_PANEL * i + lane];
    }
}

static const float *row_matrix(row_scratch *w, uint32_t n) {
    if (w->matrix_size != n) cmf_dct_matrix(n, w->matrix);
    w->matrix_size = n;
    return w->matrix;
}

/* target = D x, or D^T x, over successive blocks of n values. */
static void row_transform(const float *x, uint32_t n, uint32_t block, int transposed, float *target, row_scratch *w) {
    for (uint32_t first = 0, size; first < n; first += size) {
        size = n - first < block ? n - first : block;
        const float *d = row_matrix(w, size);
        for (uint32_t i = 0; i < size; i++) {
            float sum = 0.0f;
            for (uint32_t j = 0; j < size; j++) sum += (transposed ? d[j * size + i] : d[i * size + j]) * x[first + j];
            target[first + i] = sum;
        }
    }
}

/* The same as row_combine_panel for panels [panel, end) of a factor: panel tree or dct. W = Dout^T C Din, so a row a W is ((Dout a) C) Din;
 * blocks of outputs do not cross panels. */
static void row_combine(const cmf_tree *t, uint32_t stack, uint32_t panel, uint32_t end, const float *coefficients, float *target, row_scratch *w) {
    const cmf_tree *c = t->encoding == CMF_ENC_DCT ? t->child[0] : t;
    float *sum = t == c ? target : w->spectrum;
    if (t != c) memset(sum, 0, sizeof *sum * t->inputs);
    for (; panel < end; panel++, coefficients += CMF_PANEL) {
        float turned[CMF_PANEL];
        if (t != c) row_transform(coefficients, cmf_panel_outputs(t, panel), t->output_block, 0, turned, w);
        row_combine_panel(c, stack, panel, t == c ? coefficients : turned, sum, w);
    }
    for (uint32_t run = 0; t != c && run < t->inputs / t->run; run++) {
        float block[CMF_DCT_MAX_BLOCK];
        for (uint32_t first = 0, n; first < t->run; first += n) {
            n = t->run - first < t->input_block ? t->run - first : t->input_block;
            row_transform(sum + (size_t)run * t->run + first, n, n, 1, block, w);
            for (uint32_t i = 0; i < n; i++) target[(size_t)run * t->run + first + i] += block[i];
        }
    }
}

/* A row of a panel tree or dct. */
static void row_factor(const cmf_tree *t, uint32_t stack, uint32_t output, float *target, row_scratch *w) {
    if (cmf_tree_is_panel(t)) {
        row_panel(t, stack, output, 0, target, w);
    } else {
        float unit[CMF_PANEL] = {0};
        unit[output % CMF_PANEL] = 1.0f;
        memset(target, 0, sizeof *target * t->inputs);
        row_combine(t, stack, output / CMF_PANEL, output / CMF_PANEL + 1u, unit, target, w);
    }
}

/* A row of W = A B is (row of A) B. Of a tucker2: the row of factor 2 times the core gives for each tap the row to multiply factor 0 with. */
static void row_lowrank(const cmf_tree *t, uint32_t stack, uint32_t output, float *target, row_scratch *w) {
    const cmf_tree *first = t->child[0], *last = t->child[t->factor_count - 1u];
    float *row = w->vectors;
    row_factor(last, stack, output, row, w);
    if (t->factor_count == 3) {
        const cmf_tree *core = t->child[1];
        float *inner = row + last->inputs;
        memset(inner, 0, sizeof *inner * core->inputs);
        row_combine(core, stack, 0, cmf_tree_panels(core), row, inner, w);
        row = inner;
    }
    memset(target, 0, sizeof *target * t->inputs);
    for (uint32_t k = 0; k < t->inputs; k += first->inputs, row += first->outputs)
        row_combine(first, stack, 0, cmf_tree_panels(first), row, target + k, w);
    if (t->residual) row_panel(t->residual, stack, output, 1, target, w);
}

void cmf_tree_decode_row(const cmf_tree *tree, uint32_t stack, uint32_t output, float *target, void *scratch) {
    row_scratch w = {.chunk = scratch};
    if (cmf_tree_is_panel(tree)) {
        row_panel(tree, stack, output, 0, target, &w);
        return;
    }
    w.matrix = w.chunk + ROW_CHUNK * CMF_PANEL;
    w.spectrum = w.matrix + CMF_DCT_MAX_BLOCK * CMF_DCT_MAX_BLOCK;
    w.vectors = w.spectrum + row_spectrum(tree);
    if (tree->encoding == CMF_ENC_LOWRANK) row_lowrank(tree, stack, output, target, &w);
    else row_factor(tree, stack, output, target, &w);
}
