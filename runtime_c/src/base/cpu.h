/* What the processor and the operating system offer. */
#ifndef CMF_BASE_CPU_H
#define CMF_BASE_CPU_H

#include <stdint.h>

/* Bit k: level k of cmf_isa can run here (whether or not it was compiled in). Bit 0 is always set. */
uint32_t cmf_cpu_levels(void);

#endif
