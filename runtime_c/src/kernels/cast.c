/* To the type that the graph declares for the output. Floats become integers by cutting off; what does not fit wraps, not a
 * number becomes 0, infinity the largest i64. Booleans are "not 0". */
#include <string.h>

#include "base/half.h"
#include "kernels/array.h"

/* Numbers on their way: integers exactly (u64 as its bits), floats as double. */
enum { CAST_CHUNK = 32 };

static int cast_is_float(uint8_t dtype) {
    return dtype == CMF_F32 || dtype == CMF_F16 || dtype == CMF_BF16 || dtype == CMF_F64;
}

static void cast_load_floats(double *to, const void *data, uint8_t dtype, size_t first, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const size_t k = first + i;
        switch (dtype) {
        case CMF_F32: to[i] = ((const float *)data)[k]; break;
        case CMF_F16: to[i] = cmf_f16_to_f32(((const uint16_t *)data)[k]); break;
        case CMF_BF16: to[i] = cmf_bf16_to_f32(((const uint16_t *)data)[k]); break;
        default: to[i] = ((const cmf_f64 *)data)[k]; break;
        }
    }
}

static void cast_load_integers(int64_t *to, const void *data, uint8_t dtype, size_t first, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const size_t k = first + i;
        switch (dtype) {
        case CMF_I8: to[i] = ((const int8_t *)data)[k]; break;
        case CMF_U8: to[i] = ((const uint8_t *)data)[k]; break;
        case CMF_I16: to[i] = ((const int16_t *)data)[k]; break;
        case CMF_U16: to[i] = ((const uint16_t *)data)[k]; break;
        case CMF_I32: to[i] = ((const int32_t *)data)[k]; break;
        case CMF_U32: to[i] = ((const uint32_t *)data)[k]; break;
        case CMF_I64:
        case CMF_U64: to[i] = ((const cmf_i64 *)data)[k]; break;
        default: to[i] = ((const uint8_t *)data)[k] != 0; break;
        }
    }
}

static int64_t cast_cut(double x) {
    if (!(x > -0x1p63)) /* not a number too */
        return x == x ? INT64_MIN : 0;
    return x < 0x1p63 ? (int64_t)x : INT64_MAX;
}

static void cast_store_integers(void *data, uint8_t dtype, size_t first, size_t n, const int64_t *from) {
    for (size_t i = 0; i < n; i++) {
        const size_t k = first + i;
        switch (dtype) {
        case CMF_I8:
        case CMF_U8: ((uint8_t *)data)[k] = (uint8_t)from[i]; break;
        case CMF_I16:
        case CMF_U16: ((uint16_t *)data)[k] = (uint16_t)from[i]; break;
        case CMF_I32:
        case CMF_U32: ((uint32_t *)data)[k] = (uint32_t)from[i]; break;
        case CMF_I64:
        case CMF_U64: ((cmf_i64 *)data)[k] = from[i]; break;
        default: ((uint8_t *)data)[k] = from[i] != 0; break;
        }
    }
}

/* Rounded once: `single` is the number in f32, `real` in double. */
static void cast_store_float(void *data, uint8_t dtype, size_t k, float single, double real) {
    switch (dtype) {
    case CMF_F32: ((float *)data)[k] = single; break;
    case CMF_F16: ((uint16_t *)data)[k] = cmf_f32_to_f16(single); break;
    case CMF_BF16: ((uint16_t *)data)[k] = cmf_f32_to_bf16(single); break;
    default: ((cmf_f64 *)data)[k] = real; break;
    }
}

static cmf_status cast_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *input = call->inputs[0];
    const cmf_array *output = call->outputs[0];
    CMF_REQUIRE(!input->has_affine && !output->has_affine, CMF_E_UNSUPPORTED,
                "integers with a scale are converted by QuantizeLinear and DequantizeLinear");
    CMF_REQUIRE(cmf_element_size(output->dtype) != 0, CMF_E_DTYPE, "the output has no type");
    return cmf_array_set(call->outputs[0], output->dtype, input->rank, input->dims, error);
}

static void cast_floats(const cmf_array *input, cmf_array *output, size_t first, size_t n) {
    double real[CAST_CHUNK];
    cast_load_floats(real, input->data, input->dtype, first, n);
    if (cast_is_float(output->dtype)) {
        for (size_t i = 0; i < n; i++)
            cast_store_float(output->data, output->dtype, first + i, (float)real[i], real[i]);
    } else if (output->dtype == CMF_BOOL) {
        for (size_t i = 0; i < n; i++)
            ((uint8_t *)output->data)[first + i] = real[i] != 0.0;
    } else {
        int64_t whole[CAST_CHUNK];
        for (size_t i = 0; i < n; i++)
            whole[i] = cast_cut(real[i]);
        cast_store_integers(output->data, output->dtype, first, n, whole);
    }
}

static void cast_integers(const cmf_array *input, cmf_array *output, size_t first, size_t n) {
    int64_t whole[CAST_CHUNK];
    cast_load_integers(whole, input->data, input->dtype, first, n);
    if (!cast_is_float(output->dtype)) {
        cast_store_integers(output->data, output->dtype, first, n, whole);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const int large = input->dtype == CMF_U64 && whole[i] < 0;
        const float single = large ? (float)(uint64_t)whole[i] : (float)whole[i];
        const double real = large ? (double)(uint64_t)whole[i] : (double)whole[i];
        cast_store_float(output->data, output->dtype, first + i, single, real);
    }
}

static cmf_status cast_run(const cmf_op_call *call) {
    const cmf_array *input = call->inputs[0];
    cmf_array *output = call->outputs[0];
    const size_t count = cmf_array_count(input);
    if (input->dtype == output->dtype && input->dtype != CMF_BOOL) {
        memmove(output->data, input->data, cmf_array_bytes(input));
        return CMF_OK;
    }
    for (size_t first = 0; first < count; first += CAST_CHUNK) {
        const size_t n = count - first < CAST_CHUNK ? count - first : CAST_CHUNK;
        (cast_is_float(input->dtype) ? cast_floats : cast_integers)(input, output, first, n);
    }
    return CMF_OK;
}

const cmf_op cmf_op_cast = {.name = "Cast", .id = CMF_FB_OP_CAST, .min_inputs = 1, .max_inputs = 1, .outputs = 1,
                            .infer = cast_infer, .run = cast_run, .in_place = 1, .leaves_activation = 1};
