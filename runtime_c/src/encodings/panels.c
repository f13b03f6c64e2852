#include "encodings/panels.h"

#include "base/half.h"

uint64_t cmf_plane_bytes(const cmf_tree *leaf, uint32_t b, uint32_t lanes) {
    if (leaf->layout == CMF_LAYOUT_ROWS) return (uint64_t)leaf->inputs * cmf_row_bytes(lanes, b);
    return 4u * (uint64_t)lanes * (leaf->inputs / leaf->run) * cmf_run_lines(leaf, b);
}

uint64_t cmf_panel_bytes(const cmf_tree *leaf, uint32_t lanes) {
    uint64_t bytes = cmf_plane_bytes(leaf, cmf_plane_bits(leaf->bits, 0), lanes) +
                     cmf_plane_bytes(leaf, cmf_plane_bits(leaf->bits, 1), lanes);
    return (bytes + 3u) & ~(uint64_t)3u;
}

uint64_t cmf_panel_start(const cmf_tree *leaf, uint32_t stack, uint32_t panel) {
    uint64_t whole = cmf_panel_bytes(leaf, CMF_PANEL);
    uint64_t entry = whole * (cmf_tree_panels(leaf) - 1u) + cmf_panel_bytes(leaf, cmf_tree_last_lanes(leaf));
    return entry * stack + whole * panel;
}

/* ------------------------------------------------------------------ padding (level full) */

static int panels_all_zero(const uint8_t *p, uint64_t n) {
    while (n--) if (*p++) return 0;
    return 1;
}

/* Bits of a word that belong to inputs [count, 32 / b) of it. */
static uint32_t panels_word_tail(uint32_t b, uint32_t count) {
    uint32_t mask = 0;
    for (uint32_t i = count; i < 32u / b; i++) {
        uint32_t shift = b >= 8u ? b * i : 8u * (i % 4u) + b * (i / 4u);
        mask |= (0xffffffffu >> (32u - b)) << shift;
    }
    return mask;
}

static int panels_lines_padded(const cmf_tree *leaf, const uint8_t *plane, uint32_t b, uint32_t lanes, uint32_t outputs) {
    uint64_t run_lines = cmf_run_lines(leaf, b), line_bytes = 4u * lanes;
    uint32_t tail = panels_word_tail(b, leaf->run - (uint32_t)(run_lines - 1u) * (32u / b));
    for (uint32_t run = 0; run < leaf->inputs / leaf->run; run++) {
        const uint8_t *last = plane + (run + 1u) * run_lines * line_bytes - line_bytes;
        for (uint32_t lane = 0; lane < lanes; lane++) if (cmf_load_u32(last + 4u * lane) & tail) return 0;
        for (uint64_t line = 0; outputs < lanes && line < run_lines; line++)
            if (!panels_all_zero(plane + (run * run_lines + line) * line_bytes + 4u * outputs, 4u * (lanes - outputs))) return 0;
    }
    return 1;
}

static int panels_rows_padded(const cmf_tree *leaf, const uint8_t *plane, uint32_t b, uint32_t lanes, uint32_t outputs) {
    uint32_t row_bytes = cmf_row_bytes(lanes, b), bits = outputs * b;
    for (uint32_t input = 0; input < leaf->inputs; input++, plane += row_bytes) {
        if (bits % 8u && plane[bits / 8u] >> (bits % 8u)) return 0;
        for (uint32_t byte = (bits + 7u) / 8u; byte < row_bytes; byte++) if (plane[byte]) return 0;
    }
    return 1;
}

static int panels_padded(const cmf_tree *leaf, uint32_t stack, uint32_t panel) {
    const uint8_t *start = leaf->codes.data + cmf_panel_start(leaf, stack, panel), *plane = start;
    uint32_t lanes = cmf_tree_lanes(leaf, panel), outputs = cmf_panel_outputs(leaf, panel);
    for (uint32_t k = 0; k < 2; k++) {
        uint32_t b = cmf_plane_bits(leaf->bits, k);
        if (b == 0) break;
        if (leaf->layout == CMF_LAYOUT_ROWS ? !panels_rows_padded(leaf, plane, b, lanes, outputs)
                                            : !panels_lines_padded(leaf, plane, b, lanes, outputs)) return 0;
        plane += cmf_plane_bytes(leaf, b, lanes);
    }
    return panels_all_zero(plane, (uint64_t)(start + cmf_panel_bytes(leaf, lanes) - plane));
}

