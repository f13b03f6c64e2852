/* codebook: value = scale * table[code] (FORMAT.md 3.3). */
#include "base/half.h"
#include "encodings/panels.h"

static uint32_t codebook_entry_bytes(const cmf_tree *tree) {
    return tree->table_dtype == CMF_F32 ? 4u : tree->table_dtype == CMF_F16 ? 2u : 1u;
}

static cmf_status codebook_validate(const cmf_tree *tree, int full, cmf_error *error) {
    uint32_t bits = tree->bits;
    CMF_REQUIRE((bits >= 1 && bits <= 6) || bits == 8, CMF_E_ENCODING,
                "codebook weight: codes of %u bits; they must have 1 2 3 4 5 6 or 8", bits);
    CMF_REQUIRE(tree->vector == 1, CMF_E_UNSUPPORTED, "codebook weight: codes for vectors of %u inputs", tree->vector);
    CMF_REQUIRE(tree->table_dtype == CMF_F32 || tree->table_dtype == CMF_F16 || tree->table_dtype == CMF_I8, CMF_E_ENCODING,
                "codebook weight: a table of type %u; it must be f32, f16 or i8", tree->table_dtype);
    uint64_t panels = (uint64_t)tree->stack * cmf_tree_panels(tree);
    CMF_REQUIRE(tree->tables == 1 || tree->tables == panels, CMF_E_ENCODING,
                "codebook weight: %u tables; there must be 1, or %llu for the panels", tree->tables, (unsigned long long)panels);
    uint64_t size = ((uint64_t)tree->tables << bits) * codebook_entry_bytes(tree);
    CMF_REQUIRE(tree->table.data != NULL && tree->table.size == size, CMF_E_ENCODING,
                "codebook weight: the tables have %llu bytes; they must have %llu", (unsigned long long)tree->table.size,
                (unsigned long long)size);
    return tree->scales.data ? cmf_scales_validate(tree, full, error) : CMF_OK;
}

static const uint8_t *codebook_table(const cmf_panel_reader *reader) {
    const cmf_tree *tree = reader->leaf;
    size_t index = tree->tables == 1 ? 0 : (size_t)reader->stack * cmf_tree_panels(tree) + reader->panel;
    return tree->table.data + (index << tree->bits) * codebook_entry_bytes(tree);
}

static void codebook_levels_f32(const cmf_panel_reader *reader, uint32_t n, cmf_block codes, float *target) {
    const cmf_tree *tree = reader->leaf;
    const uint8_t *source = codebook_table(reader);
    uint32_t entries = 1u << tree->bits;
    float table[256], scale[CMF_PANEL];
    switch (tree->table_dtype) {
        case CMF_F32: memcpy(table, source, entries * sizeof table[0]); break;
        case CMF_F16: for (uint32_t i = 0; i < entries; i++) table[i] = cmf_f16_to_f32(cmf_load_u16(source + 2u * i)); break;
        default: for (uint32_t i = 0; i < entries; i++) table[i] = (float)(int8_t)source[i]; break;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t *word = codes[i / 4u];
        uint32_t shift = 8u * (i % 4u);
        for (uint32_t lane = 0; lane < CMF_PANEL; lane++) target[CMF_PANEL * i + lane] = table[word[lane] >> shift & 0xffu];
    }
    if (!tree->scales.data) return;
    cmf_panel_scales(reader, scale);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t lane = 0; lane < CMF_PANEL; lane++) target[CMF_PANEL * i + lane] = scale[lane] * target[CMF_PANEL * i + lane];
}

static void codebook_levels_i8(const cmf_panel_reader *reader, uint32_t n, cmf_block codes) {
    const uint8_t *table = codebook_table(reader);
    uint8_t *code = (uint8_t *)codes[0];
    for (uint32_t i = 0; i < (n + 3u) / 4u * 4u * CMF_PANEL; i++) code[i] = table[code[i]];
}

const cmf_encoding cmf_encoding_codebook = {
    .name = "codebook", .id = CMF_ENC_CODEBOOK, .validate = codebook_validate, .begin = cmf_leaf_begin,
    .next_f32 = cmf_leaf_next_f32, .next_i8 = cmf_leaf_next_i8, .levels_f32 = codebook_levels_f32, .levels_i8 = codebook_levels_i8,
};
