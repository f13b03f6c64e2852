/* The vector vocabulary. A file isa_<name>.c defines CMF_SIMD(name), which appends the set's suffix, and one of CMF_SIMD_AVX512,
 * CMF_SIMD_AVX2, CMF_SIMD_NEON (with CMF_SIMD_DOT where sdot is there); includes this file; then the kernel sources; then
 * simd_end.h. Everything is included again for each set, so nothing here is guarded.
 *
 * A register holds V_LANES floats or i32; V_REGS of them hold the 16 lanes of a panel. v_f32 and v_i32 have + - * of their own
 * (GNU vector extensions: each operation rounds once; compile with -ffp-contract=off); v_fma is the only fused operation.
 *
 *   v_load_n, v_store_n     the first n lanes only: n <= 0 touches no memory, n >= V_LANES all of it
 *   v_raise(x, low)         x < low ? low : x, so not a number stays; v_cap likewise
 *   v_at_least(x, low)      x > low ? x : low, so not a number becomes low; v_at_most likewise
 *   v_round                 to i32, nearest, ties to even; |x| < 2^31
 *   v_i32                   two's complement, but unsigned to the compiler: + - * wrap
 *   v_byte(line, k)         bytes k of sixteen words [lane][4] as numbers times 2^24 (one shift or mask less); with V_BYTE_UNIT = 2^-24
 *
 * The 4-way dot of i8: acc[lane] += sum over k < 4 of w[lane][k] * x[lane][k], exact, modulo 2^32.
 *   v_line  a line [16][4] of weights;  v_word  four inputs for all lanes, or a line of inputs: v_zip of 16 channels of four taps.
 *   Where an instruction wants one side unsigned (V_DOT_FLIPPED), a v_word holds x + 128: subtract 128 times the sum of the weights. */

#if defined(CMF_SIMD_AVX512) || defined(CMF_SIMD_AVX2)
#  include <immintrin.h>
#else
#  include <arm_neon.h>
#endif
#include <string.h>

#define v_f32 CMF_SIMD(v_f32)
#define v_i32 CMF_SIMD(v_i32)
#define v_line CMF_SIMD(v_line)
#define v_word CMF_SIMD(v_word)
#define v_wide CMF_SIMD(v_wide)
#define v_set CMF_SIMD(v_set)
#define v_load CMF_SIMD(v_load)
#define v_load_n CMF_SIMD(v_load_n)
#define v_store CMF_SIMD(v_store)
#define v_store_n CMF_SIMD(v_store_n)
#define v_fma CMF_SIMD(v_fma)
#define v_abs CMF_SIMD(v_abs)
#define v_raise CMF_SIMD(v_raise)
#define v_cap CMF_SIMD(v_cap)
#define v_at_least CMF_SIMD(v_at_least)
#define v_at_most CMF_SIMD(v_at_most)
#define v_round CMF_SIMD(v_round)
#define v_float CMF_SIMD(v_float)
#define v_set_i32 CMF_SIMD(v_set_i32)
#define v_load_i32 CMF_SIMD(v_load_i32)
#define v_store_i32 CMF_SIMD(v_store_i32)
#define v_byte CMF_SIMD(v_byte)
#define v_load_line CMF_SIMD(v_load_line)
#define v_load_word CMF_SIMD(v_load_word)
#define v_ones CMF_SIMD(v_ones)
#define v_zip CMF_SIMD(v_zip)
#define v_dot CMF_SIMD(v_dot)
#define v_dot_zip CMF_SIMD(v_dot_zip)
#define v_store_i8 CMF_SIMD(v_store_i8)

#define V_BYTE_UNIT 0x1p-24f

/* ------------------------------------------------------------------ AVX-512 with VNNI, VBMI */
#if defined(CMF_SIMD_AVX512)

#define V_LANES 16
#define V_REGS 1
#define V_DOT_FLIPPED 1
typedef __m512 v_f32;
typedef uint32_t v_i32 __attribute__((vector_size(64))); /* __m512i adds 64 bits, int32_t must not wrap */
typedef __m512i v_line;
typedef __m512i v_word;
typedef __m512i v_wide;

