/* What several ops share: element types, walking over broadcast tensors, reals in f32 or i8. Used by kernels/ only. */
#ifndef CMF_KERNELS_ARRAY_H
#define CMF_KERNELS_ARRAY_H

#include "base/arena.h"
#include "base/schema_ids.h"
#include "kernels/kernel.h"

/* 8-byte numbers of a file are 4-byte aligned in memory. */
#if defined(__GNUC__)
typedef int64_t cmf_i64 __attribute__((aligned(4)));
typedef uint64_t cmf_u64 __attribute__((aligned(4)));
typedef double cmf_f64 __attribute__((aligned(4)));
#else
typedef int64_t cmf_i64;
typedef uint64_t cmf_u64;
typedef double cmf_f64;
#endif

/* Name of an element type, for messages. */
const char *cmf_dtype_name(uint8_t dtype);
/* Bytes of an element; 0 for an unknown type. */
uint32_t cmf_element_size(uint8_t dtype);

/* Promises that iterations of the next loop touch different elements (arrays are equal or apart). */
#if defined(__GNUC__) && !defined(__clang__)
#  define CMF_INDEPENDENT _Pragma("GCC ivdep")
#else
#  define CMF_INDEPENDENT
#endif

/* ------------------------------------------------------------------ checks of infer */

/* axis in [-rank, rank), made non-negative. */
cmf_status cmf_check_axis(const cmf_op_call *call, int32_t axis, uint32_t rank, uint32_t *out);
/* Input `index` is present, i32 or i64, and its contents are known. `name` is what the op calls it. */
cmf_status cmf_check_known(const cmf_op_call *call, uint32_t index, const char *name);
/* Input `index` holds reals: f32, or i8 with an affine. */
cmf_status cmf_check_real(const cmf_op_call *call, uint32_t index);
/* Output 0 gets dims, and f32 or (where the graph says i8 with an affine) i8. */
cmf_status cmf_set_real(const cmf_op_call *call, uint32_t rank, const int32_t *dims);
/* Output 0 gets dims and the type of `input`; an i8 output keeps the affine that the graph declares. */
cmf_status cmf_set_like(const cmf_op_call *call, const cmf_array *input, uint32_t rank, const int32_t *dims);
int cmf_array_is_real(const cmf_array *array);
/* Same element type and, for integers that stand for reals, same affine: codes can be moved. */
int cmf_array_same_codes(const cmf_array *a, const cmf_array *b);
/* Element i of an i32 or i64 array. */
int64_t cmf_array_int(const cmf_array *array, size_t i);
/* Product of dims[first .. last). */
size_t cmf_dims_product(const cmf_array *array, uint32_t first, uint32_t last);

/* ------------------------------------------------------------------ reals */

/* Chunks in which tensors of reals are converted; small, for they lie on the stack. */
#ifdef CMF_FREESTANDING
#  define CMF_REAL_CHUNK 32u
#else
#  define CMF_REAL_CHUNK 64u
#endif

/* Elements [first, first + n) of a real array as f32: in place where it is f32, else in `buffer` (n <= CMF_REAL_CHUNK). */
const float *cmf_real_load(const cmf_array *array, size_t first, size_t n, float *buffer);
/* Where to put elements [first, first + n) before cmf_real_store: the array itself or `buffer`. */
float *cmf_real_target(const cmf_array *array, size_t first, float *buffer);
void cmf_real_store(const cmf_array *array, size_t first, size_t n, const float *values);
/* s (q - z); clamp(rne(x / s) + z), not a number becomes z. FORMAT.md 5.2. */
void cmf_dequantize(const int8_t *q, size_t n, float scale, int32_t zero_point, float *x);
void cmf_quantize(const float *x, size_t n, float scale, int32_t zero_point, int8_t *q);
/* Range of the output's codes, narrowed by the node's activation. */
void cmf_code_bounds(const cmf_node *node, const cmf_array *output, int32_t *low, int32_t *high);
/* clamp(rne(x) + zero_point, low, high), not a number becomes zero_point; all three lie in the i8 range. */
static inline int8_t cmf_code(float x, int32_t zero_point, int32_t low, int32_t high) {
    const float least = (float)(low - zero_point), most = (float)(high - zero_point);
    x = x == x ? x : 0.0f;
    x = x < least ? least : x; /* bounds are integers: limiting before rounding is the same */
    x = x > most ? most : x;
    x = (x + 0x1.8p23f) - 0x1.8p23f; /* to the nearest integer, ties to even */
    return (int8_t)((int32_t)x + zero_point);
}
/* table[code + 128]: the code of `to` that stands for the real number of a code of `from`. */
void cmf_recode_table(const cmf_array *from, const cmf_array *to, int8_t *table);
void cmf_recode(const int8_t *table, const int8_t *source, int8_t *target, size_t n);

/* ------------------------------------------------------------------ walking */

/* Walks over an output and up to three inputs broadcast to it, in segments of the innermost (merged) dimension. */
typedef struct cmf_walk {
    uint32_t rank, inputs;
    size_t dims[CMF_MAX_RANK];
    size_t strides[3][CMF_MAX_RANK]; /* elements; 0: broadcast */
    size_t index[CMF_MAX_RANK];
    size_t offset[3]; /* of the current position in each input */
} cmf_walk;

/* Every input must broadcast to `output`. */
void cmf_walk_init(cmf_walk *walk, const cmf_array *output, const cmf_array *const *inputs, uint32_t count);
/* To an element of the output. */
void cmf_walk_seek(cmf_walk *walk, size_t element);
/* Elements left in the current segment. */
static inline size_t cmf_walk_segment(const cmf_walk *walk) {
    return walk->dims[walk->rank - 1u] - walk->index[walk->rank - 1u];
}
/* Step of input k inside a segment: 0 or 1. */
static inline size_t cmf_walk_step(const cmf_walk *walk, uint32_t k) { return walk->strides[k][walk->rank - 1u]; }
/* n elements on, n at most cmf_walk_segment. */
void cmf_walk_advance(cmf_walk *walk, size_t n);

/* Runs task(context, first, last, thread) over ranges of [0, count), cut at multiples of `grain`. */
typedef void (*cmf_range_task)(void *context, size_t first, size_t last, uint32_t thread);
void cmf_workers_range(const cmf_workers *workers, size_t count, size_t grain, cmf_range_task task, void *context);
/* A grain for work of `cost` simple operations for each of `count` items. */
size_t cmf_grain(size_t cost);

#endif
