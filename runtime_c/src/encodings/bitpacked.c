/* bitpacked: binary codes mean -scale and +scale, ternary ones -scale, 0 and +scale (FORMAT.md 3.4). */
#include "encodings/panels.h"

static cmf_status bitpacked_validate(const cmf_tree *tree, int full, cmf_error *error) {
    CMF_REQUIRE(tree->kind <= CMF_LEVELS_TERNARY, CMF_E_UNSUPPORTED, "bitpacked weight: unknown levels %u", tree->kind);
    CMF_REQUIRE(tree->bits == (tree->kind == CMF_LEVELS_BINARY ? 1u : 2u), CMF_E_ENCODING, "bitpacked weight: codes of %u bits", tree->bits);
    CMF_REQUIRE(tree->granularity != CMF_GRAN_GROUP, CMF_E_ENCODING, "bitpacked weight: group scales are not allowed");
    /* Ternary codes are pairs of bits wherever they lie, so all layouts and the packed values of sparse are checked alike. */
    for (size_t i = 0; full && tree->kind == CMF_LEVELS_TERNARY && tree->codes.data && i < tree->codes.size; i++) {
        uint32_t byte = tree->codes.data[i];
        CMF_REQUIRE((byte & ~(byte << 1) & 0xaau) == 0, CMF_E_ENCODING, "bitpacked weight: ternary code -2 in byte %zu of the codes", i);
    }
    return cmf_scales_validate(tree, full, error);
}

static void bitpacked_levels_i8(const cmf_panel_reader *reader, uint32_t n, cmf_block codes) {
    int binary = reader->leaf->kind == CMF_LEVELS_BINARY;
    for (uint32_t j = 0; j < (n + 3u) / 4u; j++)
        for (uint32_t lane = 0; lane < CMF_PANEL; lane++)
            codes[j][lane] = binary ? (~codes[j][lane] & 0x01010101u) * 0xffu | 0x01010101u : cmf_sign_extend_bytes(codes[j][lane], 2);
}

static void bitpacked_levels_f32(const cmf_panel_reader *reader, uint32_t n, cmf_block codes, float *target) {
    float scale[CMF_PANEL];
    cmf_panel_scales(reader, scale);
    bitpacked_levels_i8(reader, n, codes);
    for (uint32_t i = 0; i < n; i++, target += CMF_PANEL) {
        const uint32_t *word = codes[i / 4u];
        uint32_t left = 24u - 8u * (i % 4u);
        for (uint32_t lane = 0; lane < CMF_PANEL; lane++) target[lane] = scale[lane] * (float)((int32_t)(word[lane] << left) >> 24);
    }
}

const cmf_encoding cmf_encoding_bitpacked = {
    .name = "bitpacked", .id = CMF_ENC_BITPACKED, .validate = bitpacked_validate, .begin = cmf_leaf_begin,
    .next_f32 = cmf_leaf_next_f32, .next_i8 = cmf_leaf_next_i8, .levels_f32 = bitpacked_levels_f32, .levels_i8 = bitpacked_levels_i8,
};