CMF_INLINE __mmask16 CMF_SIMD(v_mask)(int n) {
    return (__mmask16)(n <= 0 ? 0u : n >= 16 ? 0xffffu : (1u << n) - 1u);
}
CMF_INLINE v_f32 v_set(float x) { return _mm512_set1_ps(x); }
CMF_INLINE v_f32 v_load(const float *p) { return _mm512_loadu_ps(p); }
CMF_INLINE v_f32 v_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps(CMF_SIMD(v_mask)(n), p); }
CMF_INLINE void v_store(float *p, v_f32 x) { _mm512_storeu_ps(p, x); }
CMF_INLINE void v_store_n(float *p, v_f32 x, int n) { _mm512_mask_storeu_ps(p, CMF_SIMD(v_mask)(n), x); }
CMF_INLINE v_f32 v_fma(v_f32 a, v_f32 b, v_f32 c) { return _mm512_fmadd_ps(a, b, c); }
CMF_INLINE v_f32 v_abs(v_f32 x) { return _mm512_abs_ps(x); }
/* Of two zeros or with a NaN, max and min give the second operand. */
CMF_INLINE v_f32 v_raise(v_f32 x, v_f32 low) { return _mm512_max_ps(low, x); }
CMF_INLINE v_f32 v_cap(v_f32 x, v_f32 high) { return _mm512_min_ps(high, x); }
CMF_INLINE v_f32 v_at_least(v_f32 x, v_f32 low) { return _mm512_max_ps(x, low); }
CMF_INLINE v_f32 v_at_most(v_f32 x, v_f32 high) { return _mm512_min_ps(x, high); }
CMF_INLINE v_i32 v_round(v_f32 x) { return (v_i32)_mm512_cvtps_epi32(x); }
CMF_INLINE v_f32 v_float(v_i32 x) { return _mm512_cvtepi32_ps((__m512i)x); }
CMF_INLINE v_i32 v_set_i32(int32_t x) { return (v_i32)_mm512_set1_epi32(x); }
CMF_INLINE v_i32 v_load_i32(const int32_t *p) { return (v_i32)_mm512_loadu_si512(p); }
CMF_INLINE void v_store_i32(int32_t *p, v_i32 x) { _mm512_storeu_si512(p, (__m512i)x); }
CMF_INLINE v_f32 v_byte(v_i32 line, const int k) {
    const __m512i top = _mm512_set1_epi32((int)0xff000000u), x = (__m512i)line;
    return _mm512_cvtepi32_ps(_mm512_and_si512(k == 3 ? x : _mm512_slli_epi32(x, (unsigned)(24 - 8 * k)), top));
}

CMF_INLINE v_line v_load_line(const int8_t *p) { return _mm512_loadu_si512(p); }
CMF_INLINE v_word v_load_word(const int8_t *p) {
    int32_t word;
    memcpy(&word, p, 4);
    return _mm512_xor_si512(_mm512_set1_epi32(word), _mm512_set1_epi32((int)0x80808080u));
}
CMF_INLINE v_word v_ones(void) { return _mm512_set1_epi32(0x01010101); }
CMF_INLINE v_wide v_zip(const int8_t *p0, const int8_t *p1, const int8_t *p2, const int8_t *p3) {
    const __m512i order = _mm512_set_epi32(0x3f2f1f0f, 0x3e2e1e0e, 0x3d2d1d0d, 0x3c2c1c0c, 0x3b2b1b0b, 0x3a2a1a0a, 0x39291909, 0x38281808,
                                           0x37271707, 0x36261606, 0x35251505, 0x34241404, 0x33231303, 0x32221202, 0x31211101, 0x30201000);
    __m512i x = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)p0));
    x = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(const void *)p1), 1);
    x = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(const void *)p2), 2);
    x = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(const void *)p3), 3);
    return _mm512_xor_si512(_mm512_permutexvar_epi8(order, x), _mm512_set1_epi32((int)0x80808080u));
}
CMF_INLINE void v_dot(v_i32 acc[V_REGS], v_line w, v_word x) { acc[0] = (v_i32)_mm512_dpbusd_epi32((__m512i)acc[0], x, w); }
CMF_INLINE void v_dot_zip(v_i32 acc[V_REGS], v_line w, v_wide x) { v_dot(acc, w, x); }
CMF_INLINE void v_store_i8(int8_t *p, const v_i32 x[V_REGS], int n) {
    if (n >= 16)
        _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8((__m512i)x[0]));
    else
        _mm_mask_storeu_epi8(p, CMF_SIMD(v_mask)(n), _mm512_cvtepi32_epi8((__m512i)x[0]));
}

