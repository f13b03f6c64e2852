#include "base/cpu.h"

#include "cmf.h"

#if !defined(CMF_FREESTANDING) && defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))

#include <cpuid.h>

/* XCR0: which registers the operating system saves. */
static uint32_t cpu_saved_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int cpu_has(uint32_t word, uint32_t bits) {
    return (word & bits) == bits;
}

uint32_t cmf_cpu_levels(void) {
    const uint32_t ymm = 0x6u, zmm = 0xE6u; /* of XCR0 */
    uint32_t levels = 1u << CMF_ISA_SCALAR;
    uint32_t a, b, c, d, c1;
    if (!__get_cpuid(1, &a, &b, &c1, &d) || !cpu_has(c1, bit_OSXSAVE))
        return levels;
    uint32_t saved = cpu_saved_state();
    if (!cpu_has(saved, ymm) || !cpu_has(c1, bit_AVX | bit_FMA | bit_F16C | bit_POPCNT))
        return levels;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !cpu_has(b, bit_AVX2 | bit_BMI2))
        return levels;
    levels |= 1u << CMF_ISA_AVX2;
    if (cpu_has(saved, zmm) && cpu_has(b, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) &&
        cpu_has(c, bit_AVX512VBMI | bit_AVX512VBMI2 | bit_AVX512VNNI))
        levels |= 1u << CMF_ISA_AVX512;
    return levels;
}

#elif !defined(CMF_FREESTANDING) && defined(__aarch64__) && defined(__linux__)

#include <sys/auxv.h>

uint32_t cmf_cpu_levels(void) {
    const unsigned long dot_product = 1ul << 20; /* HWCAP_ASIMDDP */
    uint32_t levels = 1u << CMF_ISA_SCALAR | 1u << CMF_ISA_NEON;
    if (getauxval(AT_HWCAP) & dot_product)
        levels |= 1u << CMF_ISA_NEON_DOT;
    return levels;
}

#elif !defined(CMF_FREESTANDING) && defined(__aarch64__) && defined(__APPLE__)

uint32_t cmf_cpu_levels(void) { /* every Apple processor of this architecture has both */
    return 1u << CMF_ISA_SCALAR | 1u << CMF_ISA_NEON | 1u << CMF_ISA_NEON_DOT;
}

#else

uint32_t cmf_cpu_levels(void) {
    return 1u << CMF_ISA_SCALAR;
}

#endif
