/* sparse: a mask says which positions are present; their codes are packed in its order (FORMAT.md 3.5). */
#include "base/half.h"
#include "encodings/panels.h"

/* A unit of the mask is a u64 for 4 inputs where codes are unpacked to bytes of lines, else a u16 for one input. */
static int sparse_wide_units(const cmf_tree *leaf) { return leaf->layout == CMF_LAYOUT_LINES && leaf->bits <= 8; }

static uint64_t sparse_panel_units(const cmf_tree *leaf) {
    return sparse_wide_units(leaf) ? (uint64_t)(leaf->inputs / leaf->run) * (((uint64_t)leaf->run + 3u) / 4u) : leaf->inputs;
}

static uint32_t sparse_popcount(uint64_t x) {
    x -= (x >> 1) & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (uint32_t)((x * 0x0101010101010101u) >> 56);
}

/* Index of the lowest set bit of x, which is not 0. */
static uint32_t sparse_lowest(uint64_t x) { return sparse_popcount((x & (0u - x)) - 1u); }

static uint64_t sparse_unit(const cmf_tree *leaf, const uint8_t *mask) { return sparse_wide_units(leaf) ? cmf_load_u64(mask) : cmf_load_u16(mask); }
static uint32_t sparse_unit_bytes(const cmf_tree *leaf) { return sparse_wide_units(leaf) ? 8u : 2u; }

/* The bits of unit `unit` of a run that stand for inputs and outputs which exist. */
static uint64_t sparse_legal(const cmf_tree *leaf, uint32_t panel, uint64_t unit) {
    uint32_t outputs = cmf_panel_outputs(leaf, panel);
    if (!sparse_wide_units(leaf)) return ((uint64_t)1 << outputs) - 1u;
    uint64_t inputs = leaf->run - 4u * unit;
    uint64_t nibble = inputs >= 4 ? 15u : ((uint64_t)1 << inputs) - 1u;
    return (0x1111111111111111u * nibble) >> (64u - 4u * outputs);
}

/* Counts the present positions of a panel in *count; 0 where a bit is set that may not be. */
static int sparse_count(const cmf_tree *tree, const cmf_tree *leaf, uint64_t q, uint64_t *count) {
    uint64_t units = sparse_panel_units(leaf), run_units = sparse_wide_units(leaf) ? ((uint64_t)leaf->run + 3u) / 4u : leaf->run;
    uint32_t panel = (uint32_t)(q % cmf_tree_panels(leaf)), unit_bytes = sparse_unit_bytes(leaf);
    const uint8_t *mask = tree->mask.data + q * units * unit_bytes;
    uint64_t inner = sparse_legal(leaf, panel, 0), last = sparse_legal(leaf, panel, run_units - 1u), illegal = 0;
    *count = 0;
    for (uint64_t first = 0; first < units; first += run_units)
        for (uint64_t unit = 0; unit < run_units; unit++, mask += unit_bytes) {
            uint64_t m = sparse_unit(leaf, mask);
            illegal |= m & ~(unit + 1u == run_units ? last : inner);
            *count += sparse_popcount(m);
        }
    return illegal == 0;
}

static cmf_status sparse_validate(const cmf_tree *tree, int full, cmf_error *error) {
    const cmf_tree *leaf = tree->child[0];
    CMF_REQUIRE(tree->kind == 0, CMF_E_UNSUPPORTED, "sparse weight: unknown pattern %u", tree->kind);
    CMF_REQUIRE(tree->stack == leaf->stack && tree->outputs == leaf->outputs && tree->inputs == leaf->inputs && tree->run == leaf->run &&
                tree->layout == leaf->layout, CMF_E_ENCODING, "sparse weight: its values have another shape, run or layout");
    uint64_t panels = (uint64_t)tree->stack * cmf_tree_panels(tree);
    uint64_t mask_size = panels * sparse_panel_units(leaf) * sparse_unit_bytes(leaf), offsets_size = 4u * (panels + 1u);
    CMF_REQUIRE(tree->mask.data != NULL && tree->mask.size == mask_size, CMF_E_ENCODING, "sparse weight: the mask has %llu bytes; the shape asks for %llu",
                (unsigned long long)tree->mask.size, (unsigned long long)mask_size);
    CMF_REQUIRE(tree->offsets.data != NULL && tree->offsets.size == offsets_size, CMF_E_ENCODING,
                "sparse weight: the offsets have %llu bytes; the shape asks for %llu", (unsigned long long)tree->offsets.size, (unsigned long long)offsets_size);
    CMF_REQUIRE(cmf_load_u32(tree->offsets.data) == 0, CMF_E_ENCODING, "sparse weight: offset 0 is not 0");
    uint64_t size = 4u * (uint64_t)cmf_load_u32(tree->offsets.data + 4u * panels) + 64u;
    CMF_REQUIRE(leaf->codes.data != NULL && leaf->codes.size == size, CMF_E_ENCODING, "sparse weight: the values have %llu bytes; the offsets ask for %llu",
                (unsigned long long)leaf->codes.size, (unsigned long long)size);
    for (uint64_t q = 0; q < panels; q++) {
        uint64_t begin = cmf_load_u32(tree->offsets.data + 4u * q), end = cmf_load_u32(tree->offsets.data + 4u * (q + 1u)), count;
        CMF_REQUIRE(sparse_count(tree, leaf, q, &count), CMF_E_ENCODING,
                    "sparse weight: the mask of panel %llu has bits outside the weight", (unsigned long long)q);
        CMF_REQUIRE(end == begin + (count * leaf->bits + 31u) / 32u, CMF_E_ENCODING,
                    "sparse weight: the offsets of panel %llu do not fit the %llu positions of its mask", (unsigned long long)q, (unsigned long long)count);
        uint32_t used = (uint32_t)(count * leaf->bits % 32u);
        CMF_REQUIRE(!full || used == 0 || cmf_load_u32(leaf->codes.data + 4u * (end - 1u)) >> used == 0, CMF_E_ENCODING,
                    "sparse weight: padding after the values of panel %llu is not zero", (unsigned long long)q);
    }
    for (uint32_t i = 0; full && i < 64u; i++)
        CMF_REQUIRE(leaf->codes.data[size - 64u + i] == 0, CMF_E_ENCODING, "sparse weight: the 64 bytes after the values are not zero");
    return CMF_OK;
}

