#include "kernels/array.h"

#include <string.h>

#include "base/math.h"

static const struct {
    const char *name;
    uint8_t size;
} array_types[] = {
    [CMF_NONE] = {"none", 0}, [CMF_F32] = {"f32", 4}, [CMF_F16] = {"f16", 2}, [CMF_BF16] = {"bf16", 2},
    [CMF_F64] = {"f64", 8},   [CMF_I8] = {"i8", 1},   [CMF_U8] = {"u8", 1},   [CMF_I16] = {"i16", 2},
    [CMF_U16] = {"u16", 2},   [CMF_I32] = {"i32", 4}, [CMF_U32] = {"u32", 4}, [CMF_I64] = {"i64", 8},
    [CMF_U64] = {"u64", 8},   [CMF_BOOL] = {"boolean", 1},
};

const char *cmf_dtype_name(uint8_t dtype) {
    return dtype < sizeof array_types / sizeof array_types[0] ? array_types[dtype].name : "unknown";
}

uint32_t cmf_element_size(uint8_t dtype) {
    return dtype < sizeof array_types / sizeof array_types[0] ? array_types[dtype].size : 0u;
}

size_t cmf_dims_product(const cmf_array *array, uint32_t first, uint32_t last) {
    size_t product = 1;
    for (uint32_t i = first; i < last; i++)
        product *= (size_t)array->dims[i];
    return product;
}

size_t cmf_array_count(const cmf_array *array) {
    return cmf_dims_product(array, 0, array->rank);
}

size_t cmf_array_bytes(const cmf_array *array) {
    return cmf_array_count(array) * cmf_element_size(array->dtype);
}

cmf_status cmf_array_set(cmf_array *array, uint8_t dtype, uint32_t rank, const int32_t *dims, cmf_error *error) {
    const uint64_t limit = (uint64_t)1 << 40; /* FORMAT.md 1.3 */
    uint64_t count = 1;
    int empty = 0;
    CMF_REQUIRE(rank <= CMF_MAX_RANK, CMF_E_LIMIT, "a result of rank %u; at most 8 is supported", rank);
    for (uint32_t i = 0; i < rank; i++) {
        CMF_REQUIRE(dims[i] >= 0, CMF_E_SHAPE, "dimension %u of the result would be %d", i, (int)dims[i]);
        if (dims[i] == 0) {
            empty = 1;
            continue;
        }
        CMF_REQUIRE(count <= limit / (uint64_t)dims[i], CMF_E_LIMIT, "a result of more than 2^40 elements");
        count *= (uint64_t)dims[i];
    }
    count *= cmf_element_size(dtype);
    CMF_REQUIRE(empty || count <= CMF_SIZE_LIMIT / 2u, CMF_E_LIMIT, "a result of more bytes than this machine addresses");
    array->dtype = dtype;
    array->rank = (uint8_t)rank;
    for (uint32_t i = 0; i < rank; i++)
        array->dims[i] = dims[i];
    return CMF_OK;
}

cmf_status cmf_array_broadcast(const cmf_array *a, const cmf_array *b, cmf_array *out, cmf_error *error) {
    int32_t dims[CMF_MAX_RANK];
    uint32_t rank = a->rank > b->rank ? a->rank : b->rank;
    for (uint32_t i = 0; i < rank; i++) {
        int32_t da = i + a->rank < rank ? 1 : a->dims[i + a->rank - rank];
        int32_t db = i + b->rank < rank ? 1 : b->dims[i + b->rank - rank];
        CMF_REQUIRE(da == db || da == 1 || db == 1, CMF_E_SHAPE,
                    "shapes do not broadcast: dimension %u is %d on one side and %d on the other", i, (int)da, (int)db);
        dims[i] = da == 1 ? db : da;
    }
    return cmf_array_set(out, out->dtype, rank, dims, error);
}

/* ------------------------------------------------------------------ checks of infer */

cmf_status cmf_check_axis(const cmf_op_call *call, int32_t axis, uint32_t rank, uint32_t *out) {
    cmf_error *error = call->error;
    CMF_REQUIRE(axis >= -(int32_t)rank && axis < (int32_t)rank, CMF_E_SHAPE, "axis %d of a tensor of rank %u", (int)axis,
                rank);
    *out = (uint32_t)(axis < 0 ? axis + (int32_t)rank : axis);
    return CMF_OK;
}

