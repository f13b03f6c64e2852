/* dense: the codes are the numbers (FORMAT.md 3.1). */
#include "base/half.h"
#include "encodings/panels.h"

static cmf_status dense_validate(const cmf_tree *tree, int full, cmf_error *error) {
    (void)full;
    CMF_REQUIRE(tree->dtype == CMF_F32 || tree->dtype == CMF_F16 || tree->dtype == CMF_BF16, CMF_E_ENCODING,
                "dense weight: codes of type %u; they must be f32, f16 or bf16", tree->dtype);
    CMF_REQUIRE(tree->bits == (tree->dtype == CMF_F32 ? 32u : 16u), CMF_E_ENCODING, "dense weight: codes of %u bits", tree->bits);
    return CMF_OK;
}

static void dense_levels_f32(const cmf_panel_reader *reader, uint32_t n, cmf_block codes, float *target) {
    const uint32_t *code = codes[0];
    uint32_t count = CMF_PANEL * n;
    switch (reader->leaf->dtype) {
        case CMF_F32: memcpy(target, code, sizeof *target * count); break;
        case CMF_F16: for (uint32_t i = 0; i < count; i++) target[i] = cmf_f16_to_f32((uint16_t)code[i]); break;
        default: for (uint32_t i = 0; i < count; i++) target[i] = cmf_bf16_to_f32((uint16_t)code[i]); break;
    }
}

static void dense_next_f32(cmf_panel_reader *reader, uint32_t n, float *target) {
    /* A whole line of f32 is its own decoding. */
    if (reader->leaf->dtype == CMF_F32 && cmf_panel_outputs(reader->leaf, reader->panel) == CMF_PANEL) {
        size_t bytes = (size_t)n * CMF_PANEL * sizeof *target;
        memcpy(target, reader->plane[0], bytes);
        reader->plane[0] += bytes;
        reader->input += n;
    } else {
        cmf_leaf_next_f32(reader, n, target);
    }
}

const cmf_encoding cmf_encoding_dense = {
    .name = "dense", .id = CMF_ENC_DENSE, .validate = dense_validate, .begin = cmf_leaf_begin, .next_f32 = dense_next_f32,
    .levels_f32 = dense_levels_f32,
};
