/* Nearest (rounding down) and linear, over any dimensions. Positions are exact fractions num / den, so that no rounding
 * decides which input is taken. */
#include <string.h>

#include "kernels/copy.h"

/* Output o of a dimension that changes: inputs low and high with weights 1 - share and share. */
typedef struct resize_tap {
    int32_t low, high;
    float share;
} resize_tap;

/* Some inputs of the outer changed dimensions: offset and weight. */
typedef struct resize_corner {
    size_t offset;
    float weight;
} resize_corner;

static const cmf_array *resize_sizes(const cmf_op_call *call) {
    return call->inputs[call->node->input_count - 1u];
}

/* Inputs: data, sizes (the last input). */
static cmf_status resize_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *data = call->inputs[0];
    const cmf_node_options *options = &call->node->options;
    int32_t dims[CMF_MAX_RANK];
    CMF_TRY(cmf_check_known(call, call->node->input_count - 1u, "sizes"));
    CMF_REQUIRE(cmf_array_count(resize_sizes(call)) == data->rank, CMF_E_SHAPE, "%zu sizes for an input of rank %u",
                cmf_array_count(resize_sizes(call)), data->rank);
    CMF_REQUIRE(options->mode <= CMF_FB_RESIZEMODE_LINEAR && options->coordinates <= CMF_FB_COORDINATES_PYTORCH_HALF_PIXEL,
                CMF_E_UNSUPPORTED, "mode %u with coordinates %u", options->mode, options->coordinates);
    for (uint32_t d = 0; d < data->rank; d++) {
        const int64_t size = cmf_array_int(resize_sizes(call), d), most = 1 << 30;
        CMF_REQUIRE(size >= 1 && size <= most && data->dims[d] >= 1 && data->dims[d] <= most, CMF_E_SHAPE,
                    "dimension %u goes from %d to %lld", d, (int)data->dims[d], (long long)size);
        dims[d] = (int32_t)size;
    }
    if (options->mode == CMF_FB_RESIZEMODE_NEAREST)
        return cmf_set_like(call, data, data->rank, dims);
    CMF_TRY(cmf_check_real(call, 0));
    return cmf_set_real(call, data->rank, dims);
}

static resize_tap resize_tap_of(const cmf_op_call *call, int64_t in, int64_t out, int64_t o) {
    int64_t num, den;
    switch (call->node->options.coordinates) {
    case CMF_FB_COORDINATES_ASYMMETRIC: num = o * in, den = out; break;
    case CMF_FB_COORDINATES_ALIGN_CORNERS: num = out > 1 ? o * (in - 1) : 0, den = out > 1 ? out - 1 : 1; break;
    case CMF_FB_COORDINATES_PYTORCH_HALF_PIXEL:
        if (out == 1) {
            num = 0, den = 1;
            break;
        } /* fall through */
    default: num = (2 * o + 1) * in - out, den = 2 * out; break;
    }
    num = num < 0 ? 0 : num > (in - 1) * den ? (in - 1) * den : num;
    resize_tap tap = {.low = (int32_t)(num / den)};
    tap.high = tap.low + (tap.low + 1 < in);
    tap.share = (float)(num % den) / (float)den;
    return tap;
}

static int resize_changes(const cmf_op_call *call, uint32_t d) {
    return call->inputs[0]->dims[d] != call->outputs[0]->dims[d];
}

/* Scratch: the taps of all dimensions that change, one after another, then the corners of one row. */
static size_t resize_taps(const cmf_op_call *call) {
    size_t n = 0;
    for (uint32_t d = 0; d < call->inputs[0]->rank; d++)
        n += resize_changes(call, d) ? (size_t)call->outputs[0]->dims[d] : 0u;
    return n;
}

static cmf_status resize_scratch(const cmf_op_call *call, size_t *bytes) {
    cmf_error *error = call->error;
    *bytes = resize_taps(call);
    CMF_REQUIRE(cmf_size_mul(bytes, sizeof(resize_tap)), CMF_E_LIMIT, "sizes too large for this machine");
    *bytes = cmf_size_align(*bytes) + ((size_t)1 << CMF_MAX_RANK) * sizeof(resize_corner);
    return CMF_OK;
}

