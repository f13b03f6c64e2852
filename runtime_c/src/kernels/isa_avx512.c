/* AVX-512 with VNNI, VBMI and VBMI2. */
#include "kernels/isa_kernels.h"

#if defined(CMF_HAVE_X86)

#include <immintrin.h>

#if defined(__clang__)
#  pragma clang attribute push(__attribute__((target( \
        "avx2,fma,f16c,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx512vbmi2"))), apply_to = function)
#else
#  pragma GCC push_options
#  pragma GCC target( \
        "avx2,fma,f16c,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx512vbmi2")
#endif

#define CMF_SIMD(name) name##_avx512
#define CMF_SIMD_AVX512
#define CMF_SIMD_LEVEL CMF_ISA_AVX512
#define CMF_SIMD_NAME "avx512"
#define CMF_GEMM_ROWS 14
#define CMF_DOT_ROWS 14
#define CMF_GEMM_INPUTS 4
#include "kernels/isa_table.inc.h"

#if defined(__clang__)
#  pragma clang attribute pop
#else
#  pragma GCC pop_options
#endif

#endif