cmf_status cmf_codes_validate(const cmf_tree *leaf, int full, cmf_error *error) {
    const char *name = cmf_encoding_get(leaf->encoding)->name;
    uint64_t size = cmf_panel_start(leaf, leaf->stack, 0);
    CMF_REQUIRE(leaf->codes.data != NULL && leaf->codes.size == size, CMF_E_ENCODING,
                "%s weight: the codes have %llu bytes; the shape asks for %llu", name,
                (unsigned long long)leaf->codes.size, (unsigned long long)size);
    for (uint32_t stack = 0; full && stack < leaf->stack; stack++)
        for (uint32_t panel = 0; panel < cmf_tree_panels(leaf); panel++)
            CMF_REQUIRE(panels_padded(leaf, stack, panel), CMF_E_ENCODING,
                        "%s weight: padding of panel %u of stack entry %u is not zero", name, panel, stack);
    return CMF_OK;
}

/* ------------------------------------------------------------------ scales */

uint64_t cmf_scale_groups(const cmf_tree *t) {
    if (t->granularity != CMF_GRAN_GROUP) return 1;
    return (uint64_t)(t->inputs / t->run) * (((uint64_t)t->run + t->group - 1u) / t->group);
}

uint64_t cmf_scale_count(const cmf_tree *t) {
    if (t->granularity == CMF_GRAN_TENSOR) return 1;
    return t->stack * cmf_tree_padded_outputs(t) * cmf_scale_groups(t);
}

uint64_t cmf_scale_index(const cmf_tree *t, uint32_t stack, uint32_t panel, uint32_t input) {
    if (t->granularity == CMF_GRAN_TENSOR) return 0;
    uint64_t first = stack * cmf_tree_padded_outputs(t) + (uint64_t)CMF_PANEL * panel;
    if (t->granularity == CMF_GRAN_CHANNEL) return first;
    uint64_t run_groups = ((uint64_t)t->run + t->group - 1u) / t->group;
    uint64_t group = input / t->run * run_groups + input % t->run / t->group;
    return cmf_scale_groups(t) * first + group * cmf_tree_lanes(t, panel);
}

float cmf_scale_load(const cmf_tree *t, uint64_t index) {
    return t->scale_dtype == CMF_F16 ? cmf_f16_to_f32(cmf_load_u16(t->scales.data + 2u * index))
                                     : cmf_load_f32(t->scales.data + 4u * index);
}

/* Are scales (and zero points) of lanes that belong to no output zero bits? Only the last panel of a stack entry has such lanes. */
static int panels_scales_padded(const cmf_tree *t) {
    uint32_t panel = cmf_tree_panels(t) - 1u, lanes = cmf_tree_last_lanes(t), outputs = cmf_panel_outputs(t, panel);
    size_t width = t->scale_dtype == CMF_F16 ? 2u : 4u;
    if (t->granularity == CMF_GRAN_TENSOR) return 1;
    for (uint32_t stack = 0; stack < t->stack; stack++) {
        uint64_t index = cmf_scale_index(t, stack, panel, 0);
        for (uint64_t group = 0; group < cmf_scale_groups(t); group++, index += lanes) {
            if (!panels_all_zero(t->scales.data + width * (index + outputs), width * (lanes - outputs))) return 0;
            if (t->zeros.data && !panels_all_zero(t->zeros.data + index + outputs, lanes - outputs)) return 0;
        }
    }
    return 1;
}

