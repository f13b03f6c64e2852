/* The ladder of instruction sets. */
#include "kernels/isa.h"

#include "base/cpu.h"
#include "kernels/isa_kernels.h"

/* Highest first: of the sets of one processor family a later one is better. */
static const cmf_isa_kernels *const isa_ladder[] = {
#if defined(CMF_HAVE_X86)
    &cmf_isa_avx512, &cmf_isa_avx2,
#elif defined(CMF_HAVE_NEON)
    &cmf_isa_neon_dot, &cmf_isa_neon,
#endif
    &cmf_isa_scalar,
};

static const char *const isa_names[CMF_ISA_COUNT] = {"scalar", "avx2", "avx512", "neon", "neon_dot"};

const cmf_isa_kernels *cmf_isa_select(uint32_t mask) {
    uint32_t levels = cmf_cpu_levels();
    if (mask != 0)
        levels &= mask;
    for (size_t k = 0; k < sizeof isa_ladder / sizeof *isa_ladder; k++)
        if (levels >> isa_ladder[k]->level & 1u)
            return isa_ladder[k];
    return &cmf_isa_scalar;
}

uint32_t cmf_isa_available(void) {
    uint32_t compiled = 0;
    for (size_t k = 0; k < sizeof isa_ladder / sizeof *isa_ladder; k++)
        compiled |= 1u << isa_ladder[k]->level;
    return compiled & cmf_cpu_levels();
}

const char *cmf_isa_name(cmf_isa isa) {
    return (unsigned)isa < CMF_ISA_COUNT ? isa_names[isa] : NULL;
}
