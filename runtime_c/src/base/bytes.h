/* Reading bytes that somebody else wrote: little-endian loads that need no alignment, and sums that notice overflow. */
#ifndef CMF_BASE_BYTES_H
#define CMF_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Weights are computed from the file's own bytes, so the host has to have the file's byte order. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#  error "CMF runs on little-endian hosts only"
#endif

#define CMF_DEFINE_LOAD(name, type) \
    static inline type cmf_load_##name(const void *p) { type v; memcpy(&v, p, sizeof v); return v; }
CMF_DEFINE_LOAD(u8, uint8_t)
CMF_DEFINE_LOAD(i8, int8_t)
CMF_DEFINE_LOAD(u16, uint16_t)
CMF_DEFINE_LOAD(i16, int16_t)
CMF_DEFINE_LOAD(u32, uint32_t)
CMF_DEFINE_LOAD(i32, int32_t)
CMF_DEFINE_LOAD(u64, uint64_t)
CMF_DEFINE_LOAD(i64, int64_t)
CMF_DEFINE_LOAD(f32, float)
#undef CMF_DEFINE_LOAD

/* *sum = a + b; returns 0 where that does not fit. */
static inline int cmf_add_u64(uint64_t a, uint64_t b, uint64_t *sum) {
    *sum = a + b;
    return *sum >= a;
}

/* *product = a * b; returns 0 where that does not fit. */
static inline int cmf_mul_u64(uint64_t a, uint64_t b, uint64_t *product) {
    *product = a * b;
    return b == 0u || a <= UINT64_MAX / b;
}

/* Rounds up to a power of two; wraps beyond 2^64 - alignment (check the size first). */
static inline uint64_t cmf_round_up(uint64_t n, uint64_t alignment) { return (n + alignment - 1u) & ~(alignment - 1u); }

/* Are all bytes zero? */
static inline int cmf_all_zero(const uint8_t *p, size_t n) {
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) any = (uint8_t)(any | p[i]);
    return any == 0;
}

/* Not NaN, not infinite; needs no libm and survives -ffast-math. */
static inline int cmf_is_finite(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

#endif
