#include "base/math.h"

float cmf_sqrtf_portable(float x) {
    uint32_t u = cmf_f32_bits(x);
    if ((u & 0x7fffffffu) == 0 || u == CMF_INFINITY_BITS) return x;
    if (u > CMF_INFINITY_BITS) return cmf_isnanf(x) ? x : cmf_nanf();
    int32_t exponent = (int32_t)(u >> 23) - 127;
    uint32_t mantissa = u & 0x7fffffu;
    if (exponent == -127) { /* subnormal */
        exponent = -126;
        while (!(mantissa & 0x800000u)) { mantissa <<= 1; exponent--; }
    }
    mantissa |= 0x800000u;
    if (exponent & 1) { mantissa <<= 1; exponent--; }
    /* Digit by digit: 25 bits of the root of mantissa * 2^25 (23 after the point, one to round by), the remainder sticky. */
    uint64_t rest = (uint64_t)mantissa << 25, root = 0;
    for (uint64_t bit = (uint64_t)1 << 48; bit; bit >>= 2) {
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    uint32_t rounded = (uint32_t)(root >> 1) + (uint32_t)((root & 1) && (rest || (root & 2)));
    return cmf_f32_from_bits(rounded + ((uint32_t)(exponent / 2 + 126) << 23));
}

/* log(2^e m) with m in [sqrt(1/2), sqrt(2)): a polynomial in m - 1. */
float cmf_logf(float x) {
    uint32_t u = cmf_f32_bits(x);
    if ((u & 0x7fffffffu) == 0) return -cmf_inff();
    if (u >= CMF_INFINITY_BITS) return u == CMF_INFINITY_BITS || cmf_isnanf(x) ? x : cmf_nanf();
    int32_t exponent = 0;
    if (u < 0x00800000u) { u = cmf_f32_bits(x * 0x1p25f); exponent = -25; }
    uint32_t shifted = u - 0x3f3504f3u; /* sqrt(1/2) */
    exponent += (int32_t)shifted >> 23;
    float f = cmf_f32_from_bits((shifted & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
    float z = f * f;
    float p = 6.746601313352585e-2f;
    p = p * f - 1.1675640940666199e-1f;
    p = p * f + 1.1888174712657928e-1f;
    p = p * f - 1.2405591458082199e-1f;
    p = p * f + 1.4219550788402557e-1f;
    p = p * f - 1.666799634695053e-1f;
    p = p * f + 2.000211924314499e-1f;
    p = p * f - 2.5000008940696716e-1f;
    p = p * f + 3.333331346511841e-1f;
    float e = (float)exponent;
    p = p * f * z + e * -2.12194440e-4f;
    return ((p - 0.5f * z) + f) + e * 0.693359375f;
}

/* log2 of a positive finite x, within 1e-15 relative: the series of 2 atanh((m - 1) / (m + 1)). */
static double math_log2(float x) {
    uint32_t u = cmf_f32_bits(x);
    int32_t exponent = 0;
    if (u < 0x00800000u) { u = cmf_f32_bits(x * 0x1p25f); exponent = -25; }
    uint32_t shifted = u - 0x3f3504f3u;
    exponent += (int32_t)shifted >> 23;
    double m = (double)cmf_f32_from_bits((shifted & 0x7fffffu) + 0x3f3504f3u);
    double s = (m - 1.0) / (m + 1.0), z = s * s, sum = 0.0;
    for (int k = 21; k >= 1; k -= 2) sum = sum * z + 1.0 / k;
    return (double)exponent + 2.8853900817779268 * s * sum; /* 2 / ln 2 */
}

/* 2^t as f32. */
static float math_exp2(double t) {
    if (t >= 129.0) return cmf_inff();
    if (t < -151.0) return 0.0f;
    int32_t n = (int32_t)(t < 0.0 ? t - 0.5 : t + 0.5);
    double r = (t - n) * 0.69314718055994531, sum = 1.0;
    for (int k = 13; k >= 1; k--) sum = 1.0 + sum * r / k;
    uint64_t bits = (uint64_t)(n + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, 8);
    double y = sum * scale;
    return y >= 0x1.ffffffp127 ? cmf_inff() : (float)y;
}

float cmf_powf(float x, float y) {
    if (x == 1.0f || y == 0.0f) return 1.0f;
    if (cmf_isnanf(x) || cmf_isnanf(y)) return cmf_nanf();
    float a = cmf_absf(x), ay = cmf_absf(y);
    int whole = cmf_rintf(y) == y;
    int odd = whole && ay < 0x1p24f && ((uint32_t)ay & 1u);
    if (a == 1.0f && ay == cmf_inff()) return 1.0f;
    int negative = (cmf_f32_bits(x) >> 31) && odd;
    float result;
    if (a == 0.0f || a == cmf_inff() || ay == cmf_inff()) {
        result = (a > 1.0f) == (y > 0.0f) ? cmf_inff() : 0.0f;
    } else {
        if (x < 0.0f && !whole) return cmf_nanf();
        result = math_exp2((double)y * math_log2(a));
    }
    return negative ? -result : result;
}

/* Taylor series on |x| <= 1/4 after taking away quarter turns. */
static double math_cos_quarter(double x) {
    double z = (x * 3.14159265358979323846) * (x * 3.14159265358979323846), sum = 1.0;
    for (int k = 18; k >= 2; k -= 2) sum = 1.0 - sum * z / (k * (k - 1));
    return sum;
}
static double math_sin_quarter(double x) {
    double a = x * 3.14159265358979323846, z = a * a, sum = 1.0;
    for (int k = 19; k >= 3; k -= 2) sum = 1.0 - sum * z / (k * (k - 1));
    return a * sum;
}

double cmf_cospi(double x) {
    if (x < 0.0) x = -x;
    int64_t quarters = (int64_t)(2.0 * x + 0.5);
    double r = x - 0.5 * (double)quarters;
    switch (quarters & 3) {
        case 0: return math_cos_quarter(r);
        case 1: return -math_sin_quarter(r);
        case 2: return -math_cos_quarter(r);
        default: return math_sin_quarter(r);
    }
}

double cmf_sinpi(double x) { return cmf_cospi(x - 0.5); }
