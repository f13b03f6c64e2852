/* The table of encodings, the grammar of trees, and what is asked of any tree. */
#include "encodings/encoding.h"

#include "encodings/panels.h"

/* Classes of FORMAT.md 2.1. What a class allows below it never holds the class itself or one above it: so no tree is deeper than 4, and
 * none is cyclic. */
enum { CLASS_LEAF = 1, CLASS_SPARSE = 2, CLASS_DCT = 4, CLASS_WINOGRAD = 8, CLASS_LOWRANK = 16 };

#define CMF_ENCODING(id, name, class_, below) extern const cmf_encoding cmf_encoding_##name;
#include "encodings/encodings.def"
#undef CMF_ENCODING

typedef struct encoding_entry {
    const cmf_encoding *encoding;
    uint32_t class_, below;
} encoding_entry;

static const encoding_entry encoding_entries[CMF_ENC_COUNT] = {
#define CMF_ENCODING(id, name, class_, below) [CMF_ENC_##id] = {&cmf_encoding_##name, class_, below},
#include "encodings/encodings.def"
#undef CMF_ENCODING
};

const cmf_encoding *cmf_encoding_get(uint8_t id) { return id < CMF_ENC_COUNT ? encoding_entries[id].encoding : NULL; }

static uint32_t encoding_class(const cmf_tree *tree) { return tree->encoding < CMF_ENC_COUNT ? encoding_entries[tree->encoding].class_ : 0; }

int cmf_tree_is_panel(const cmf_tree *tree) { return (encoding_class(tree) & (CLASS_LEAF | CLASS_SPARSE)) != 0; }

const cmf_tree *cmf_tree_leaf(const cmf_tree *tree) { return tree->encoding == CMF_ENC_SPARSE ? tree->child[0] : tree; }

uint32_t cmf_tree_bits(const cmf_tree *tree) { return cmf_tree_leaf(tree)->bits; }

int cmf_tree_has_i8(const cmf_tree *tree) {
    const cmf_tree *leaf = cmf_tree_leaf(tree);
    if (leaf->scales.data == NULL || leaf->granularity == CMF_GRAN_GROUP) return 0;
    switch (leaf->encoding) {
        case CMF_ENC_QUANTIZED: return leaf->bits <= 8 && leaf->zeros.data == NULL;
        case CMF_ENC_CODEBOOK: return leaf->table_dtype == CMF_I8;
        case CMF_ENC_BITPACKED: return 1;
        default: return 0;
    }
}

float cmf_tree_i8_scale(const cmf_tree *tree, uint32_t stack, uint32_t output) {
    const cmf_tree *leaf = cmf_tree_leaf(tree);
    return cmf_scale_load(leaf, leaf->granularity == CMF_GRAN_TENSOR ? 0 : stack * cmf_tree_padded_outputs(leaf) + output);
}

/* ------------------------------------------------------------------ validation */

static cmf_status encoding_validate_shape(const cmf_tree *tree, const char *name, cmf_error *error) {
    const uint32_t most = 0x7fffffffu;
    CMF_REQUIRE(tree->stack && tree->outputs && tree->inputs && tree->run, CMF_E_ENCODING,
                "%s weight: stack %u, outputs %u, inputs %u, run %u; none may be 0", name, tree->stack, tree->outputs, tree->inputs, tree->run);
    CMF_REQUIRE(tree->stack <= most && tree->outputs <= most && tree->inputs <= most &&
                (uint64_t)tree->stack * tree->outputs <= ((uint64_t)1 << 40) / tree->inputs, CMF_E_LIMIT,
                "%s weight: %u x %u x %u is more than 2^40 elements", name, tree->stack, tree->outputs, tree->inputs);
    CMF_REQUIRE(tree->inputs % tree->run == 0, CMF_E_ENCODING, "%s weight: %u inputs are not a multiple of the run %u", name, tree->inputs, tree->run);
    CMF_REQUIRE(tree->layout <= CMF_LAYOUT_ROWS, CMF_E_UNSUPPORTED, "%s weight: unknown layout %u", name, tree->layout);
    CMF_REQUIRE((tree->layout != CMF_LAYOUT_NONE) == cmf_tree_is_panel(tree), CMF_E_ENCODING, "%s weight: layout %u is not one of its", name, tree->layout);
    CMF_REQUIRE(tree->layout != CMF_LAYOUT_ROWS || tree->run == tree->inputs, CMF_E_ENCODING, "%s weight: layout rows needs a single run", name);
    return CMF_OK;
}

