#include "kernels/linear.h"

#include <string.h>

#include "base/arena.h"

/* ------------------------------------------------------------------ transient memory: FORMAT.md section 4 */

static uint32_t linear_clamp(uint32_t x, uint32_t low, uint32_t high) {
    return x < low ? low : x > high ? high : x;
}

uint32_t cmf_linear_rows(uint32_t n) {
    return linear_clamp(CMF_LINEAR_BUDGET / n, CMF_LINEAR_LEAST, CMF_LINEAR_ROWS);
}

uint32_t cmf_linear_area(uint32_t n, uint32_t taps) {
    uint32_t area = linear_clamp(CMF_LINEAR_BUDGET / n, CMF_LINEAR_LEAST_AREA, 4u * CMF_LINEAR_LEAST_AREA);
    return taps > area ? taps : area;
}

uint32_t cmf_winograd_block(const cmf_tree *tree) {
    return linear_clamp(CMF_LINEAR_BUDGET / 8u / tree->child[0]->inputs, CMF_LINEAR_LEAST, 64u);
}

/* Bytes of `rows` rows of n floats, as cmf_bump_take rounds them. */
static uint64_t linear_floats(uint64_t n, uint64_t rows) {
    return (4u * n * rows + 63u) & ~(uint64_t)63u;
}

static uint64_t linear_panel_bytes(const cmf_tree *tree) {
    return linear_floats(CMF_PANEL, tree->inputs < CMF_LINEAR_WINDOW ? tree->inputs : CMF_LINEAR_WINDOW);
}

static uint64_t linear_basis_bytes(const cmf_tree *tree) {
    if (tree->encoding != CMF_ENC_DCT)
        return linear_panel_bytes(tree);
    uint64_t changed = linear_floats(tree->inputs, cmf_linear_rows(tree->inputs));
    if (tree->run < tree->inputs) {
        uint64_t pixels = linear_floats(tree->run, cmf_linear_area(tree->run, tree->inputs / tree->run));
        changed = pixels > changed ? pixels : changed;
    }
    return changed + linear_panel_bytes(tree->child[0]);
}

uint64_t cmf_tree_transient_bytes(const cmf_tree *tree) {
    if (tree->encoding == CMF_ENC_WINOGRAD) {
        const cmf_tree *filters = tree->child[0];
        uint64_t block = cmf_winograd_block(tree), positions = filters->stack;
        return linear_floats(positions * filters->inputs, block) + linear_floats(positions * CMF_PANEL, block) +
               linear_panel_bytes(filters);
    }
    if (tree->encoding != CMF_ENC_LOWRANK)
        return linear_basis_bytes(tree);
    uint64_t below = 0;
    for (uint32_t k = 0; k < tree->factor_count; k++) {
        uint64_t bytes = linear_basis_bytes(tree->child[k]);
        below = bytes > below ? bytes : below;
    }
    if (tree->residual) {
        uint64_t bytes = linear_panel_bytes(tree->residual);
        below = bytes > below ? bytes : below;
    }
    if (tree->kind == CMF_FORM_TUCKER2) {
        uint32_t in = tree->child[0]->outputs, out = tree->child[1]->outputs;
        return linear_floats(in, cmf_linear_area(in, tree->child[1]->inputs / in)) + linear_floats(out, cmf_linear_rows(out)) + below;
    }
    uint32_t rank = tree->child[0]->outputs;
    return linear_floats(rank, cmf_linear_rows(rank)) + below;
}

/* ------------------------------------------------------------------ tiles */

static uint32_t linear_taps(const cmf_linear *l) {
    return (uint32_t)l->kh * (uint32_t)l->kw;
}

int cmf_linear_needs_box(const cmf_linear *l, const cmf_tree *tree) {
    if (linear_taps(l) == 1u)
        return 0;
    if (tree->encoding == CMF_ENC_LOWRANK)
        return tree->kind == CMF_FORM_TUCKER2 || cmf_linear_needs_box(l, tree->child[0]);
    return tree->encoding == CMF_ENC_DCT && tree->run < tree->inputs;
}

