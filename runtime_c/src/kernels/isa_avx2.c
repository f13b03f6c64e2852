/* AVX2 with FMA and F16C. */
#include "kernels/isa_kernels.h"

#if defined(CMF_HAVE_X86)

#include <immintrin.h>

#if defined(__clang__)
#  pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2,popcnt"))), apply_to = function)
#else
#  pragma GCC push_options
#  pragma GCC target("avx2,fma,f16c,bmi2,popcnt")
#endif

#define CMF_SIMD(name) name##_avx2
#define CMF_SIMD_AVX2
#define CMF_SIMD_LEVEL CMF_ISA_AVX2
#define CMF_SIMD_NAME "avx2"
#define CMF_GEMM_ROWS 6
#define CMF_DOT_ROWS 4
#define CMF_GEMM_INPUTS 1
#include "kernels/isa_table.inc.h"

#if defined(__clang__)
#  pragma clang attribute pop
#else
#  pragma GCC pop_options
#endif

#endif
