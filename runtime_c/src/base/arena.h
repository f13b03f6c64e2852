/* Sizes that cannot overflow, and memory handed out from both ends of one block. */
#ifndef CMF_BASE_ARENA_H
#define CMF_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

/* Alignment of everything in a session; no more than its processor needs. */
#ifdef CMF_FREESTANDING
#  define CMF_ALIGN ((size_t)16)
#else
#  define CMF_ALIGN ((size_t)64)
#endif

/* Largest size that is still a plain object: sums of two of them do not wrap. */
#define CMF_SIZE_LIMIT (SIZE_MAX / 2u)

/* *total += bytes, or *total *= factor; 0 where the result passes CMF_SIZE_LIMIT (then *total is CMF_SIZE_LIMIT). */
static inline int cmf_size_add(size_t *total, size_t bytes) {
    if (*total > CMF_SIZE_LIMIT || bytes > CMF_SIZE_LIMIT - *total) {
        *total = CMF_SIZE_LIMIT;
        return 0;
    }
    *total += bytes;
    return 1;
}
static inline int cmf_size_mul(size_t *total, size_t factor) {
    if (factor != 0 && *total > CMF_SIZE_LIMIT / factor) {
        *total = CMF_SIZE_LIMIT;
        return 0;
    }
    *total *= factor;
    return 1;
}
/* Rounds up to CMF_ALIGN, not beyond the largest aligned size. */
static inline size_t cmf_size_align(size_t bytes) {
    return bytes > SIZE_MAX - (CMF_ALIGN - 1u) ? SIZE_MAX & ~(CMF_ALIGN - 1u)
                                               : (bytes + (CMF_ALIGN - 1u)) & ~(CMF_ALIGN - 1u);
}

/* One block: what stays grows from below, what is temporary from above. All sizes are multiples of CMF_ALIGN. */
typedef struct cmf_arena {
    uint8_t *base; /* aligned */
    size_t size;
    size_t low, high; /* bytes taken from below and from above */
} cmf_arena;

/* Takes over a block of any alignment. */
void cmf_arena_init(cmf_arena *arena, void *memory, size_t size);
/* Zeroed, aligned memory, or NULL where the block is full. */
void *cmf_arena_low(cmf_arena *arena, size_t bytes);
void *cmf_arena_high(cmf_arena *arena, size_t bytes);

#endif
