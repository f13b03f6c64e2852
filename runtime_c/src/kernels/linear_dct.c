/* The basis matrices of dct weights (FORMAT.md 3.7), arranged as panels so that a change of basis is a small gemm_f32. */
#include <string.h>

#include "encodings/dct.h"
#include "kernels/linear.h"

/* y = D x over the blocks of a chunk of n values, or y = D^T x: panels of lines, line j holding what x[j] adds to 16 outputs. */
static void dct_panels(float *panels, uint32_t n, uint32_t block, int transposed) {
    float d[CMF_DCT_MAX_BLOCK * CMF_DCT_MAX_BLOCK];
    memset(panels, 0, (size_t)(n + CMF_PANEL - 1u) / CMF_PANEL * n * CMF_PANEL * sizeof *panels);
    for (uint32_t first = 0, size; first < n; first += size) {
        size = n - first < block ? n - first : block;
        cmf_dct_matrix(size, d);
        for (uint32_t from = 0; from < size; from++) {
            for (uint32_t to = 0; to < size; to++) {
                uint32_t line = first + from, output = first + to;
                panels[((size_t)(output / CMF_PANEL) * n + line) * CMF_PANEL + output % CMF_PANEL] =
                    transposed ? d[from * size + to] : d[to * size + from];
            }
        }
    }
}

static size_t dct_panels_count(uint32_t n) {
    return (size_t)(n + CMF_PANEL - 1u) / CMF_PANEL * n * CMF_PANEL;
}

/* Sizes without matrices. */
static cmf_dct_basis dct_shape(const cmf_tree *t) {
    cmf_dct_basis basis = {0};
    if (t->input_block > 1) {
        basis.in_chunk = t->input_block > CMF_PANEL ? t->input_block : CMF_PANEL;
        basis.in_tail = t->run % basis.in_chunk;
    }
    if (t->output_block > 1)
        basis.out_tail = t->outputs % CMF_PANEL;
    return basis;
}

/* Places the matrices of one dct at *at and moves it on. */
static cmf_dct_basis dct_place(const cmf_tree *t, const float **at) {
    cmf_dct_basis basis = dct_shape(t);
    if (basis.in_chunk) {
        basis.in = *at;
        *at += dct_panels_count(basis.in_chunk);
        basis.in_last = *at;
        *at += dct_panels_count(basis.in_tail);
    }
    if (t->output_block > 1) {
        basis.out = *at;
        *at += dct_panels_count(CMF_PANEL);
        basis.out_last = *at;
        *at += dct_panels_count(basis.out_tail);
    }
    return basis;
}

static const cmf_tree *dct_node(const cmf_tree *root, uint32_t index) {
    const cmf_tree *t = root->encoding == CMF_ENC_LOWRANK ? root->child[index] : root;
    return t->encoding == CMF_ENC_DCT ? t : NULL;
}

static uint32_t dct_nodes(const cmf_tree *root) {
    return root->encoding == CMF_ENC_LOWRANK ? root->factor_count : 1u;
}

static size_t dct_count(const cmf_tree *t) {
    cmf_dct_basis b = dct_shape(t);
    return (b.in_chunk ? dct_panels_count(b.in_chunk) + dct_panels_count(b.in_tail) : 0u) +
           (t->output_block > 1 ? dct_panels_count(CMF_PANEL) + dct_panels_count(b.out_tail) : 0u);
}

size_t cmf_linear_basis_count(const cmf_tree *root) {
    size_t count = 0;
    for (uint32_t k = 0; k < dct_nodes(root); k++)
        if (dct_node(root, k))
            count += dct_count(dct_node(root, k));
    return count;
}

void cmf_linear_basis_fill(const cmf_tree *root, float *basis) {
    for (uint32_t k = 0; k < dct_nodes(root); k++) {
        const cmf_tree *t = dct_node(root, k);
        if (!t)
            continue;
        cmf_dct_basis shape = dct_shape(t);
        if (shape.in_chunk) {
            dct_panels(basis, shape.in_chunk, t->input_block, 0);
            basis += dct_panels_count(shape.in_chunk);
            dct_panels(basis, shape.in_tail, t->input_block, 0);
            basis += dct_panels_count(shape.in_tail);
        }
        if (t->output_block > 1) {
            dct_panels(basis, CMF_PANEL, t->output_block, 1);
            basis += dct_panels_count(CMF_PANEL);
            dct_panels(basis, shape.out_tail, t->output_block, 1);
            basis += dct_panels_count(shape.out_tail);
        }
    }
}

cmf_dct_basis cmf_dct_basis_of(const cmf_tree *root, const cmf_tree *node, const float *basis) {
    cmf_dct_basis found = {0};
    for (uint32_t k = 0; k < dct_nodes(root); k++) {
        if (!dct_node(root, k))
            continue;
        found = dct_place(dct_node(root, k), &basis);
        if (dct_node(root, k) == node)
            break;
    }
    return found;
}
