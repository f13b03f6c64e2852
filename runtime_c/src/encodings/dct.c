/* dct: W = Dout^T C Din with blockwise orthonormal DCT-II (FORMAT.md 3.7). */
#include "encodings/dct.h"

#include "base/math.h"
#include "encodings/encoding.h"

/* sqrt(x), by Newton's method. */
static double dct_sqrt(double x) {
    double y = x > 1.0 ? x : 1.0;
    for (int i = 0; i < 40; i++) y = 0.5 * (y + x / y);
    return y;
}

void cmf_dct_matrix(uint32_t n, float *d) {
    double constant = dct_sqrt(1.0 / n), other = dct_sqrt(2.0 / n);
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t j = 0; j < n; j++)
            d[k * n + j] = (float)((k ? other : constant) * cmf_cospi((double)((2u * j + 1u) * k % (4u * n)) / (2.0 * n)));
}

static int dct_is_block(uint32_t n, uint32_t most) { return n >= 1 && n <= most && (n & (n - 1u)) == 0; }

static cmf_status dct_validate(const cmf_tree *tree, int full, cmf_error *error) {
    const cmf_tree *child = tree->child[0];
    (void)full;
    CMF_REQUIRE(dct_is_block(tree->input_block, CMF_DCT_MAX_BLOCK), CMF_E_ENCODING,
                "dct weight: blocks of %u inputs; they must have 1 2 4 8 16 or 32", tree->input_block);
    CMF_REQUIRE(dct_is_block(tree->output_block, CMF_PANEL), CMF_E_ENCODING,
                "dct weight: blocks of %u outputs; they must have 1 2 4 8 or 16", tree->output_block);
    CMF_REQUIRE(tree->stack == child->stack && tree->outputs == child->outputs && tree->inputs == child->inputs && tree->run == child->run,
                CMF_E_ENCODING, "dct weight: its coefficients have another shape or run");
    return CMF_OK;
}

const cmf_encoding cmf_encoding_dct = {.name = "dct", .id = CMF_ENC_DCT, .validate = dct_validate};
