/* MaxPool, AveragePool and GlobalAveragePool, channels last. Integers: FORMAT.md 5.2. */
#include <string.h>

#include "base/math.h"
#include "kernels/copy.h"

/* Windows along one axis: window o begins at input o * stride - before and takes `kernel` inputs, `dilation` apart. */
typedef struct pool_axis {
    int64_t kernel, stride, dilation, before, after, inputs, outputs;
} pool_axis;

/* axis 0: height, 1: width. */
static pool_axis pool_axis_of(const cmf_op_call *call, uint32_t axis) {
    const cmf_node_options *o = &call->node->options;
    const pool_axis result = {o->kernel[axis], o->strides[axis],     o->dilations[axis],
                              o->pads[axis],   o->pads[axis + 2u],   call->inputs[0]->dims[axis + 1u],
                              call->outputs[0]->dims[axis + 1u]};
    return result;
}

/* Fewest and one past most of the kernel positions k of a window with low <= first + k * dilation < high. */
static void pool_clip(const pool_axis *axis, int64_t first, int64_t low, int64_t high, int64_t *from, int64_t *to) {
    *from = first >= low ? 0 : (low - first + axis->dilation - 1) / axis->dilation;
    *to = high <= first ? 0 : (high - first + axis->dilation - 1) / axis->dilation;
    *to = *to > axis->kernel ? axis->kernel : *to;
    *from = *from > *to ? *to : *from;
}

static cmf_status pool_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *x = call->inputs[0];
    CMF_TRY(cmf_check_real(call, 0));
    CMF_REQUIRE(x->rank == 4, CMF_E_SHAPE, "the input has rank %u; supported: 4 (batch, height, width, channels)", x->rank);
    int32_t dims[4] = {x->dims[0], 0, 0, x->dims[3]};
    for (uint32_t a = 0; a < 2; a++) {
        const pool_axis axis = pool_axis_of(call, a);
        const int64_t most = INT32_MAX;
        CMF_REQUIRE(axis.kernel >= 1 && axis.kernel <= most && axis.stride >= 1 && axis.stride <= most &&
                        axis.dilation >= 1 && axis.dilation <= most && axis.before <= most && axis.after <= most,
                    CMF_E_GRAPH, "kernel %lld, stride %lld and dilation %lld must be positive", (long long)axis.kernel,
                    (long long)axis.stride, (long long)axis.dilation);
        const int64_t span = (axis.kernel - 1) * axis.dilation + 1, room = axis.inputs + axis.before + axis.after - span;
        CMF_REQUIRE(axis.before < span && axis.after < span, CMF_E_UNSUPPORTED, "padding %lld, %lld is not smaller than the window (%lld)",
                    (long long)axis.before, (long long)axis.after, (long long)span);
        CMF_REQUIRE(room >= 0, CMF_E_SHAPE, "a window of %lld does not fit %lld inputs with padding %lld and %lld",
                    (long long)span, (long long)axis.inputs, (long long)axis.before, (long long)axis.after);
        int64_t count = (call->node->options.ceil_mode ? (room + axis.stride - 1) / axis.stride : room / axis.stride) + 1;
        /* a window must begin inside the input or the padding before it */
        if (call->node->options.ceil_mode && (count - 1) * axis.stride >= axis.inputs + axis.before)
            count--;
        CMF_REQUIRE(count <= INT32_MAX, CMF_E_LIMIT, "a result with a dimension of %lld", (long long)count);
        dims[a + 1u] = (int32_t)count;
    }
    CMF_TRY(cmf_set_real(call, 4, dims));
    CMF_REQUIRE(x->dtype == call->outputs[0]->dtype, CMF_E_DTYPE, "input and output must both be f32, or both i8 with a scale");
    return CMF_OK;
}

static uint64_t pool_work_of(const cmf_op_call *call) {
    const double count = (double)cmf_array_count(call->outputs[0]) * call->node->options.kernel[0] *
                         call->node->options.kernel[1];
    return count < 0x1p63 ? (uint64_t)count : UINT64_MAX;
}

typedef struct pool_work {
    const cmf_op_call *call;
    pool_axis height, width;
} pool_work;

/* The window of one output pixel: the kernel positions inside the input, and how many positions count for a mean. */
typedef struct pool_window {
    int64_t top, left;     /* input of kernel position 0, may be negative */
    int64_t i0, i1, j0, j1; /* kernel positions inside the input */
    int64_t counted;
} pool_window;

