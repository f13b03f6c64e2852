/* Elementary functions in f32, the same bits on every machine: results never hang on a libc. What loops call is inline
 * and free of branches, so that it vectorises; the rest is in math.c.
 *
 * Errors against the exact value, checked over all or many arguments by tests/c/test_math.c: exp, log, tanh, erf within
 * 2 ulp; pow within 1 ulp; sqrt, floor, ceil, rint exact (correctly rounded). NaN gives NaN. Ends: exp(-inf) = 0, exp(inf) = inf,
 * log(0) = -inf, log(x < 0) = NaN, log(inf) = inf, tanh and erf of -inf and inf are -1 and 1, sqrt(x < 0) = NaN,
 * pow as in IEEE 754 (pow(x, 0) = pow(1, y) = 1). Nothing traps and nothing sets errno. */
#ifndef CMF_BASE_MATH_H
#define CMF_BASE_MATH_H

#include <float.h>

#include "base/half.h"

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 2
#  error "float arithmetic has excess precision here; compile with -mfpmath=sse -msse2"
#endif

#if defined(__SSE__)
#  include <xmmintrin.h>
#endif

#define CMF_INFINITY_BITS 0x7f800000u
static inline float cmf_inff(void) { return cmf_f32_from_bits(CMF_INFINITY_BITS); }
static inline float cmf_nanf(void) { return cmf_f32_from_bits(0x7fc00000u); }
static inline int cmf_isnanf(float x) { return x != x; }
static inline int cmf_isfinitef(float x) { return (cmf_f32_bits(x) & CMF_INFINITY_BITS) != CMF_INFINITY_BITS; }
static inline float cmf_absf(float x) { return cmf_f32_from_bits(cmf_f32_bits(x) & 0x7fffffffu); }
static inline float cmf_copysignf(float magnitude, float sign) {
    return cmf_f32_from_bits((cmf_f32_bits(magnitude) & 0x7fffffffu) | (cmf_f32_bits(sign) & 0x80000000u));
}

/* Nearest integer, ties to even. */
static inline float cmf_rintf(float x) {
    float a = cmf_absf(x);
    float r = (a + 0x1p23f) - 0x1p23f; /* the addition rounds to an integer */
    return cmf_copysignf(a < 0x1p23f ? r : a, x);
}
static inline float cmf_floorf(float x) {
    float r = cmf_rintf(x);
    return r > x ? r - 1.0f : r;
}
static inline float cmf_ceilf(float x) {
    float r = cmf_rintf(x);
    return cmf_copysignf(r < x ? r + 1.0f : r, x);
}

/* e^x = 2^n e^r with |r| <= ln(2)/2; a polynomial for e^r, 2^n in two factors so that subnormal results come out right. */
static inline float cmf_expf(float x) {
    float c = x == x ? x : 0.0f;
    c = c < -104.0f ? -104.0f : c;
    c = c > 89.0f ? 89.0f : c;
    float n = (c * 1.44269504f + 0x1.8p23f) - 0x1.8p23f;
    float r = (c - n * 0.693359375f) - n * -2.12194440e-4f; /* ln 2 in two parts; the first product is exact */
    float p = 1.3813142431899905e-3f;
    p = p * r + 8.369418792426586e-3f;
    p = p * r + 4.166845604777336e-2f;
    p = p * r + 1.6666515171527863e-1f;
    p = p * r + 0.5f;
    p = p * (r * r) + r;
    p = p + 1.0f;
    int32_t exponent = (int32_t)n;
    int32_t half = exponent / 2;
    float high = cmf_f32_from_bits((uint32_t)(half + 127) << 23);
    float low = cmf_f32_from_bits((uint32_t)(exponent - half + 127) << 23);
    p = p * high * low;
    return x == x ? p : x;
}

/* Near 0 an odd polynomial; elsewhere 1 - 2 / (e^(2|x|) + 1). */
static inline float cmf_tanhf(float x) {
    float a = cmf_absf(x);
    float z = x * x;
    float p = -5.717036779969931e-3f;
    p = p * z + 2.0650578662753105e-2f;
    p = p * z - 5.374349653720856e-2f;
    p = p * z + 1.3331490755081177e-1f;
    p = p * z - 3.333328366279602e-1f;
    p = p * z * x + x;
    float e = 1.0f - 2.0f / (cmf_expf(a + a) + 1.0f);
    return cmf_copysignf(a < 0.625f ? p : e, x);
}

/* Near 0 an odd polynomial; elsewhere 1 - e^-g(|x|) with a polynomial g = -log(1 - erf). */
static inline float cmf_erff(float x) {
    float a = cmf_absf(x);
    float z = x * x;
    float p = 8.382384112337604e-5f;
    p = p * z - 8.145595784299076e-4f;
    p = p * z + 5.20128570497036e-3f;
    p = p * z - 2.6859499514102936e-2f;
    p = p * z + 1.1283697187900543e-1f;
    p = p * z - 3.7612634897232056e-1f;
    p = p * z + 1.2837916612625122e-1f;
    p = p * x + x;
    float c = a > 4.0f ? 4.0f : a;
    float g = 2.0828618289669976e-5f;
    g = g * c - 4.313935642130673e-4f;
    g = g * c + 4.156254697591066e-3f;
    g = g * c - 2.5080615654587746e-2f;
    g = g * c + 1.0822038352489471e-1f;
    g = g * c + 6.334008574485779e-1f;
    g = g * c + 1.1294883489608765f;
    g = g * c - 1.692051300778985e-4f;
    float e = 1.0f - cmf_expf(-g);
    return cmf_copysignf(a < 0.92f ? p : e, x);
}

/* Correctly rounded: the instruction where there is one, integer arithmetic elsewhere. */
float cmf_sqrtf_portable(float x);
static inline float cmf_sqrtf(float x) {
#if defined(__SSE__)
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
#elif defined(__aarch64__) && defined(__GNUC__)
    float y;
    __asm__("fsqrt %s0, %s1" : "=w"(y) : "w"(x));
    return y;
#elif defined(__ARM_FP) && (__ARM_FP & 4) && defined(__GNUC__)
    float y;
    __asm__("vsqrt.f32 %0, %1" : "=t"(y) : "t"(x));
    return y;
#elif defined(__riscv_flen) && defined(__GNUC__)
    float y;
    __asm__("fsqrt.s %0, %1" : "=f"(y) : "f"(x));
    return y;
#else
    return cmf_sqrtf_portable(x);
#endif
}

float cmf_logf(float x);
float cmf_powf(float x, float y);

/* cos(pi x) and sin(pi x) for |x| < 2^31, within 1e-15. */
double cmf_cospi(double x);
double cmf_sinpi(double x);

#endif