cmf_status cmf_check_known(const cmf_op_call *call, uint32_t index, const char *name) {
    cmf_error *error = call->error;
    const cmf_array *input = index < call->node->input_count ? call->inputs[index] : NULL;
    CMF_REQUIRE(input != NULL, CMF_E_GRAPH, "input '%s' is missing", name);
    CMF_REQUIRE(input->dtype == CMF_I32 || input->dtype == CMF_I64, CMF_E_DTYPE, "input '%s' is %s; supported: i32, i64",
                name, cmf_dtype_name(input->dtype));
    CMF_REQUIRE(input->known, CMF_E_UNSUPPORTED,
                "input '%s' depends on the data; it must be constant or follow from shapes", name);
    return CMF_OK;
}

int cmf_array_is_real(const cmf_array *array) {
    return array->dtype == CMF_F32 || (array->dtype == CMF_I8 && array->has_affine);
}

cmf_status cmf_check_real(const cmf_op_call *call, uint32_t index) {
    cmf_error *error = call->error;
    const cmf_array *input = call->inputs[index];
    CMF_REQUIRE(cmf_array_is_real(input), CMF_E_DTYPE, "input %u is %s; supported: f32, i8 with a scale", index,
                cmf_dtype_name(input->dtype));
    return CMF_OK;
}

cmf_status cmf_set_real(const cmf_op_call *call, uint32_t rank, const int32_t *dims) {
    cmf_array *output = call->outputs[0];
    uint8_t dtype = output->dtype == CMF_I8 && output->has_affine ? CMF_I8 : CMF_F32;
    return cmf_array_set(output, dtype, rank, dims, call->error);
}

cmf_status cmf_set_like(const cmf_op_call *call, const cmf_array *input, uint32_t rank, const int32_t *dims) {
    cmf_error *error = call->error;
    cmf_array *output = call->outputs[0];
    CMF_REQUIRE(output->dtype != input->dtype || input->has_affine == output->has_affine, CMF_E_DTYPE,
                "either the input or the output has a scale, not both");
    return cmf_array_set(output, input->dtype, rank, dims, error);
}

int cmf_array_same_codes(const cmf_array *a, const cmf_array *b) {
    if (a->dtype != b->dtype || a->has_affine != b->has_affine)
        return 0;
    return !a->has_affine || (memcmp(&a->scale, &b->scale, sizeof a->scale) == 0 && a->zero_point == b->zero_point);
}

int64_t cmf_array_int(const cmf_array *array, size_t i) {
    return array->dtype == CMF_I64 ? ((const cmf_i64 *)array->data)[i] : ((const int32_t *)array->data)[i];
}

/* ------------------------------------------------------------------ reals */

void cmf_dequantize(const int8_t *q, size_t n, float scale, int32_t zero_point, float *x) {
    for (size_t i = 0; i < n; i++)
        x[i] = scale * (float)((int32_t)q[i] - zero_point);
}

void cmf_quantize(const float *x, size_t n, float scale, int32_t zero_point, int8_t *q) {
    for (size_t i = 0; i < n; i++)
        q[i] = cmf_code(x[i] / scale, zero_point, -128, 127);
}

void cmf_code_bounds(const cmf_node *node, const cmf_array *output, int32_t *low, int32_t *high) {
    *low = -128;
    *high = 127;
    if (node->activation == CMF_FB_ACTIVATION_RELU) {
        *low = output->zero_point;
    } else if (node->activation == CMF_FB_ACTIVATION_CLIP) {
        *low = cmf_code(node->activation_min / output->scale, output->zero_point, -128, 127);
        *high = cmf_code(node->activation_max / output->scale, output->zero_point, -128, 127);
        if (*high < *low) /* like f32: the upper bound wins */
            *low = *high;
    }
}

const float *cmf_real_load(const cmf_array *array, size_t first, size_t n, float *buffer) {
    if (array->dtype == CMF_F32)
        return (const float *)array->data + first;
    cmf_dequantize((const int8_t *)array->data + first, n, array->scale, array->zero_point, buffer);
    return buffer;
}

float *cmf_real_target(const cmf_array *array, size_t first, float *buffer) {
    return array->dtype == CMF_F32 ? (float *)array->data + first : buffer;
}