static pool_window pool_window_at(const pool_work *work, int64_t row, int64_t column) {
    const pool_axis *h = &work->height, *w = &work->width;
    pool_window at = {.top = row * h->stride - h->before, .left = column * w->stride - w->before};
    pool_clip(h, at.top, 0, h->inputs, &at.i0, &at.i1);
    pool_clip(w, at.left, 0, w->inputs, &at.j0, &at.j1);
    at.counted = (at.i1 - at.i0) * (at.j1 - at.j0);
    if (work->call->node->options.count_include_pad) { /* but not what ceil mode adds beyond the padding */
        int64_t a, b, c, d;
        pool_clip(h, at.top, -h->before, h->inputs + h->after, &a, &b);
        pool_clip(w, at.left, -w->before, w->inputs + w->after, &c, &d);
        at.counted = (b - a) * (d - c);
    }
    return at;
}

/* First channel of kernel position (i, j) in image `image`. */
static size_t pool_offset(const pool_work *work, const pool_window *at, size_t image, int64_t i, int64_t j) {
    const int64_t y = at->top + i * work->height.dilation, x = at->left + j * work->width.dilation;
    const size_t channels = (size_t)work->call->inputs[0]->dims[3];
    return ((image * (size_t)work->height.inputs + (size_t)y) * (size_t)work->width.inputs + (size_t)x) * channels;
}

/* What a kind of pool does with the pixel's C results, which begin at element `out`. */
typedef void (*pool_pixel_fn)(const pool_work *work, const pool_window *at, size_t image, size_t out);

static void pool_max_f32(const pool_work *work, const pool_window *at, size_t image, size_t out) {
    const float *x = work->call->inputs[0]->data;
    float *y = (float *)work->call->outputs[0]->data + out;
    const size_t channels = (size_t)work->call->inputs[0]->dims[3];
    const float lowest = -cmf_inff();
    for (size_t c = 0; c < channels; c++)
        y[c] = lowest;
    for (int64_t i = at->i0; i < at->i1; i++)
        for (int64_t j = at->j0; j < at->j1; j++) {
            const float *tap = x + pool_offset(work, at, image, i, j);
            for (size_t c = 0; c < channels; c++)
                y[c] = tap[c] > y[c] ? tap[c] : y[c];
        }
    cmf_apply_activation(work->call->node, y, channels);
}

static void pool_max_i8(const pool_work *work, const pool_window *at, size_t image, size_t out) {
    const int8_t *x = work->call->inputs[0]->data;
    int8_t *y = (int8_t *)work->call->outputs[0]->data + out;
    const size_t channels = (size_t)work->call->inputs[0]->dims[3];
    memset(y, -128, channels);
    for (int64_t i = at->i0; i < at->i1; i++)
        for (int64_t j = at->j0; j < at->j1; j++) {
            const int8_t *tap = x + pool_offset(work, at, image, i, j);
            for (size_t c = 0; c < channels; c++)
                y[c] = tap[c] > y[c] ? tap[c] : y[c];
        }
}

static void pool_average_f32(const pool_work *work, const pool_window *at, size_t image, size_t out) {
    const float *x = work->call->inputs[0]->data;
    float *y = (float *)work->call->outputs[0]->data + out;
    const size_t channels = (size_t)work->call->inputs[0]->dims[3];
    memset(y, 0, channels * sizeof *y);
    for (int64_t i = at->i0; i < at->i1; i++)
        for (int64_t j = at->j0; j < at->j1; j++) {
            const float *tap = x + pool_offset(work, at, image, i, j);
            for (size_t c = 0; c < channels; c++)
                y[c] += tap[c];
        }
    const float n = at->counted ? (float)at->counted : 1.0f;
    for (size_t c = 0; c < channels; c++)
        y[c] /= n;
    cmf_apply_activation(work->call->node, y, channels);
}

/* m = (float)((double)sx / ((double)sy * n)) */
static float pool_multiplier(const cmf_array *x, const cmf_array *y, int64_t n) {
    return (float)((double)x->scale / ((double)y->scale * (double)(n ? n : 1)));
}