/* ------------------------------------------------------------------ AVX2 with FMA */
#elif defined(CMF_SIMD_AVX2)

#define V_LANES 8
#define V_REGS 2
#define V_DOT_FLIPPED 0
typedef __m256 v_f32;
typedef uint32_t v_i32 __attribute__((vector_size(32))); /* __m256i adds 64 bits, int32_t must not wrap */
/* Sign extended to 16 bits, so that vpmaddwd cannot saturate: bytes 0 and 2 of each word apart from bytes 1 and 3. */
typedef struct { __m256i even[2], odd[2]; } v_line;
typedef struct { __m256i even, odd; } v_word;
typedef v_line v_wide;

CMF_INLINE __m256i CMF_SIMD(v_mask)(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
CMF_INLINE v_f32 v_set(float x) { return _mm256_set1_ps(x); }
CMF_INLINE v_f32 v_load(const float *p) { return _mm256_loadu_ps(p); }
CMF_INLINE v_f32 v_load_n(const float *p, int n) { return _mm256_maskload_ps(p, CMF_SIMD(v_mask)(n)); }
CMF_INLINE void v_store(float *p, v_f32 x) { _mm256_storeu_ps(p, x); }
CMF_INLINE void v_store_n(float *p, v_f32 x, int n) { _mm256_maskstore_ps(p, CMF_SIMD(v_mask)(n), x); }
CMF_INLINE v_f32 v_fma(v_f32 a, v_f32 b, v_f32 c) { return _mm256_fmadd_ps(a, b, c); }
CMF_INLINE v_f32 v_abs(v_f32 x) { return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff))); }
CMF_INLINE v_f32 v_raise(v_f32 x, v_f32 low) { return _mm256_max_ps(low, x); }
CMF_INLINE v_f32 v_cap(v_f32 x, v_f32 high) { return _mm256_min_ps(high, x); }
CMF_INLINE v_f32 v_at_least(v_f32 x, v_f32 low) { return _mm256_max_ps(x, low); }
CMF_INLINE v_f32 v_at_most(v_f32 x, v_f32 high) { return _mm256_min_ps(x, high); }
CMF_INLINE v_i32 v_round(v_f32 x) { return (v_i32)_mm256_cvtps_epi32(x); }
CMF_INLINE v_f32 v_float(v_i32 x) { return _mm256_cvtepi32_ps((__m256i)x); }
CMF_INLINE v_i32 v_set_i32(int32_t x) { return (v_i32)_mm256_set1_epi32(x); }
CMF_INLINE v_i32 v_load_i32(const int32_t *p) { return (v_i32)_mm256_loadu_si256((const __m256i *)(const void *)p); }
CMF_INLINE void v_store_i32(int32_t *p, v_i32 x) { _mm256_storeu_si256((__m256i *)(void *)p, (__m256i)x); }
CMF_INLINE v_f32 v_byte(v_i32 line, const int k) {
    const __m256i top = _mm256_set1_epi32((int)0xff000000u), x = (__m256i)line;
    return _mm256_cvtepi32_ps(_mm256_and_si256(k == 3 ? x : _mm256_slli_epi32(x, 24 - 8 * k), top));
}

