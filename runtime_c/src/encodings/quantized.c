/* quantized: value = scale * (code - zero), codes in two's complement (FORMAT.md 3.2). */
#include "encodings/panels.h"

static cmf_status quantized_validate(const cmf_tree *tree, int full, cmf_error *error) {
    uint32_t bits = tree->bits;
    CMF_REQUIRE((bits >= 1 && bits <= 6) || bits == 8 || bits == 16, CMF_E_ENCODING,
                "quantized weight: codes of %u bits; they must have 1 2 3 4 5 6 8 or 16", bits);
    CMF_REQUIRE(bits <= 8 || tree->zeros.data == NULL, CMF_E_ENCODING, "quantized weight: zero points with codes of 16 bits");
    return cmf_scales_validate(tree, full, error);
}

static void quantized_levels_f32(const cmf_panel_reader *reader, uint32_t n, cmf_block codes, float *target) {
    uint32_t bits = reader->leaf->bits;
    float scale[CMF_PANEL];
    int32_t zero[CMF_PANEL];
    cmf_panel_scales(reader, scale);
    cmf_panel_zeros(reader, zero);
    for (uint32_t i = 0; i < n; i++, target += CMF_PANEL) {
        const uint32_t *word = bits <= 8 ? codes[i / 4u] : codes[i];
        uint32_t left = bits <= 8 ? 32u - bits - 8u * (i % 4u) : 16u; /* the code's sign bit to bit 31 */
        for (uint32_t lane = 0; lane < CMF_PANEL; lane++) {
            int32_t code = (int32_t)(word[lane] << left) >> (32u - bits);
            target[lane] = scale[lane] * (float)(code - zero[lane]);
        }
    }
}

static void quantized_levels_i8(const cmf_panel_reader *reader, uint32_t n, cmf_block codes) {
    uint32_t bits = reader->leaf->bits;
    for (uint32_t j = 0; j < (n + 3u) / 4u; j++)
        for (uint32_t lane = 0; lane < CMF_PANEL; lane++) codes[j][lane] = cmf_sign_extend_bytes(codes[j][lane], bits);
}

const cmf_encoding cmf_encoding_quantized = {
    .name = "quantized", .id = CMF_ENC_QUANTIZED, .validate = quantized_validate, .begin = cmf_leaf_begin,
    .next_f32 = cmf_leaf_next_f32, .next_i8 = cmf_leaf_next_i8, .levels_f32 = quantized_levels_f32, .levels_i8 = quantized_levels_i8,
};
