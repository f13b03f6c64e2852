/* f16 and bf16 to f32 and back, in integer arithmetic: exact upwards, round to nearest even downwards, on every machine. */
#ifndef CMF_BASE_HALF_H
#define CMF_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t cmf_f32_bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
static inline float cmf_f32_from_bits(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

/* Exact; NaNs stay NaNs, with their payload. */
static inline float cmf_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t magnitude = (uint32_t)(h & 0x7fffu) << 13;
    /* The f16 exponent read as an f32 exponent is 112 too small; the product is exact, for subnormal halves too. */
    uint32_t bits = cmf_f32_bits(cmf_f32_from_bits(magnitude) * 0x1p112f);
    uint32_t special = 0u - (uint32_t)(magnitude >= 0x0f800000u); /* infinity and NaN keep their mantissa */
    return cmf_f32_from_bits(sign | bits | (special & 0x7f800000u));
}

/* Nearest, ties to even; beyond 65519.996 becomes infinity; NaN becomes a quiet NaN. */
static inline uint16_t cmf_f32_to_f16(float x) {
    uint32_t u = cmf_f32_bits(x);
    uint32_t sign = (u >> 16) & 0x8000u;
    u &= 0x7fffffffu;
    uint32_t h;
    if (u > 0x7f800000u) {
        h = 0x7e00u | ((u >> 13) & 0x03ffu);
    } else if (u >= 0x477ff000u) { /* 65520 and above */
        h = 0x7c00u;
    } else if (u >= 0x38800000u) { /* normal: 2^-14 and above */
        h = (u + 0x0fffu + ((u >> 13) & 1u) - 0x38000000u) >> 13;
    } else { /* subnormal: adding 1/2 leaves a multiple of 2^-24, rounded by the addition, in the low bits */
        h = cmf_f32_bits(cmf_f32_from_bits(u) + 0.5f) - 0x3f000000u;
    }
    return (uint16_t)(sign | h);
}

/* Exact. */
static inline float cmf_bf16_to_f32(uint16_t h) { return cmf_f32_from_bits((uint32_t)h << 16); }

/* Nearest, ties to even; NaN becomes a quiet NaN. */
static inline uint16_t cmf_f32_to_bf16(float x) {
    uint32_t u = cmf_f32_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x0040u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

#endif