CMF_INLINE __m256i CMF_SIMD(v_even)(__m256i x) { return _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8); }
CMF_INLINE v_line v_load_line(const int8_t *p) {
    v_line line;
    for (int r = 0; r < V_REGS; r++) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32 * r));
        line.even[r] = CMF_SIMD(v_even)(x);
        line.odd[r] = _mm256_srai_epi16(x, 8);
    }
    return line;
}
CMF_INLINE v_word v_load_word(const int8_t *p) {
    int32_t word;
    memcpy(&word, p, 4);
    __m256i x = _mm256_set1_epi32(word);
    v_word y = {CMF_SIMD(v_even)(x), _mm256_srai_epi16(x, 8)};
    return y;
}
CMF_INLINE v_wide v_zip(const int8_t *p0, const int8_t *p1, const int8_t *p2, const int8_t *p3) {
    __m128i x0 = _mm_loadu_si128((const __m128i *)(const void *)p0), x1 = _mm_loadu_si128((const __m128i *)(const void *)p1);
    __m128i x2 = _mm_loadu_si128((const __m128i *)(const void *)p2), x3 = _mm_loadu_si128((const __m128i *)(const void *)p3);
    v_wide y = {{_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(x0, x2)), _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(x0, x2))},
                {_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(x1, x3)), _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(x1, x3))}};
    return y;
}
CMF_INLINE void v_dot(v_i32 acc[V_REGS], v_line w, v_word x) {
    for (int r = 0; r < V_REGS; r++) {
        acc[r] += (v_i32)_mm256_madd_epi16(w.even[r], x.even);
        acc[r] += (v_i32)_mm256_madd_epi16(w.odd[r], x.odd);
    }
}
CMF_INLINE void v_dot_zip(v_i32 acc[V_REGS], v_line w, v_wide x) {
    for (int r = 0; r < V_REGS; r++) {
        acc[r] += (v_i32)_mm256_madd_epi16(w.even[r], x.even[r]);
        acc[r] += (v_i32)_mm256_madd_epi16(w.odd[r], x.odd[r]);
    }
}
CMF_INLINE void v_store_i8(int8_t *p, const v_i32 x[V_REGS], int n) {
    /* packs works in halves: lanes 0-3 8-11 | 4-7 12-15 */
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32((__m256i)x[0], (__m256i)x[1]), 0xd8);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    if (n >= 16) {
        _mm_storeu_si128((__m128i *)(void *)p, bytes);
    } else if (n > 0) {
        int8_t all[16];
        _mm_storeu_si128((__m128i *)(void *)all, bytes);
        memcpy(p, all, (size_t)n);
    }
}

/* ------------------------------------------------------------------ NEON, with or without sdot */
#elif defined(CMF_SIMD_NEON)

#define V_LANES 4
#define V_REGS 4
#define V_DOT_FLIPPED 0
typedef float32x4_t v_f32;
typedef uint32x4_t v_i32; /* int32_t must not wrap */
typedef struct { int8x16_t r[4]; } v_line;
typedef int8x16_t v_word;
typedef v_line v_wide;