void cmf_real_store(const cmf_array *array, size_t first, size_t n, const float *values) {
    if (array->dtype == CMF_I8)
        cmf_quantize(values, n, array->scale, array->zero_point, (int8_t *)array->data + first);
    else if (values != (const float *)array->data + first)
        memcpy((float *)array->data + first, values, n * sizeof(float));
}

void cmf_recode_table(const cmf_array *from, const cmf_array *to, int8_t *table) {
    for (int32_t code = -128; code < 128; code++) {
        float real = from->scale * (float)(code - from->zero_point);
        table[code + 128] = cmf_code(real / to->scale, to->zero_point, -128, 127);
    }
}

void cmf_recode(const int8_t *table, const int8_t *source, int8_t *target, size_t n) {
    for (size_t i = 0; i < n; i++)
        target[i] = table[source[i] + 128];
}

void cmf_apply_activation(const cmf_node *node, float *x, size_t n) {
    if (node->activation == CMF_FB_ACTIVATION_RELU) {
        for (size_t i = 0; i < n; i++)
            x[i] = x[i] < 0.0f ? 0.0f : x[i]; /* not a number stays */
    } else if (node->activation == CMF_FB_ACTIVATION_CLIP) {
        const float low = node->activation_min, high = node->activation_max;
        for (size_t i = 0; i < n; i++) {
            float y = x[i] < low ? low : x[i];
            x[i] = y > high ? high : y;
        }
    }
}

/* ------------------------------------------------------------------ walking */

void cmf_walk_init(cmf_walk *walk, const cmf_array *output, const cmf_array *const *inputs, uint32_t count) {
    memset(walk, 0, sizeof *walk);
    walk->inputs = count;
    size_t step[3] = {1, 1, 1}; /* elements of the input's dimensions to the right */
    /* From the innermost dimension outwards, collected in reverse; a dimension joins its neighbour where all strides go on. */
    for (uint32_t from_end = 0; from_end < output->rank; from_end++) {
        size_t dim = (size_t)output->dims[output->rank - 1u - from_end];
        size_t stride[3] = {0, 0, 0};
        for (uint32_t k = 0; k < count; k++) {
            size_t own = from_end < inputs[k]->rank ? (size_t)inputs[k]->dims[inputs[k]->rank - 1u - from_end] : 1u;
            stride[k] = own == 1u ? 0u : step[k];
            step[k] *= own;
        }
        if (dim == 1u)
            continue;
        uint32_t last = walk->rank - 1u;
        int joins = walk->rank > 0;
        for (uint32_t k = 0; k < count && joins; k++)
            joins = stride[k] == walk->strides[k][last] * walk->dims[last];
        if (joins) {
            walk->dims[last] *= dim;
            continue;
        }
        walk->dims[walk->rank] = dim;
        for (uint32_t k = 0; k < count; k++)
            walk->strides[k][walk->rank] = stride[k];
        walk->rank++;
    }
    if (walk->rank == 0) {
        walk->rank = 1;
        walk->dims[0] = 1;
    }
    for (uint32_t i = 0, j = walk->rank - 1u; i < j; i++, j--) {
        size_t dim = walk->dims[i];
        walk->dims[i] = walk->dims[j];
        walk->dims[j] = dim;
        for (uint32_t k = 0; k < count; k++) {
            size_t stride = walk->strides[k][i];
            walk->strides[k][i] = walk->strides[k][j];
            walk->strides[k][j] = stride;
        }
    }
}

void cmf_walk_seek(cmf_walk *walk, size_t element) {
    memset(walk->offset, 0, sizeof walk->offset);
    for (uint32_t i = walk->rank; i-- > 0;) {
        walk->index[i] = element % walk->dims[i];
        element /= walk->dims[i];
        for (uint32_t k = 0; k < walk->inputs; k++)
            walk->offset[k] += walk->index[i] * walk->strides[k][i];
    }
}

void cmf_walk_advance(cmf_walk *walk, size_t n) {
    uint32_t i = walk->rank - 1u;
    walk->index[i] += n;
    for (uint32_t k = 0; k < walk->inputs; k++)
        walk->offset[k] += n * walk->strides[k][i];
    while (walk->index[i] == walk->dims[i] && i > 0) {
        for (uint32_t k = 0; k < walk->inputs; k++) {
            walk->offset[k] -= walk->dims[i] * walk->strides[k][i];
            walk->offset[k] += walk->strides[k][i - 1u];
        }
        walk->index[i] = 0;
        walk->index[--i]++;
    }
}
