/* The kernels of one set and its table: the end of every isa_<name>.c with vectors. */
#include "kernels/simd.h"

#include "kernels/winograd_transforms.inc.h"
#include "kernels/gemm_kernels.inc.h"
#include "kernels/depthwise_kernels.inc.h"
#include "kernels/row_kernels.inc.h"

const cmf_isa_kernels CMF_SIMD(cmf_isa) = {
    .level = CMF_SIMD_LEVEL, .name = CMF_SIMD_NAME,
    .gemm_f32 = CMF_SIMD(gemm_f32), .gemm_q8_f32 = CMF_SIMD(gemm_q8_f32), .gemm_i8 = CMF_SIMD(gemm_i8),
    .dw_f32 = CMF_SIMD(dw_f32), .dw_i8 = CMF_SIMD(dw_i8),
    .sums_to_i8 = CMF_SIMD(sums_to_i8), .sums_to_f32 = CMF_SIMD(sums_to_f32),
    .absmax = CMF_SIMD(absmax), .quantize = CMF_SIMD(quantize),
    .winograd_input = CMF_SIMD(winograd_input), .winograd_output = CMF_SIMD(winograd_output),
};

#include "kernels/simd_end.h"