CMF_INLINE v_f32 v_set(float x) { return vdupq_n_f32(x); }
CMF_INLINE v_f32 v_load(const float *p) { return vld1q_f32(p); }
CMF_INLINE void v_store(float *p, v_f32 x) { vst1q_f32(p, x); }
CMF_INLINE v_f32 v_load_n(const float *p, int n) {
    if (n >= V_LANES)
        return v_load(p);
    float some[V_LANES] = {0};
    for (int l = 0; l < n; l++)
        some[l] = p[l];
    return v_load(some);
}
CMF_INLINE void v_store_n(float *p, v_f32 x, int n) {
    if (n >= V_LANES) {
        v_store(p, x);
    } else {
        float all[V_LANES];
        v_store(all, x);
        for (int l = 0; l < n; l++)
            p[l] = all[l];
    }
}
CMF_INLINE v_f32 v_fma(v_f32 a, v_f32 b, v_f32 c) { return vfmaq_f32(c, a, b); }
CMF_INLINE v_f32 v_abs(v_f32 x) { return vabsq_f32(x); }
CMF_INLINE v_f32 v_raise(v_f32 x, v_f32 low) { return vbslq_f32(vcltq_f32(x, low), low, x); }
CMF_INLINE v_f32 v_cap(v_f32 x, v_f32 high) { return vbslq_f32(vcgtq_f32(x, high), high, x); }
CMF_INLINE v_f32 v_at_least(v_f32 x, v_f32 low) { return vbslq_f32(vcgtq_f32(x, low), x, low); }
CMF_INLINE v_f32 v_at_most(v_f32 x, v_f32 high) { return vbslq_f32(vcltq_f32(x, high), x, high); }
CMF_INLINE v_i32 v_round(v_f32 x) { return vreinterpretq_u32_s32(vcvtnq_s32_f32(x)); }
CMF_INLINE v_f32 v_float(v_i32 x) { return vcvtq_f32_s32(vreinterpretq_s32_u32(x)); }
CMF_INLINE v_i32 v_set_i32(int32_t x) { return vdupq_n_u32((uint32_t)x); }
CMF_INLINE v_i32 v_load_i32(const int32_t *p) { return vreinterpretq_u32_s32(vld1q_s32(p)); }
CMF_INLINE void v_store_i32(int32_t *p, v_i32 x) { vst1q_s32(p, vreinterpretq_s32_u32(x)); }
CMF_INLINE v_f32 v_byte(v_i32 line, const int k) {
    const v_i32 top = vdupq_n_u32(0xff000000u);
    return v_float(vandq_u32(vshlq_u32(line, vdupq_n_s32(24 - 8 * k)), top));
}

CMF_INLINE v_line v_load_line(const int8_t *p) {
    v_line line = {{vld1q_s8(p), vld1q_s8(p + 16), vld1q_s8(p + 32), vld1q_s8(p + 48)}};
    return line;
}
CMF_INLINE v_word v_load_word(const int8_t *p) {
    int32_t word;
    memcpy(&word, p, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(word));
}
CMF_INLINE v_wide v_zip(const int8_t *p0, const int8_t *p1, const int8_t *p2, const int8_t *p3) {
    int8x16x2_t even = vzipq_s8(vld1q_s8(p0), vld1q_s8(p2)), odd = vzipq_s8(vld1q_s8(p1), vld1q_s8(p3));
    int8x16x2_t low = vzipq_s8(even.val[0], odd.val[0]), high = vzipq_s8(even.val[1], odd.val[1]);
    v_wide y = {{low.val[0], low.val[1], high.val[0], high.val[1]}};
    return y;
}
CMF_INLINE v_i32 CMF_SIMD(v_dot4)(v_i32 acc, int8x16_t w, int8x16_t x) {
#if defined(CMF_SIMD_DOT)
    return vreinterpretq_u32_s32(vdotq_s32(vreinterpretq_s32_u32(acc), w, x));
#else
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)));
    int32x4_t high = vpaddlq_s16(vmull_high_s8(w, x));
    return acc + vreinterpretq_u32_s32(vpaddq_s32(low, high));
#endif
}
CMF_INLINE void v_dot(v_i32 acc[V_REGS], v_line w, v_word x) {
    for (int r = 0; r < V_REGS; r++)
        acc[r] = CMF_SIMD(v_dot4)(acc[r], w.r[r], x);
}
CMF_INLINE void v_dot_zip(v_i32 acc[V_REGS], v_line w, v_wide x) {
    for (int r = 0; r < V_REGS; r++)
        acc[r] = CMF_SIMD(v_dot4)(acc[r], w.r[r], x.r[r]);
}
CMF_INLINE void v_store_i8(int8_t *p, const v_i32 x[V_REGS], int n) {
    int8x8_t low = vmovn_s16(vreinterpretq_s16_u16(vcombine_u16(vmovn_u32(x[0]), vmovn_u32(x[1]))));
    int8x8_t high = vmovn_s16(vreinterpretq_s16_u16(vcombine_u16(vmovn_u32(x[2]), vmovn_u32(x[3]))));
    if (n >= 16) {
        vst1q_s8(p, vcombine_s8(low, high));
    } else if (n > 0) {
        int8_t all[16];
        vst1q_s8(all, vcombine_s8(low, high));
        memcpy(p, all, (size_t)n);
    }
}

#endif
