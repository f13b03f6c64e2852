/* What a hostile file may do at most: be refused, or open and run within limits. Shared by test_open.c and the fuzz target. */
#ifndef CMF_TEST_ATTEMPT_H
#define CMF_TEST_ATTEMPT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmf.h"

#define ATTEMPT_RESIDENT (UINT64_C(1) << 24) /* zstd buffers */
#define ATTEMPT_MEMORY (UINT64_C(1) << 26)   /* a session */
#define ATTEMPT_WORK (UINT64_C(1) << 22)
#define ATTEMPT_TABLES 64u                   /* opening may take this many times the file's size */
#define ATTEMPT_DECODE (UINT64_C(1) << 18)   /* largest weight that is decoded */

#define ATTEMPT_CHECK(condition)                                                                     \
    do {                                                                                             \
        if (!(condition)) {                                                                          \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                                 \
        }                                                                                            \
    } while (0)

/* An allocator that counts and has a limit. */
typedef struct attempt_heap {
    uint64_t limit, used, peak;
} attempt_heap;

static void *attempt_allocate(void *user, size_t size, size_t alignment) {
    attempt_heap *heap = user;
    ATTEMPT_CHECK(size <= heap->limit - heap->used); /* the library has to stay below by itself */
    void *pointer = aligned_alloc(alignment < 16u ? 16u : alignment, (size + 127u) & ~(size_t)127u);
    if (!pointer) return NULL;
    heap->used += size;
    if (heap->used > heap->peak) heap->peak = heap->used;
    return pointer;
}

static void attempt_release(void *user, void *pointer, size_t size) {
    attempt_heap *heap = user;
    ATTEMPT_CHECK(size <= heap->used);
    heap->used -= size;
    free(pointer);
}

static uint64_t attempt_random(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

typedef struct attempt_counts {
    uint64_t opened, sessions, runs;
} attempt_counts;

/* Small numbers, or `wild`: any bytes. */
static void attempt_fill(const cmf_tensor *tensor, int wild, uint64_t *state) {
    size_t item = cmf_dtype_size(tensor->dtype);
    uint8_t *p = tensor->data;
    ATTEMPT_CHECK(tensor->size == 0 || (p && item && tensor->size % item == 0));
    memset(p, 0, tensor->size);
    for (size_t k = 0; k < tensor->size; k += item) {
        uint64_t r = attempt_random(state);
        float x = (float)(int16_t)r / 4096.0f;
        if (wild) memcpy(p + k, &r, item);
        else if (tensor->dtype == CMF_F32) memcpy(p + k, &x, sizeof x);
        else if (tensor->dtype >= CMF_I8) p[k] = (uint8_t)(r & 1u);
    }
}

static void attempt_session(const cmf_model *model, attempt_counts *counts) {
    attempt_heap heap = {ATTEMPT_MEMORY, 0, 0};
    cmf_allocator allocator = {attempt_allocate, attempt_release, &heap};
    cmf_session_options options;
    cmf_session *session = NULL;
    cmf_error error;
    uint64_t state = 88172645463325252u;
    cmf_session_options_default(&options);
    options.allocator = &allocator;
    options.max_memory = ATTEMPT_MEMORY;
    options.max_work = ATTEMPT_WORK;
    cmf_status status = cmf_session_create(model, &options, &session, &error);
    if (status) {
        ATTEMPT_CHECK(!session && error.status == status && error.message[0] && heap.used == 0);
        return;
    }
    counts->sessions++;
    uint64_t before = heap.used;
    heap.peak = before;
    for (int wild = 0; wild < 2; wild++) {
        for (uint32_t i = 0; i < cmf_model_input_count(model); i++) {
            cmf_tensor tensor;
            ATTEMPT_CHECK(cmf_session_input(session, i, &tensor) == CMF_OK);
            attempt_fill(&tensor, wild, &state);
        }
        status = cmf_session_run(session, &error);
        ATTEMPT_CHECK(status == error.status);
        ATTEMPT_CHECK(heap.used == before && heap.peak == before); /* no allocation in a run */
        if (status) continue; /* an index out of range, say */
        if (!wild) counts->runs++;
        for (uint32_t i = 0; i < cmf_model_output_count(model); i++) {
            cmf_tensor tensor;
            volatile uint8_t sum = 0;
            ATTEMPT_CHECK(cmf_session_output(session, i, &tensor) == CMF_OK);
            for (size_t k = 0; k < tensor.size; k++) sum = (uint8_t)(sum + ((const uint8_t *)tensor.data)[k]);
        }
    }
    cmf_session_close(&session);
    ATTEMPT_CHECK(!session && heap.used == 0);
}

#if !CMF_TEST_ZSTD
/* A decoder that refuses every frame. */
static int attempt_decompress(void *user, void *target, size_t size, const void *source, size_t source_size) {
    (void)user, (void)target, (void)size, (void)source, (void)source_size;
    return 1;
}
#endif

/* Opens `size` bytes (4-byte aligned), asks everything, runs. */
static cmf_status attempt(const uint8_t *data, size_t size, cmf_verify verify, attempt_counts *counts, cmf_error *error) {
    attempt_heap heap = {ATTEMPT_RESIDENT + ATTEMPT_TABLES * (uint64_t)size + 4096u, 0, 0};
    cmf_allocator allocator = {attempt_allocate, attempt_release, &heap};
    cmf_open_options options;
    cmf_model *model = NULL;
    size_t needed = 0;
    cmf_open_options_default(&options);
    options.verify = verify;
    options.max_resident = ATTEMPT_RESIDENT;
    options.allocator = &allocator;
#if !CMF_TEST_ZSTD
    static const cmf_zstd zstd = {attempt_decompress, NULL};
    options.zstd = &zstd;
#endif
    cmf_status sized = cmf_model_memory(data, size, &options, &needed, NULL);
    cmf_status status = cmf_model_open(data, size, &options, &model, error);
    ATTEMPT_CHECK(error->status == status);
    ATTEMPT_CHECK(sized == CMF_OK || sized == status);
    ATTEMPT_CHECK(heap.peak <= needed);
    if (status) {
        ATTEMPT_CHECK(!model && error->message[0] && heap.used == 0);
        return status;
    }
    counts->opened++;
    cmf_tensor tensor;
    for (uint32_t i = 0; i < cmf_model_input_count(model); i++) ATTEMPT_CHECK(cmf_model_input(model, i, &tensor) == CMF_OK && tensor.name);
    for (uint32_t i = 0; i < cmf_model_output_count(model); i++) ATTEMPT_CHECK(cmf_model_output(model, i, &tensor) == CMF_OK && tensor.name);
    for (uint32_t i = 0; i < cmf_model_weight_count(model); i++) {
        cmf_weight_info info;
        ATTEMPT_CHECK(cmf_model_weight(model, i, &info) == CMF_OK && info.name);
        uint64_t elements = (uint64_t)info.stack * info.outputs * info.inputs;
        if (elements > ATTEMPT_DECODE) continue;
        /* Winograd decodes to its U: 16 or 36 numbers for 9. */
        static const uint32_t scales[][2] = {{1, 1}, {16, 9}, {36, 9}};
        float *target = malloc((size_t)elements * 4u * sizeof(float));
        ATTEMPT_CHECK(target);
        for (uint32_t k = 0; k < 3; k++)
            (void)cmf_model_decode_weight(model, i, target, (size_t)elements * scales[k][0] / scales[k][1] * sizeof(float), NULL);
        free(target);
    }
    attempt_session(model, counts);
    cmf_model_close(&model);
    ATTEMPT_CHECK(!model && heap.used == 0);
    return CMF_OK;
}

#endif