static void pool_average_i8(const pool_work *work, const pool_window *at, size_t image, size_t out) {
    const cmf_array *input = work->call->inputs[0], *output = work->call->outputs[0];
    const int8_t *x = input->data;
    int8_t *y = (int8_t *)output->data + out;
    const size_t channels = (size_t)input->dims[3];
    const float m = pool_multiplier(input, output, at->counted);
    int32_t low, high;
    cmf_code_bounds(work->call->node, output, &low, &high);
    for (size_t c0 = 0; c0 < channels; c0 += CMF_REAL_CHUNK) {
        const size_t n = channels - c0 < CMF_REAL_CHUNK ? channels - c0 : CMF_REAL_CHUNK;
        int32_t acc[CMF_REAL_CHUNK] = {0};
        for (int64_t i = at->i0; i < at->i1; i++)
            for (int64_t j = at->j0; j < at->j1; j++) {
                const int8_t *tap = x + pool_offset(work, at, image, i, j) + c0;
                for (size_t c = 0; c < n; c++)
                    acc[c] += tap[c] - input->zero_point;
            }
        for (size_t c = 0; c < n; c++)
            y[c0 + c] = cmf_code((float)acc[c] * m, output->zero_point, low, high);
    }
}

static void pool_rows(const pool_work *work, size_t first, size_t last, pool_pixel_fn pixel) {
    const size_t channels = (size_t)work->call->inputs[0]->dims[3];
    for (size_t row = first; row < last; row++) { /* rows of all images */
        const size_t image = row / (size_t)work->height.outputs;
        for (int64_t column = 0; column < work->width.outputs; column++) {
            const pool_window at = pool_window_at(work, (int64_t)(row % (size_t)work->height.outputs), column);
            pixel(work, &at, image, (row * (size_t)work->width.outputs + (size_t)column) * channels);
        }
    }
}

static void pool_max_range(void *context, size_t first, size_t last, uint32_t thread) {
    const pool_work *work = context;
    (void)thread;
    pool_rows(work, first, last, work->call->inputs[0]->dtype == CMF_F32 ? pool_max_f32 : pool_max_i8);
}

static void pool_average_range(void *context, size_t first, size_t last, uint32_t thread) {
    const pool_work *work = context;
    (void)thread;
    pool_rows(work, first, last, work->call->inputs[0]->dtype == CMF_F32 ? pool_average_f32 : pool_average_i8);
}

static void pool_run(const cmf_op_call *call, cmf_range_task task) {
    pool_work work = {call, pool_axis_of(call, 0), pool_axis_of(call, 1)};
    const size_t rows = (size_t)call->outputs[0]->dims[0] * (size_t)work.height.outputs;
    cmf_workers_range(call->workers, rows, cmf_grain((size_t)(pool_work_of(call) / rows)), task, &work);
}

static void pool_limit_codes(const cmf_node *node, cmf_array *output) {
    int32_t low, high;
    cmf_code_bounds(node, output, &low, &high);
    int8_t *codes = output->data;
    const size_t n = cmf_array_count(output);
    for (size_t i = 0; i < n && (low > -128 || high < 127); i++)
        codes[i] = (int8_t)(codes[i] < low ? low : codes[i] > high ? high : codes[i]);
}

static cmf_status max_pool_run(const cmf_op_call *call) {
    pool_run(call, pool_max_range);
    if (call->outputs[0]->dtype == CMF_I8) {
        cmf_recode_output(call->inputs[0], call->outputs[0]);
        pool_limit_codes(call->node, call->outputs[0]);
    }
    return CMF_OK;
}

static cmf_status average_pool_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    CMF_TRY(pool_infer(call));
    const cmf_node_options *o = &call->node->options;
    CMF_REQUIRE(call->inputs[0]->dtype == CMF_F32 || (uint64_t)o->kernel[0] * o->kernel[1] <= INT32_MAX / 256,
                CMF_E_UNSUPPORTED, "a mean of more than 2^23 integers");
    return CMF_OK;
}

static cmf_status average_pool_run(const cmf_op_call *call) {
    pool_run(call, pool_average_range);
    return CMF_OK;
}

/* ------------------------------------------------------------------ over all positions: [N, ..., C] -> [N, 1..., C] */