cmf_status cmf_scales_validate(const cmf_tree *t, int full, cmf_error *error) {
    const char *name = cmf_encoding_get(t->encoding)->name;
    CMF_REQUIRE(t->granularity <= CMF_GRAN_GROUP, CMF_E_UNSUPPORTED, "%s weight: unknown granularity %u", name, t->granularity);
    CMF_REQUIRE(t->scale_dtype == CMF_F32 || t->scale_dtype == CMF_F16, CMF_E_ENCODING,
                "%s weight: scales of type %u; they must be f32 or f16", name, t->scale_dtype);
    if (t->granularity == CMF_GRAN_GROUP) {
        CMF_REQUIRE(t->layout == CMF_LAYOUT_LINES, CMF_E_ENCODING, "%s weight: group scales need layout lines", name);
        CMF_REQUIRE(t->group >= 32u && t->group % 32u == 0, CMF_E_ENCODING,
                    "%s weight: groups of %u inputs; they must be a multiple of 32", name, t->group);
    } else {
        CMF_REQUIRE(t->group == 0, CMF_E_ENCODING, "%s weight: a group size without granularity group", name);
    }
    uint64_t count = cmf_scale_count(t), size = count * (t->scale_dtype == CMF_F16 ? 2u : 4u);
    CMF_REQUIRE(t->scales.data != NULL && t->scales.size == size, CMF_E_ENCODING,
                "%s weight: the scales have %llu bytes; the shape asks for %llu", name, (unsigned long long)t->scales.size,
                (unsigned long long)size);
    for (uint64_t i = 0; i < count; i++)
        CMF_REQUIRE((cmf_f32_bits(cmf_scale_load(t, i)) & 0x7f800000u) != 0x7f800000u, CMF_E_ENCODING,
                    "%s weight: scale %llu is not finite", name, (unsigned long long)i);
    CMF_REQUIRE(t->zeros.data == NULL || t->zeros.size == count, CMF_E_ENCODING,
                "%s weight: the zero points have %llu bytes; the shape asks for %llu", name, (unsigned long long)t->zeros.size,
                (unsigned long long)count);
    CMF_REQUIRE(!full || panels_scales_padded(t), CMF_E_ENCODING, "%s weight: scales or zero points of absent outputs are not zero", name);
    return CMF_OK;
}

void cmf_panel_scales(const cmf_panel_reader *reader, float scale[CMF_PANEL]) {
    const cmf_tree *t = reader->leaf;
    uint64_t index = cmf_scale_index(t, reader->stack, reader->panel, reader->input);
    if (t->granularity == CMF_GRAN_TENSOR) {
        float same = cmf_scale_load(t, 0);
        for (uint32_t lane = 0; lane < CMF_PANEL; lane++) scale[lane] = lane < reader->lanes ? same : 0.0f;
    } else if (t->scale_dtype == CMF_F32 && reader->lanes == CMF_PANEL) {
        memcpy(scale, t->scales.data + 4u * index, sizeof(float) * CMF_PANEL);
    } else {
        for (uint32_t lane = 0; lane < CMF_PANEL; lane++) scale[lane] = lane < reader->lanes ? cmf_scale_load(t, index + lane) : 0.0f;
    }
}

void cmf_panel_zeros(const cmf_panel_reader *reader, int32_t zero[CMF_PANEL]) {
    const cmf_tree *t = reader->leaf;
    uint64_t index = cmf_scale_index(t, reader->stack, reader->panel, reader->input);
    uint32_t step = t->granularity == CMF_GRAN_TENSOR ? 0u : 1u;
    for (uint32_t lane = 0; lane < CMF_PANEL; lane++)
        zero[lane] = t->zeros.data && lane < reader->lanes ? (int8_t)t->zeros.data[index + step * lane] : 0;
}

/* ------------------------------------------------------------------ reading */

void cmf_leaf_begin(cmf_panel_reader *reader) {
    const cmf_tree *leaf = reader->leaf;
    reader->plane[0] = leaf->codes.data + cmf_panel_start(leaf, reader->stack, reader->panel);
    reader->plane[1] = reader->plane[0] + cmf_plane_bytes(leaf, cmf_plane_bits(leaf->bits, 0), reader->lanes);
}

/* One line in 16 lanes, whatever it has. */
static inline void panels_load_line(const uint8_t *line, uint32_t lanes, uint32_t word[CMF_PANEL]) {
    if (lanes == CMF_PANEL) {
        memcpy(word, line, sizeof(uint32_t) * CMF_PANEL);
    } else {
        memset(word, 0, sizeof(uint32_t) * CMF_PANEL);
        memcpy(word, line, sizeof(uint32_t) * lanes);
    }
}

/* Byte line j of inputs 4j .. 4j+3 is one shift and mask of the line that holds them, for every width up to 8 (FORMAT.md 2.2).
 * The first plane (position 0) begins the block, the second adds to it. */
static void panels_unpack_lines(const uint8_t *plane, uint32_t lanes, uint32_t b, uint32_t n, uint32_t position, cmf_block block) {
    uint32_t field = (0xffu >> (8u - b)) * 0x01010101u, word[CMF_PANEL];
    for (uint32_t j = 0; j < (n + 3u) / 4u; plane += 4u * lanes) {
        panels_load_line(plane, lanes, word);
        for (uint32_t shift = 0; shift < 8u && j < (n + 3u) / 4u; shift += b, j++) {
            if (position == 0)
                for (uint32_t lane = 0; lane < CMF_PANEL; lane++) block[j][lane] = word[lane] >> shift & field;
            else
                for (uint32_t lane = 0; lane < CMF_PANEL; lane++) block[j][lane] |= (word[lane] >> shift & field) << position;
        }
    }
}