/* A tree whose class is in `allowed`, below a parent of encoding `parent` (NULL: the root). */
static cmf_status encoding_validate(const cmf_tree *tree, uint32_t allowed, const char *parent, int full, cmf_error *error) {
    CMF_REQUIRE(tree != NULL, CMF_E_ENCODING, "%s weight: a tree below it is missing", parent ? parent : "this");
    const cmf_encoding *encoding = cmf_encoding_get(tree->encoding);
    CMF_REQUIRE(encoding != NULL, CMF_E_UNSUPPORTED, "a weight has the unknown encoding %u", tree->encoding);
    CMF_REQUIRE(encoding_class(tree) & allowed, CMF_E_ENCODING, "%s weight: a %s tree may not stand below it", parent ? parent : "this", encoding->name);
    CMF_TRY(encoding_validate_shape(tree, encoding->name, error));
    uint32_t below = encoding_entries[tree->encoding].below;
    uint32_t children = below == 0 ? 0u : tree->encoding == CMF_ENC_LOWRANK ? tree->factor_count : 1u;
    CMF_REQUIRE(children <= CMF_MAX_FACTORS && (tree->encoding != CMF_ENC_LOWRANK || children >= 2), CMF_E_ENCODING,
                "%s weight: %u factors; there must be 2 or 3", encoding->name, children);
    for (uint32_t i = 0; i < children; i++) CMF_TRY(encoding_validate(tree->child[i], below, encoding->name, full, error));
    if (tree->encoding == CMF_ENC_LOWRANK && tree->residual)
        CMF_TRY(encoding_validate(tree->residual, CLASS_LEAF | CLASS_SPARSE, encoding->name, full, error));
    CMF_TRY(encoding->validate(tree, full, error));
    int below_sparse = allowed == CLASS_LEAF;
    return encoding_class(tree) == CLASS_LEAF && !below_sparse ? cmf_codes_validate(tree, full, error) : CMF_OK;
}

cmf_status cmf_tree_validate(const cmf_tree *tree, int full, cmf_error *error) {
    return encoding_validate(tree, CLASS_LEAF | CLASS_SPARSE | CLASS_DCT | CLASS_WINOGRAD | CLASS_LOWRANK, NULL, full, error);
}

/* ------------------------------------------------------------------ reading panels */

void cmf_panel_begin(cmf_panel_reader *reader, const cmf_tree *tree, uint32_t stack, uint32_t panel) {
    memset(reader, 0, sizeof *reader);
    reader->tree = tree;
    reader->leaf = cmf_tree_leaf(tree);
    reader->stack = stack;
    reader->panel = panel;
    reader->lanes = cmf_tree_lanes(tree, panel);
    cmf_encoding_get(tree->encoding)->begin(reader);
}

void cmf_panel_next_f32(cmf_panel_reader *reader, uint32_t n, float *target) {
    cmf_encoding_get(reader->tree->encoding)->next_f32(reader, n, target);
}

void cmf_panel_next_i8(cmf_panel_reader *reader, uint32_t n, int8_t *target) {
    cmf_encoding_get(reader->tree->encoding)->next_i8(reader, n, target);
}

uint64_t cmf_tree_stored_bytes(const cmf_tree *t) { /* its depth is limited */
    uint64_t bytes = (uint64_t)t->codes.size + t->scales.size + t->zeros.size + t->table.size + t->mask.size + t->offsets.size;
    for (uint32_t i = 0; i < CMF_MAX_FACTORS; i++)
        if (t->child[i])
            bytes += cmf_tree_stored_bytes(t->child[i]);
    return t->residual ? bytes + cmf_tree_stored_bytes(t->residual) : bytes;
}
