/* QuantizeLinear and DequantizeLinear: scale and zero point are the i8 value's affine. */
#include "kernels/array.h"

static cmf_status quantize_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *input = call->inputs[0];
    const cmf_array *output = call->outputs[0];
    CMF_REQUIRE(input->dtype == CMF_F32, CMF_E_DTYPE, "the input is %s, not f32", cmf_dtype_name(input->dtype));
    CMF_REQUIRE(output->dtype == CMF_I8 && output->has_affine, CMF_E_DTYPE, "the output is not i8 with a scale");
    return cmf_array_set(call->outputs[0], CMF_I8, input->rank, input->dims, error);
}

static cmf_status dequantize_infer(const cmf_op_call *call) {
    cmf_error *error = call->error;
    const cmf_array *input = call->inputs[0];
    CMF_REQUIRE(input->dtype == CMF_I8 && input->has_affine, CMF_E_DTYPE, "the input is not i8 with a scale");
    return cmf_array_set(call->outputs[0], CMF_F32, input->rank, input->dims, error);
}

static void quantize_range(void *context, size_t first, size_t last, uint32_t thread) {
    const cmf_op_call *call = context;
    const cmf_array *input = call->inputs[0], *output = call->outputs[0];
    (void)thread;
    cmf_quantize((const float *)input->data + first, last - first, output->scale, output->zero_point,
                 (int8_t *)output->data + first);
}

static void dequantize_range(void *context, size_t first, size_t last, uint32_t thread) {
    const cmf_op_call *call = context;
    const cmf_array *input = call->inputs[0], *output = call->outputs[0];
    (void)thread;
    cmf_dequantize((const int8_t *)input->data + first, last - first, input->scale, input->zero_point,
                   (float *)output->data + first);
}

static cmf_status quantize_run(const cmf_op_call *call) {
    cmf_op_call copy = *call;
    cmf_workers_range(call->workers, cmf_array_count(call->inputs[0]), cmf_grain(1), quantize_range, &copy);
    return CMF_OK;
}

static cmf_status dequantize_run(const cmf_op_call *call) {
    cmf_op_call copy = *call;
    cmf_workers_range(call->workers, cmf_array_count(call->inputs[0]), cmf_grain(1), dequantize_range, &copy);
    return CMF_OK;
}

const cmf_op cmf_op_quantize_linear = {.name = "QuantizeLinear", .id = CMF_FB_OP_QUANTIZELINEAR, .min_inputs = 1,
                                       .max_inputs = 1, .outputs = 1, .infer = quantize_infer, .run = quantize_run,
                                       .leaves_activation = 1};
const cmf_op cmf_op_dequantize_linear = {.name = "DequantizeLinear", .id = CMF_FB_OP_DEQUANTIZELINEAR, .min_inputs = 1,
                                         .max_inputs = 1, .outputs = 1, .infer = dequantize_infer, .run = dequantize_run,
                                         .leaves_activation = 1};