static void panels_unpack_wide_lines(const uint8_t *plane, uint32_t lanes, uint32_t b, uint32_t n, cmf_block block) {
    uint32_t field = 0xffffffffu >> (32u - b), word[CMF_PANEL];
    for (uint32_t i = 0; i < n; plane += 4u * lanes) {
        panels_load_line(plane, lanes, word);
        for (uint32_t shift = 0; shift < 32u && i < n; shift += b, i++)
            for (uint32_t lane = 0; lane < CMF_PANEL; lane++) block[i][lane] = word[lane] >> shift & field;
    }
}

static void panels_unpack_rows(const uint8_t *plane, uint32_t lanes, uint32_t b, uint32_t n, uint32_t position, cmf_block block) {
    for (uint32_t i = 0; i < n; i++, plane += cmf_row_bytes(lanes, b))
        for (uint32_t lane = 0; lane < lanes; lane++) {
            if (b == 32) block[i][lane] = cmf_load_u32(plane + 4u * lane);
            else if (b == 16) block[i][lane] = cmf_load_u16(plane + 2u * lane);
            else block[i / 4u][lane] |= ((uint32_t)plane[lane * b / 8u] >> (lane * b % 8u) & (0xffu >> (8u - b))) << (8u * (i % 4u) + position);
        }
}

/* Codes of the next n inputs; moves the planes on. */
static void panels_next_codes(cmf_panel_reader *reader, uint32_t n, cmf_block block) {
    const cmf_tree *leaf = reader->leaf;
    uint32_t lanes = reader->lanes, position = 0;
    if (leaf->layout == CMF_LAYOUT_ROWS) memset(block, 0, sizeof(cmf_block));
    for (uint32_t k = 0; k < 2; k++) {
        uint32_t b = cmf_plane_bits(leaf->bits, k);
        if (b == 0) break;
        if (leaf->layout == CMF_LAYOUT_ROWS) {
            panels_unpack_rows(reader->plane[k], lanes, b, n, position, block);
            reader->plane[k] += (size_t)n * cmf_row_bytes(lanes, b);
        } else {
            if (b > 8) panels_unpack_wide_lines(reader->plane[k], lanes, b, n, block);
            else panels_unpack_lines(reader->plane[k], lanes, b, n, position, block);
            reader->plane[k] += (size_t)((n * b + 31u) / 32u) * 4u * lanes;
        }
        position += b;
    }
}

void cmf_block_trim(cmf_block block, uint32_t n) {
    if (n % 4u == 0) return;
    for (uint32_t lane = 0; lane < CMF_PANEL; lane++) block[n / 4u][lane] &= 0xffffffffu >> (32u - 8u * (n % 4u));
}

void cmf_leaf_next_f32(cmf_panel_reader *reader, uint32_t n, float *target) {
    const cmf_encoding *encoding = cmf_encoding_get(reader->leaf->encoding);
    uint32_t outputs = cmf_panel_outputs(reader->leaf, reader->panel), most = cmf_block_inputs(reader->leaf->bits);
    while (n) {
        cmf_block block;
        uint32_t step = n < most ? n : most;
        panels_next_codes(reader, step, block);
        encoding->levels_f32(reader, step, block, target);
        for (uint32_t i = 0; outputs < CMF_PANEL && i < step; i++) memset(target + CMF_PANEL * i + outputs, 0, 4u * (CMF_PANEL - outputs));
        reader->input += step;
        target += CMF_PANEL * step;
        n -= step;
    }
}

void cmf_leaf_next_i8(cmf_panel_reader *reader, uint32_t n, int8_t *target) {
    const cmf_encoding *encoding = cmf_encoding_get(reader->leaf->encoding);
    uint32_t outputs = cmf_panel_outputs(reader->leaf, reader->panel);
    while (n) {
        cmf_block block;
        uint32_t step = n < 32u ? n : 32u, lines = (step + 3u) / 4u;
        panels_next_codes(reader, step, block);
        encoding->levels_i8(reader, step, block);
        cmf_block_trim(block, step);
        for (uint32_t j = 0; outputs < CMF_PANEL && j < lines; j++) memset(block[j] + outputs, 0, 4u * (CMF_PANEL - outputs));
        memcpy(target, block, lines * sizeof block[0]);
        reader->input += step;
        target += lines * sizeof block[0];
        n -= step;
    }
}