/* Are a tile's patches copied, because a run goes over several taps? */
static int linear_needs_patches(const cmf_linear *l) {
    if (l->depthwise || linear_taps(l) == 1u)
        return 0;
    return l->tree->run != l->channels;
}

cmf_tile cmf_linear_box(const cmf_linear *l, const cmf_source *source, const cmf_tile *tile) {
    cmf_tile box = {
        tile->y0 * l->sh - l->top, (tile->y1 - 1) * l->sh - l->top + (l->kh - 1) * l->dh + 1,
        tile->x0 * l->sw - l->left, (tile->x1 - 1) * l->sw - l->left + (l->kw - 1) * l->dw + 1,
    };
    if (box.y0 < source->y0) box.y0 = source->y0;
    if (box.x0 < source->x0) box.x0 = source->x0;
    if (box.y1 > source->y1) box.y1 = source->y1;
    if (box.x1 > source->x1) box.x1 = source->x1;
    if (box.y1 < box.y0) box.y1 = box.y0;
    if (box.x1 < box.x0) box.x1 = box.x0;
    return box;
}

/* Most input pixels under a tile of h x w outputs. */
static uint64_t linear_pixels(const cmf_linear *l, int32_t h, int32_t w) {
    int64_t rows = (int64_t)(h - 1) * l->sh + (int64_t)(l->kh - 1) * l->dh + 1;
    int64_t columns = (int64_t)(w - 1) * l->sw + (int64_t)(l->kw - 1) * l->dw + 1;
    return (uint64_t)(rows < l->h ? rows : l->h) * (uint64_t)(columns < l->w ? columns : l->w);
}

static uint32_t linear_box_limit(const cmf_linear *l, const cmf_tree *tree) {
    uint32_t limit = UINT32_MAX;
    if (tree->encoding == CMF_ENC_LOWRANK) {
        if (tree->kind == CMF_FORM_TUCKER2)
            limit = cmf_linear_area(tree->child[0]->outputs, linear_taps(l));
        uint32_t first = linear_box_limit(l, tree->child[tree->kind == CMF_FORM_TUCKER2 ? 1 : 0]);
        return first < limit ? first : limit;
    }
    if (tree->encoding == CMF_ENC_DCT && tree->run < tree->inputs)
        limit = cmf_linear_area(tree->run, linear_taps(l));
    return limit;
}

static int32_t linear_even_parts(int32_t whole, int32_t part) {
    int32_t parts = (whole + part - 1) / part;
    return (whole + parts - 1) / parts;
}

/* Rows of a tile: enough to pay for decoding, few enough to stay in the caches and under the limits of the middles. */
static uint32_t linear_tile_rows(const cmf_linear *l) {
    uint32_t taps = linear_taps(l);
    uint32_t rows = linear_clamp(131072u / l->channels, 64u, 512u); /* about 512 KB of input */
    uint32_t pointers = linear_clamp(8192u / taps, 16u, CMF_LINEAR_ROWS);
    rows = rows < pointers ? rows : pointers;
    if (linear_needs_patches(l)) {
        uint32_t patches = linear_clamp(65536u / l->tree->inputs, 16u, 512u);
        rows = rows < patches ? rows : patches;
    }
    if (l->spread)
        rows = rows < 64u ? rows : 64u;
    if (l->tree->encoding == CMF_ENC_LOWRANK) {
        uint32_t middle = cmf_linear_rows(l->tree->child[l->tree->kind == CMF_FORM_TUCKER2 ? 1 : 0]->outputs);
        rows = rows < middle ? rows : middle;
    }
    return rows;
}