static void sparse_begin(cmf_panel_reader *reader) {
    const cmf_tree *tree = reader->tree, *leaf = reader->leaf;
    uint64_t q = (uint64_t)reader->stack * cmf_tree_panels(tree) + reader->panel;
    uint32_t begin = cmf_load_u32(tree->offsets.data + 4u * q), end = cmf_load_u32(tree->offsets.data + 4u * (q + 1u));
    reader->mask = tree->mask.data + q * sparse_panel_units(leaf) * sparse_unit_bytes(leaf);
    reader->values = leaf->codes.data + 4u * (size_t)begin;
    reader->value_bits = 32u * (uint64_t)(end - begin);
    reader->bit = 0;
}

/* The next packed code; the 64 bytes behind the values allow to read a whole word of any. */
static uint32_t sparse_next_code(cmf_panel_reader *reader, uint32_t bits) {
    uint64_t word = cmf_load_u64(reader->values + (reader->bit >> 3)) >> (reader->bit & 7u);
    reader->bit += bits;
    return (uint32_t)word & (0xffffffffu >> (32u - bits));
}

/* The codes of the next n inputs, 0 where absent, and all ones in `present` where not. */
static void sparse_next_codes(cmf_panel_reader *reader, uint32_t n, cmf_block codes, cmf_block present) {
    const cmf_tree *leaf = reader->leaf;
    uint32_t bits = leaf->bits, unit_bytes = sparse_unit_bytes(leaf);
    uint32_t units = sparse_wide_units(leaf) ? (n + 3u) / 4u : n;
    memset(codes, 0, sizeof(cmf_block));
    memset(present, 0, sizeof(cmf_block));
    for (uint32_t j = 0; j < units; j++, reader->mask += unit_bytes)
        for (uint64_t m = sparse_unit(leaf, reader->mask); m; m &= m - 1u) {
            uint32_t k = sparse_lowest(m), code = sparse_next_code(reader, bits);
            if (bits > 8) {
                codes[j][k] = code;
                present[j][k] = 0xffffffffu;
            } else {
                uint32_t line = unit_bytes == 8u ? j : j / 4u, lane = unit_bytes == 8u ? k / 4u : k, byte = unit_bytes == 8u ? k % 4u : j % 4u;
                codes[line][lane] |= code << (8u * byte);
                present[line][lane] |= 0xffu << (8u * byte);
            }
        }
}

static void sparse_next_f32(cmf_panel_reader *reader, uint32_t n, float *target) {
    const cmf_encoding *encoding = cmf_encoding_get(reader->leaf->encoding);
    uint32_t bits = reader->leaf->bits, most = cmf_block_inputs(bits);
    while (n) {
        cmf_block codes, present;
        uint32_t step = n < most ? n : most;
        sparse_next_codes(reader, step, codes, present);
        encoding->levels_f32(reader, step, codes, target);
        for (uint32_t i = 0; i < step; i++, target += CMF_PANEL) {
            const uint32_t *word = bits <= 8 ? present[i / 4u] : present[i];
            uint32_t shift = bits <= 8 ? 8u * (i % 4u) : 0u;
            for (uint32_t lane = 0; lane < CMF_PANEL; lane++)
                target[lane] = cmf_f32_from_bits(cmf_f32_bits(target[lane]) & (0u - (word[lane] >> shift & 1u)));
        }
        reader->input += step;
        n -= step;
    }
}

static void sparse_next_i8(cmf_panel_reader *reader, uint32_t n, int8_t *target) {
    const cmf_encoding *encoding = cmf_encoding_get(reader->leaf->encoding);
    while (n) {
        cmf_block codes, present;
        uint32_t step = n < 32u ? n : 32u, lines = (step + 3u) / 4u;
        sparse_next_codes(reader, step, codes, present);
        encoding->levels_i8(reader, step, codes);
        for (uint32_t j = 0; j < lines; j++)
            for (uint32_t lane = 0; lane < CMF_PANEL; lane++) codes[j][lane] &= present[j][lane];
        memcpy(target, codes, lines * sizeof codes[0]);
        reader->input += step;
        target += lines * sizeof codes[0];
        n -= step;
    }
}

const cmf_encoding cmf_encoding_sparse = {
    .name = "sparse", .id = CMF_ENC_SPARSE, .validate = sparse_validate, .begin = sparse_begin, .next_f32 = sparse_next_f32,
    .next_i8 = sparse_next_i8,
};