static cmf_status global_pool_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *x = call->inputs[0];
    int32_t dims[CMF_MAX_RANK];
    CMF_TRY(cmf_check_real(call, 0));
    CMF_REQUIRE(x->rank >= 2, CMF_E_SHAPE, "the input has rank %u; batch and channels are needed", x->rank);
    for (uint32_t i = 0; i < x->rank; i++)
        dims[i] = i == 0 || i + 1u == x->rank ? x->dims[i] : 1;
    CMF_TRY(cmf_set_real(call, x->rank, dims));
    CMF_REQUIRE(x->dtype == call->outputs[0]->dtype, CMF_E_DTYPE, "input and output must both be f32, or both i8 with a scale");
    CMF_REQUIRE(x->dtype == CMF_F32 || cmf_dims_product(x, 1, x->rank - 1u) <= INT32_MAX / 256, CMF_E_UNSUPPORTED,
                "a mean of more than 2^23 integers");
    return CMF_OK;
}

static uint64_t global_pool_work(const cmf_op_call *call) {
    return cmf_array_count(call->inputs[0]);
}

/* Sums of up to 64 channels, in parts so that rounding errors do not add up. */
static void global_pool_f32(const float *x, float *y, size_t positions, size_t channels, size_t n) {
    memset(y, 0, n * sizeof *y);
    for (size_t p0 = 0; p0 < positions; p0 += 128) {
        const size_t p1 = positions - p0 < 128 ? positions : p0 + 128;
        float part[CMF_REAL_CHUNK] = {0};
        for (size_t p = p0; p < p1; p++)
            for (size_t c = 0; c < n; c++)
                part[c] += x[p * channels + c];
        for (size_t c = 0; c < n; c++)
            y[c] += part[c];
    }
    for (size_t c = 0; c < n; c++)
        y[c] /= (float)positions;
}

static void global_pool_range(void *context, size_t first, size_t last, uint32_t thread) {
    const cmf_op_call *call = context;
    const cmf_array *input = call->inputs[0], *output = call->outputs[0];
    const size_t channels = (size_t)input->dims[input->rank - 1u], positions = cmf_dims_product(input, 1, input->rank - 1u);
    const float m = input->dtype == CMF_I8 ? pool_multiplier(input, output, (int64_t)positions) : 0.0f;
    int32_t low = 0, high = 0;
    if (input->dtype == CMF_I8)
        cmf_code_bounds(call->node, output, &low, &high);
    (void)thread;
    while (first < last) { /* channels of all images */
        const size_t image = first / channels, c0 = first % channels;
        size_t n = channels - c0 < CMF_REAL_CHUNK ? channels - c0 : CMF_REAL_CHUNK;
        n = n < last - first ? n : last - first;
        const size_t at = image * positions * channels + c0;
        if (input->dtype == CMF_F32) {
            float *y = (float *)output->data + first;
            global_pool_f32((const float *)input->data + at, y, positions, channels, n);
            cmf_apply_activation(call->node, y, n);
        } else {
            const int8_t *x = (const int8_t *)input->data + at;
            int32_t acc[CMF_REAL_CHUNK] = {0};
            for (size_t p = 0; p < positions; p++)
                for (size_t c = 0; c < n; c++)
                    acc[c] += x[p * channels + c] - input->zero_point;
            for (size_t c = 0; c < n; c++)
                ((int8_t *)output->data)[first + c] = cmf_code((float)acc[c] * m, output->zero_point, low, high);
        }
        first += n;
    }
}

static cmf_status global_pool_run(const cmf_op_call *call) {
    cmf_op_call copy = *call;
    const size_t positions = cmf_dims_product(call->inputs[0], 1, call->inputs[0]->rank - 1u);
    const size_t grain = (cmf_grain(positions) + 15u) & ~(size_t)15;
    cmf_workers_range(call->workers, cmf_array_count(call->outputs[0]), grain, global_pool_range, &copy);
    return CMF_OK;
}

const cmf_op cmf_op_max_pool = {.name = "MaxPool", .id = CMF_FB_OP_MAXPOOL, .min_inputs = 1, .max_inputs = 1,
                                .outputs = 1, .infer = pool_infer, .run = max_pool_run, .work = pool_work_of};
const cmf_op cmf_op_average_pool = {.name = "AveragePool", .id = CMF_FB_OP_AVERAGEPOOL, .min_inputs = 1, .max_inputs = 1,
                                    .outputs = 1, .infer = average_pool_infer, .run = average_pool_run,
                                    .work = pool_work_of};
const cmf_op cmf_op_global_average_pool = {.name = "GlobalAveragePool", .id = CMF_FB_OP_GLOBALAVERAGEPOOL,
                                           .min_inputs = 1, .max_inputs = 1, .outputs = 1, .infer = global_pool_infer,
                                           .run = global_pool_run, .work = global_pool_work};
