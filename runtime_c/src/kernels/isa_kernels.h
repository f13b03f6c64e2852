/* The slots of one instruction set's vector kernels. Every slot of every set is filled.
 *
 * Integer results are the same bits on every set. Float results use the same order of additions everywhere: the sets with
 * vectors multiply and add with one rounding (fma) and agree bit for bit; the scalar set rounds twice and agrees to
 * about 1e-6 of the sum of magnitudes.
 *
 * Rows are given by pointers, so that a convolution reads its taps where they lie (rows of padding: a row of zeros). Activations may be
 * read up to 64 bytes behind their end (kernel.h, cmf_array), and so must scratch that is passed here; weights are read exactly. */
#ifndef CMF_KERNELS_ISA_KERNELS_H
#define CMF_KERNELS_ISA_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/tree.h"
#include "kernels/isa.h"

/* c[row][16 * panel + lane] = act(bias + scale * sum over taps t, inputs i < n of a[t][row][i] * w[panel][t * n + i][lane]) */
typedef struct cmf_gemm {
    void *const *a;     /* row r of tap t: a[t * a_tap + r], a pointer to at least a_offset + n elements */
    size_t a_tap;
    size_t a_offset;    /* in elements */
    uint32_t rows, taps, n;
    uint32_t panels;
    uint32_t lanes;     /* outputs of the last panel, 1..16; the panels before it have 16 */
    const void *w;      /* f32: lines of 16 lanes. i8: lines [16][4] of four inputs; each tap begins a line; what a[] holds
                           beyond n in the last line of a tap must meet zero codes */
    size_t w_line;      /* f32: elements from line to line */
    size_t w_panel;     /* elements from panel to panel */
    void *const *c;     /* row r: c[r], written from element c_offset on */
    size_t c_offset;
    int accumulate;     /* the sum starts from c instead of 0 */
    const float *scale; /* [panels * 16]; gemm_q8_f32 only */
    const float *bias;  /* as many as there are outputs; NULL: 0 */
    float low, high;    /* the activation: a result below low becomes low, above high becomes high */
} cmf_gemm;

/* c[row][lane] = act(bias[lane] + sum over taps t of a[t][row][a_offset + lane] * w[t][lane]): 16 channels are the lanes. */
typedef struct cmf_depthwise {
    void *const *a; /* row r of tap t: a[t * a_tap + r], with 16 readable elements from a_offset on */
    size_t a_tap;
    size_t a_offset;
    uint32_t rows, taps; /* dw_i8: taps is a multiple of 4 */
    uint32_t lanes;
    const void *w;  /* f32 [taps][16], or i8 lines [taps / 4][16][4] */
    void *const *c; /* dw_i8: c is i32 [rows][16] in one piece: c[0] */
    size_t c_offset;
    int accumulate;
    const float *bias;
    float low, high;
} cmf_depthwise;

/* c[row][c_offset + lane] = clamp(rne((float)(acc[row][lane] + bias[lane]) * m[lane]) + zero); FORMAT.md 5.2, f32_rne. */
typedef struct cmf_sums_to_i8 {
    const int32_t *acc; /* [rows][16] */
    const int32_t *bias; /* [16] */
    const float *m;     /* [16] */
    uint32_t rows, lanes;
    int32_t zero, low, high; /* low <= high, within i8 */
    void *const *c;
    size_t c_offset;
} cmf_sums_to_i8;

/* c[row][c_offset + lane] = act((float)acc[row][lane] * (row_scale[row] * scale[lane]) + bias[lane]). */
typedef struct cmf_sums_to_f32 {
    const int32_t *acc;     /* [rows][16] */
    const float *row_scale; /* [rows] */
    const float *scale;     /* [16] */
    const float *bias;      /* [16] */
    float low, high;
    uint32_t rows, lanes;
    void *const *c;
    size_t c_offset;
} cmf_sums_to_f32;

struct cmf_isa_kernels {
    cmf_isa level;
    const char *name;
    /* Float by float lines. */
    void (*gemm_f32)(const cmf_gemm *g);
    /* Float by lines of i8 codes, turned into floats on the way; not accumulating. For few rows. */
    void (*gemm_q8_f32)(const cmf_gemm *g);
    /* i8 by i8 lines; c is i32 [panels][rows][16] in one piece, c[0]; more than one panel only for one row. bias, low and high are not
     * used. */
    void (*gemm_i8)(const cmf_gemm *g);
    void (*dw_f32)(const cmf_depthwise *d);
    void (*dw_i8)(const cmf_depthwise *d);
    void (*sums_to_i8)(const cmf_sums_to_i8 *q);
    void (*sums_to_f32)(const cmf_sums_to_f32 *q);
    /* The largest magnitude of n floats; not a number counts as 0. */
    float (*absmax)(const float *x, size_t n);
    /* q = rne(x / scale), within -127..127 (not a number: -127); scale > 0. */
    void (*quantize)(const float *x, size_t n, float scale, int8_t *q);
    /* F(2x2, 3x3) and F(4x4, 3x3) by `tile`, over channels: v[position][channel] = B^T d B, d by (tile + 2)^2 pointers. */
    void (*winograd_input)(uint32_t tile, void *const *d, uint32_t channels, float *v, size_t v_position);
    /* y[pixel][c_offset + lane] = act(A^T m A + bias), m[position][lane]; a NULL pixel is not wanted. */
    void (*winograd_output)(uint32_t tile, const float *m, size_t m_position, uint32_t lanes, const float *bias, float low,
                            float high, void *const *y, size_t c_offset);
};

#define CMF_LINE_BYTES 64u

#if defined(__has_feature)
#  define CMF_HAS_FEATURE(x) __has_feature(x)
#else
#  define CMF_HAS_FEATURE(x) 0
#endif
/* CMF_UNROLL: before a loop of constant length over registers. Not under sanitizers, whose checks of every access would then take
 * minutes to compile. */
#if defined(__GNUC__)
#  define CMF_INLINE static inline __attribute__((always_inline))
#else
#  define CMF_INLINE static inline
#endif
#if defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && !CMF_HAS_FEATURE(address_sanitizer)
#  define CMF_UNROLL _Pragma("GCC unroll 64")
#else
#  define CMF_UNROLL
#endif

extern const cmf_isa_kernels cmf_isa_scalar;
#if defined(__x86_64__) && defined(__GNUC__) && !defined(CMF_NO_VECTORS)
#  define CMF_HAVE_X86 1
extern const cmf_isa_kernels cmf_isa_avx2, cmf_isa_avx512;
#elif defined(__aarch64__) && defined(__GNUC__) && !defined(CMF_NO_VECTORS)
#  define CMF_HAVE_NEON 1
extern const cmf_isa_kernels cmf_isa_neon, cmf_isa_neon_dot;
#endif

#endif
