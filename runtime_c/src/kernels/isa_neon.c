/* NEON of AArch64, without the dot product. */
#include "kernels/isa_kernels.h"

#if defined(CMF_HAVE_NEON)

#define CMF_SIMD(name) name##_neon
#define CMF_SIMD_NEON
#define CMF_SIMD_LEVEL CMF_ISA_NEON
#define CMF_SIMD_NAME "neon"
#define CMF_GEMM_ROWS 6
#define CMF_DOT_ROWS 4
#define CMF_GEMM_INPUTS 1
#include "kernels/isa_table.inc.h"

#endif