/* One output: the weighted sum over corners and both taps of the innermost changed dimension, for `block` neighbours. */
static void resize_blend(const cmf_op_call *call, const resize_corner *corners, uint32_t corner_count, const resize_tap *tap,
                         size_t block, size_t out) {
    const cmf_array *x = call->inputs[0];
    cmf_array *y = call->outputs[0];
    for (size_t first = 0; first < block; first += CMF_REAL_CHUNK) {
        const size_t n = block - first < CMF_REAL_CHUNK ? block - first : CMF_REAL_CHUNK;
        float sum[CMF_REAL_CHUNK], buffer[CMF_REAL_CHUNK];
        for (uint32_t k = 0; k < 2u * corner_count; k++) {
            const float weight = corners[k / 2u].weight * (k & 1u ? tap->share : 1.0f - tap->share);
            const size_t at = corners[k / 2u].offset + (size_t)(k & 1u ? tap->high : tap->low) * block + first;
            const float *values = cmf_real_load(x, at, n, buffer);
            for (size_t i = 0; i < n; i++)
                sum[i] = (k ? sum[i] : 0.0f) + weight * values[i];
        }
        cmf_real_store(y, out + first, n, sum);
    }
}

static cmf_status resize_run(const cmf_op_call *call) {
    const cmf_array *data = call->inputs[0];
    cmf_array *output = call->outputs[0];
    const uint32_t size = cmf_element_size(data->dtype);
    const int linear = call->node->options.mode == CMF_FB_RESIZEMODE_LINEAR;
    resize_tap *taps = call->scratch, *next = taps;
    resize_corner *corners = (resize_corner *)(void *)((uint8_t *)call->scratch +
                                                       cmf_size_align(resize_taps(call) * sizeof *taps));
    const resize_tap *taps_of[CMF_MAX_RANK] = {NULL};
    uint32_t last = 0; /* one past the innermost dimension that changes */
    for (uint32_t d = 0; d < data->rank; d++) {
        if (!resize_changes(call, d))
            continue;
        last = d + 1u;
        taps_of[d] = next;
        for (int32_t o = 0; o < output->dims[d]; o++)
            *next++ = resize_tap_of(call, data->dims[d], output->dims[d], o);
    }
    if (last == 0) {
        for (size_t first = 0, count = cmf_array_count(data); first < count; first += CMF_REAL_CHUNK) {
            const size_t n = count - first < CMF_REAL_CHUNK ? count - first : CMF_REAL_CHUNK;
            float buffer[CMF_REAL_CHUNK];
            if (!linear || cmf_array_same_codes(data, output)) /* only linear has reals on both sides */
                memcpy((uint8_t *)output->data + first * size, (const uint8_t *)data->data + first * size, n * size);
            else
                cmf_real_store(output, first, n, cmf_real_load(data, first, n, buffer));
        }
        if (!linear)
            cmf_recode_output(data, output);
        return CMF_OK;
    }
    const uint32_t inner = last - 1u;
    const size_t block = cmf_dims_product(data, last, data->rank), rows = cmf_dims_product(output, 0, inner);
    int32_t index[CMF_MAX_RANK] = {0};
    size_t out = 0;
    for (size_t row = 0; row < rows; row++) {
        /* corners of the outer dimensions; nearest has one */
        uint32_t count = 1;
        corners[0] = (resize_corner){0, 1.0f};
        for (uint32_t d = 0; d <= inner; d++) {
            const size_t dim = (size_t)data->dims[d];
            const resize_tap *tap = d < inner && taps_of[d] ? &taps_of[d][index[d]] : NULL;
            const uint32_t before = count;
            for (uint32_t k = 0; k < before; k++) {
                corners[k].offset *= dim;
                if (d == inner)
                    continue;
                if (tap && linear && tap->share != 0.0f) {
                    corners[count].offset = corners[k].offset + (size_t)tap->high;
                    corners[count++].weight = corners[k].weight * tap->share;
                    corners[k].weight *= 1.0f - tap->share;
                }
                corners[k].offset += (size_t)(tap ? tap->low : index[d]);
            }
        }
        for (uint32_t k = 0; k < count; k++)
            corners[k].offset *= block;
        for (int32_t o = 0; o < output->dims[inner]; o++, out += block) {
            const resize_tap *tap = &taps_of[inner][o];
            if (linear)
                resize_blend(call, corners, count, tap, block, out);
            else
                memcpy((uint8_t *)output->data + out * size,
                       (const uint8_t *)data->data + (corners[0].offset + (size_t)tap->low * block) * size, block * size);
        }
        for (uint32_t d = inner; d-- > 0;) {
            if (++index[d] < output->dims[d])
                break;
            index[d] = 0;
        }
    }
    if (!linear)
        cmf_recode_output(data, output);
    return CMF_OK;
}

const cmf_op cmf_op_resize = {.name = "Resize", .id = CMF_FB_OP_RESIZE, .min_inputs = 2, .max_inputs = 4, .outputs = 1,
                              .infer = resize_infer, .scratch = resize_scratch, .run = resize_run,
                              .leaves_activation = 1};
