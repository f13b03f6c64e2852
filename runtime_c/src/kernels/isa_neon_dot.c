/* NEON of AArch64 with sdot (Armv8.2 DotProd). */
#include "kernels/isa_kernels.h"

#if defined(CMF_HAVE_NEON)

#include <arm_neon.h>

#if defined(__clang__)
#  pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#  pragma GCC push_options
#  pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#define CMF_SIMD(name) name##_neon_dot
#define CMF_SIMD_NEON
#define CMF_SIMD_DOT
#define CMF_SIMD_LEVEL CMF_ISA_NEON_DOT
#define CMF_SIMD_NAME "neon_dot"
#define CMF_GEMM_ROWS 6
#define CMF_DOT_ROWS 6
#define CMF_GEMM_INPUTS 1
#include "kernels/isa_table.inc.h"

#if defined(__clang__)
#  pragma clang attribute pop
#else
#  pragma GCC pop_options
#endif

#endif