static void linear_plan_tiles(cmf_linear *l) {
    if (l->tree->encoding == CMF_ENC_WINOGRAD) { /* one row of tiles after the other, so that a block's tiles are neighbours */
        int32_t t = l->tree->tile, block = (int32_t)cmf_winograd_block(l->tree);
        int32_t across = (l->wo + t - 1) / t, down = (l->ho + t - 1) / t;
        int32_t wide = linear_even_parts(across, across < block ? across : block);
        int32_t high = block / wide < down ? block / wide : down;
        l->tile_w = wide * t;
        l->tile_h = linear_even_parts(down, high) * t;
    } else {
        int32_t rows = (int32_t)linear_tile_rows(l);
        l->tile_w = linear_even_parts(l->wo, l->wo < rows ? l->wo : rows);
        int32_t high = rows / l->tile_w;
        l->tile_h = linear_even_parts(l->ho, high < l->ho ? high : l->ho);
        if (cmf_linear_needs_box(l, l->tree)) {
            uint64_t limit = linear_box_limit(l, l->tree);
            while (linear_pixels(l, l->tile_h, l->tile_w) > limit && (l->tile_h > 1 || l->tile_w > 1)) {
                if (l->tile_h > 1)
                    l->tile_h = l->tile_h / 2;
                else
                    l->tile_w = (l->tile_w + 1) / 2;
            }
        }
    }
    l->tiles_y = (l->ho + l->tile_h - 1) / l->tile_h;
    l->tiles_x = (l->wo + l->tile_w - 1) / l->tile_w;
}

/* Sizes are counted in 64 bits; what no memory holds is refused by whoever adds them up. */
static uint64_t linear_round64(uint64_t bytes) {
    return (bytes + 63u) & ~(uint64_t)63u;
}

static size_t linear_size(uint64_t bytes) {
    bytes = linear_round64(bytes);
    return bytes > CMF_SIZE_LIMIT ? CMF_SIZE_LIMIT : (size_t)bytes;
}

void cmf_linear_plan(cmf_linear *l, uint32_t threads) {
    if (l->items == 0 || l->ho == 0 || l->wo == 0) {
        l->tile_h = l->tile_w = l->tiles_y = l->tiles_x = 0;
        l->groups = 1;
        l->shared_bytes = l->thread_bytes = l->weight_bytes = 0;
        return;
    }
    linear_plan_tiles(l);
    uint64_t tasks = (uint64_t)l->items * (uint64_t)l->tiles_y * (uint64_t)l->tiles_x;
    l->groups = 1;
    if (threads > 1u && tasks < 4u * threads && cmf_tree_is_panel(l->tree)) {
        uint32_t panels = cmf_tree_panels(l->tree), parts = (uint32_t)((4u * threads + tasks - 1u) / tasks);
        uint32_t most = (panels + 3u) / 4u; /* groups of at least 4 panels: a vector of rows uses that many at a time */
        l->groups = parts < most ? parts : most;
    }
    uint64_t pixel = l->channels;
    if (l->tree->encoding == CMF_ENC_LOWRANK && l->tree->child[0]->outputs > pixel)
        pixel = l->tree->child[0]->outputs;
    uint64_t weight_bytes = cmf_tree_transient_bytes(l->tree);
    l->shared_bytes = linear_size((pixel + CMF_PANEL) * (l->compute == 0 ? 4u : 1u) + 64u);
    l->weight_bytes = linear_size(weight_bytes);
    l->thread_bytes = linear_size(weight_bytes + cmf_linear_tile_bytes(l));
}

