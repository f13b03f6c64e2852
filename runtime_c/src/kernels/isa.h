/* The vector kernels of one instruction set. Each set is one file isa_<name>.c that includes the same sources over simd.h;
 * the scalar set is always there, is the meaning, and fills every slot. Higher sets override slot by slot. */
#ifndef CMF_KERNELS_ISA_H
#define CMF_KERNELS_ISA_H

#include "cmf.h"

typedef struct cmf_isa_kernels cmf_isa_kernels; /* slots: kernels/isa_kernels.h */

/* The best level allowed by mask (0: any) on this processor. */
const cmf_isa_kernels *cmf_isa_select(uint32_t mask);

#endif
