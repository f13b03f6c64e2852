/* base/half.h and base/math.h against the C library's double functions, over a stride of all floats (argument: the stride). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/math.h"

static int failures;

/* Distance in units of the last place of the correctly rounded result. */
static double ulps(float got, double want) {
    float rounded = (float)want;
    if (isnan(want)) return isnan(got) ? 0.0 : 1e9;
    if (isinf(rounded) || isinf(got)) return got == rounded ? 0.0 : 1e9;
    if (fabs(want) < 0x1p-149) return fabs((double)got - want) / 0x1p-149;
    int exponent;
    frexp(want, &exponent);
    double unit = ldexp(1.0, exponent - 24 < -149 ? -149 : exponent - 24);
    return fabs((double)got - want) / unit;
}

static void check(int ok, const char *what, float x, float got, double want) {
    if (ok) return;
    if (failures++ < 20) printf("FAIL %s(%a) = %a, want %a\n", what, (double)x, (double)got, want);
}

typedef struct function {
    const char *name;
    float (*ours)(float);
    double (*theirs)(double);
    double limit; /* ulp */
} function;

static const function functions[] = {
    {"exp", cmf_expf, exp, 2.0},        {"log", cmf_logf, log, 2.0},   {"tanh", cmf_tanhf, tanh, 2.0},
    {"erf", cmf_erff, erf, 2.0},        {"sqrt", cmf_sqrtf, sqrt, 0.5}, {"sqrt_portable", cmf_sqrtf_portable, sqrt, 0.5},
    {"rint", cmf_rintf, rint, 0.0},     {"floor", cmf_floorf, floor, 0.0}, {"ceil", cmf_ceilf, ceil, 0.0},
};

static void check_halves(uint32_t stride) {
    for (uint32_t h = 0; h < 0x10000u; h++) {
        float x = cmf_f16_to_f32((uint16_t)h);
        int exponent = (int)(h >> 10) & 31, mantissa = (int)(h & 1023u);
        double want = exponent == 31 ? (mantissa ? NAN : INFINITY)
                    : exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
        if (h & 0x8000u) want = -want;
        check(isnan(want) ? isnan(x) : (double)x == want && !signbit(x) == !(h & 0x8000u), "f16_to_f32", (float)h, x, want);
        if (!isnan(x)) {
            check(cmf_f32_to_f16(x) == h, "f32_to_f16 of an f16", x, (float)cmf_f32_to_f16(x), (double)h);
            check(isnan(cmf_bf16_to_f32((uint16_t)h)) || cmf_f32_to_bf16(cmf_bf16_to_f32((uint16_t)h)) == h, "bf16", (float)h, 0, 0);
        }
    }
    for (uint64_t u = 0; u < 0x100000000ull; u += stride) {
        float x = cmf_f32_from_bits((uint32_t)u);
        uint16_t h = cmf_f32_to_f16(x), b = cmf_f32_to_bf16(x);
        if (isnan(x)) {
            check(isnan(cmf_f16_to_f32(h)) && isnan(cmf_bf16_to_f32(b)), "half of NaN", x, 0, 0);
            continue;
        }
        /* Neighbours of the result are farther away, and of two as near the even one is taken. */
        double half[3], brain[3];
        for (int k = -1; k <= 1; k++) {
            uint16_t m = (uint16_t)((h & 0x7fffu) + (unsigned)k), n = (uint16_t)((b & 0x7fffu) + (unsigned)k);
            double v = m == 0x7c00u ? 65536.0 : m > 0x7c00u ? 1e30 : (double)cmf_f16_to_f32(m);
            double w = n == 0x7f80u ? 0x1p128 : n > 0x7f80u ? 1e300 : (double)cmf_bf16_to_f32(n);
            half[k + 1] = fabs(fabs((double)x) - v);
            brain[k + 1] = fabs(fabs((double)x) - w);
        }
        if ((h & 0x7fffu) == 0) half[0] = 1e300;
        if ((b & 0x7fffu) == 0) brain[0] = 1e300;
        int even = !(h & 1u), even_brain = !(b & 1u);
        int inf = (h & 0x7fffu) == 0x7c00u, inf_brain = (b & 0x7fffu) == 0x7f80u;
        check(!signbit(x) == !(h & 0x8000u), "sign of f16", x, (float)h, 0);
        if (!inf || fabs((double)x) < 65536.0)
            check((half[1] < half[0] || (half[1] == half[0] && even)) && (half[1] < half[2] || (half[1] == half[2] && even)), "f32_to_f16", x, (float)h, 0);
        else check(fabs((double)x) >= 65520.0, "f32_to_f16 infinity", x, (float)h, 0);
        if (!inf_brain || fabs((double)x) < INFINITY)
            check((brain[1] < brain[0] || (brain[1] == brain[0] && even_brain)) && (brain[1] < brain[2] || (brain[1] == brain[2] && even_brain)), "f32_to_bf16", x, (float)b, 0);
    }
}