uint64_t cmf_linear_tile_bytes(const cmf_linear *l) {
    uint64_t rows = (uint64_t)l->tile_h * (uint64_t)l->tile_w, taps = linear_taps(l);
    uint64_t element = l->compute == 0 ? 4u : 1u, pointer = sizeof(void *);
    uint64_t bytes = linear_round64(rows * pointer); /* outputs */
    if (l->tree->encoding == CMF_ENC_WINOGRAD)
        return linear_round64(64u * pointer);
    if (l->compute != 0)
        bytes += linear_round64(cmf_linear_sums_bytes((uint32_t)rows)) + linear_round64(rows * 4u); /* sums, scales */
    if (l->depthwise) {
        uint64_t padded = (taps + 3u) & ~(uint64_t)3u;
        bytes += linear_round64(padded * rows * pointer);
        if (l->spread)
            bytes += linear_round64(padded * rows * pointer) + linear_round64(padded * rows * CMF_PANEL * element);
        return bytes;
    }
    uint64_t runs = l->tree->inputs / l->tree->run;
    bytes += linear_round64((taps > runs ? taps : runs) * rows * pointer);
    if (linear_needs_patches(l))
        bytes += linear_round64(rows * pointer * runs) + linear_round64(rows * l->tree->inputs * element + 64u);
    if (!cmf_tree_is_panel(l->tree)) {
        uint64_t box = CMF_LINEAR_ROWS;
        if (cmf_linear_needs_box(l, l->tree)) {
            uint64_t pixels = linear_pixels(l, l->tile_h, l->tile_w);
            box = pixels > taps && rows > 1u ? pixels : taps > pixels ? taps : pixels;
            box = box < CMF_LINEAR_ROWS ? CMF_LINEAR_ROWS : box;
        }
        /* two lists for each of: the middle, a box, a box below it, rows in another basis; and taps out of two boxes */
        bytes += 2u * (linear_round64(rows * pointer) + 3u * linear_round64(box * pointer)) + 2u * linear_round64(taps * rows * pointer) +
                 linear_round64(CMF_LINEAR_ROWS * pointer * runs);
    }
    return bytes;
}

void cmf_linear_taps(const cmf_linear *l, const cmf_source *source, const cmf_tile *tile, void **a) {
    void *const zero = (void *)(uintptr_t)source->zero;
    for (int32_t i = 0; i < l->kh; i++) {
        for (int32_t j = 0; j < l->kw; j++) {
            for (int32_t y = tile->y0; y < tile->y1; y++) {
                int32_t iy = y * l->sh - l->top + i * l->dh;
                int32_t ix = tile->x0 * l->sw - l->left + j * l->dw, count = tile->x1 - tile->x0, x = 0;
                int inside = iy >= source->y0 && iy < source->y1;
                for (; x < count && (!inside || ix + x * l->sw < source->x0); x++)
                    *a++ = zero;
                if (x < count) {
                    uintptr_t p = (uintptr_t)(source->data + (size_t)(iy - source->y0) * source->row) +
                                  (size_t)(ix + x * l->sw - source->x0) * source->pixel;
                    const uintptr_t step = (size_t)l->sw * source->pixel;
                    int32_t room = source->x1 - ix, end = room <= 0 ? 0 : (room - 1) / l->sw + 1;
                    end = end < count ? end : count;
                    for (; x < end; x++, p += step)
                        *a++ = (void *)p;
                }
                for (; x < count; x++)
                    *a++ = zero;
            }
        }
    }
}

void cmf_linear_patches(const cmf_linear *l, const cmf_source *source, const cmf_tile *tile, size_t bytes, uint8_t *patches,
                        void **a) {
    for (int32_t y = tile->y0; y < tile->y1; y++) {
        for (int32_t x = tile->x0; x < tile->x1; x++) {
            *a++ = patches;
            int32_t first = x * l->sw - l->left;
            int whole = l->dw == 1 && source->pixel == bytes && first >= source->x0 && first + l->kw <= source->x1;
            for (int32_t i = 0; i < l->kh; i++) {
                int32_t iy = y * l->sh - l->top + i * l->dh;
                int inside = iy >= source->y0 && iy < source->y1;
                const uint8_t *line = inside ? source->data + (size_t)(iy - source->y0) * source->row : NULL;
                if (inside && whole) { /* a kernel's row lies in one piece */
                    const uint8_t *from = line + (size_t)(first - source->x0) * bytes;
                    size_t n = bytes * (size_t)l->kw;
                    for (size_t k = 0; k < n; k += 16u) /* up to 15 bytes too many, which the next copy overwrites */
                        memcpy(patches + k, from + k, 16u);
                    patches += n;
                    continue;
                }
                for (int32_t j = 0; j < l->kw; j++, patches += bytes) {
                    int32_t ix = first + j * l->dw;
                    const void *p = inside && ix >= source->x0 && ix < source->x1
                                        ? line + (size_t)(ix - source->x0) * source->pixel : source->zero;
                    memcpy(patches, p, bytes);
                }
            }
        }
    }
}

void cmf_linear_outputs(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, void **out) {
    size_t element = l->compute == 1 ? 1u : 4u;
    uint8_t *y = (uint8_t *)l->y + item->y * element;
    for (int32_t i = tile->y0; i < tile->y1; i++)
        for (int32_t j = tile->x0; j < tile->x1; j++)
            *out++ = y + ((size_t)i * (size_t)l->wo + (size_t)j) * l->y_pixel * element;
}

void cmf_linear_row_scales(const cmf_linear *l, const cmf_linear_item *item, const cmf_tile *tile, float *scales) {
    for (int32_t i = tile->y0; i < tile->y1; i++)
        for (int32_t j = tile->x0; j < tile->x1; j++)
            *scales++ = l->row_scales[item->row_scale + ((size_t)i * (size_t)l->wo + (size_t)j) * l->row_scale_step];
}

/* ------------------------------------------------------------------ running */

static void linear_task(void *context, uint32_t index, uint32_t thread) {
    const cmf_linear *l = context;
    uint32_t group = index % l->groups, rest = index / l->groups;
    uint32_t tx = rest % (uint32_t)l->tiles_x;
    rest /= (uint32_t)l->tiles_x;
    uint32_t ty = rest % (uint32_t)l->tiles_y;
    cmf_linear_item item = {0};
    l->item(l, rest / (uint32_t)l->tiles_y, &item);

    cmf_tile tile;
    tile.y0 = (int32_t)ty * l->tile_h;
    tile.x0 = (int32_t)tx * l->tile_w;
    tile.y1 = l->ho - tile.y0 < l->tile_h ? l->ho : tile.y0 + l->tile_h;
    tile.x1 = l->wo - tile.x0 < l->tile_w ? l->wo : tile.x0 + l->tile_w;

    /* Groups are whole fours of panels. */
    uint32_t panels = cmf_tree_panels(l->tree), fours = (panels + 3u) / 4u;
    uint32_t first = (uint32_t)((uint64_t)fours * group / l->groups) * 4u;
    uint32_t last = group + 1u == l->groups ? panels : (uint32_t)((uint64_t)fours * (group + 1u) / l->groups) * 4u;

    uint8_t *scratch = l->scratch + thread * l->thread_bytes;
    cmf_bump weights = {scratch, scratch + l->weight_bytes};
    cmf_bump rows = {scratch + l->weight_bytes, scratch + l->thread_bytes};
    if (l->depthwise)
        cmf_depthwise_tile(l, &item, &tile, first, last, weights, rows);
    else if (l->tree->encoding == CMF_ENC_WINOGRAD)
        cmf_winograd_tile(l, &item, &tile, weights, rows);
    else if (l->compute == 0)
        cmf_linear_tile_f32(l, &item, &tile, first, last, weights, rows);
    else
        cmf_linear_tile_i8(l, &item, &tile, first, last, weights, rows);
}

void cmf_linear_run(const cmf_linear *l) {
    uint64_t tasks = (uint64_t)l->items * (uint64_t)l->tiles_y * (uint64_t)l->tiles_x * l->groups;
    memset(l->shared, l->compute == 1 ? l->zero_x : 0, l->shared_bytes);
    if (tasks != 0)
        cmf_workers_run(l->workers, linear_task, (void *)(uintptr_t)l, (uint32_t)tasks);
}