int main(int argc, char **argv) {
    uint32_t stride = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 4099u;
    for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++) {
        const function *f = &functions[k];
        double worst = 0.0;
        float at = 0.0f;
        for (uint64_t u = 0; u < 0x100000000ull; u += stride) {
            float x = cmf_f32_from_bits((uint32_t)u);
            double error = ulps(f->ours(x), f->theirs((double)x));
            if (error > worst) { worst = error; at = x; }
        }
        const float ends[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 88.7228394f, 88.8f, -87.4f, -103.9f, -104.5f, 0.5f, -0.5f, 2.5f, 0x1p23f, 8388607.5f};
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            double want = f->theirs((double)ends[i]);
            float got = f->ours(ends[i]);
            check(ulps(got, want) <= f->limit, f->name, ends[i], got, want);
            if (want == 0.0) check(!signbit(got) == !signbit(want), f->name, ends[i], got, want);
        }
        check(worst <= f->limit, f->name, at, f->ours(at), f->theirs((double)at));
        printf("%-14s %.3f ulp at %a\n", f->name, worst, (double)at);
    }
    const float bases[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, -2.0f, 3.0f, 1e-42f, 1e30f, INFINITY, -INFINITY, NAN, 0.999999f, 1.000001f, 65537.0f};
    const float powers[] = {0.0f, -0.0f, 1.0f, -1.0f, 2.0f, 3.0f, 0.5f, -0.5f, 1.0f / 3, 100.25f, -37.0f, 16777216.0f, 1e9f, -1e9f, INFINITY, -INFINITY, NAN};
    double worst = 0.0;
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++)
        for (size_t j = 0; j < sizeof powers / sizeof powers[0]; j++) {
            double want = pow((double)bases[i], (double)powers[j]);
            float got = cmf_powf(bases[i], powers[j]);
            check(ulps(got, want) <= 1.0 && (isnan(want) || !signbit(got) == !signbit(want)), "pow", bases[i], got, want);
        }
    uint32_t random = 1;
    for (int i = 0; i < 300000; i++) {
        random = random * 1664525u + 1013904223u;
        float x = cmf_f32_from_bits(random & 0x7fffffffu);
        random = random * 1664525u + 1013904223u;
        float y = (float)((int32_t)random >> 8) * 0x1p-17f * ((random & 1u) ? 1.0f : 0.01f);
        double error = ulps(cmf_powf(x, y), pow((double)x, (double)y));
        if (error > worst) worst = error;
    }
    check(worst <= 1.0, "pow", 0, 0, worst);
    printf("%-14s %.3f ulp\n", "pow", worst);
    for (int i = -1000; i <= 1000; i++) {
        double x = i / 128.0;
        check(fabs(cmf_cospi(x) - cos(x * 3.14159265358979323846)) < 1e-14 && fabs(cmf_sinpi(x) - sin(x * 3.14159265358979323846)) < 1e-14,
              "cospi, sinpi", (float)x, (float)cmf_cospi(x), cos(x * 3.14159265358979323846));
    }
    check_halves(stride);
    printf(failures ? "%d failures\n" : "ok\n", failures);
    return failures != 0;
}
