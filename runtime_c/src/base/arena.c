#include "base/arena.h"

#include <string.h>

void cmf_arena_init(cmf_arena *arena, void *memory, size_t size) {
    size_t skip = (size_t)(-(uintptr_t)memory & (CMF_ALIGN - 1u));
    arena->base = memory;
    arena->size = 0;
    arena->low = arena->high = 0;
    if (size > skip) {
        arena->base += skip;
        arena->size = (size - skip) & ~(CMF_ALIGN - 1u);
    }
}

static int arena_fits(const cmf_arena *arena, size_t bytes) {
    return bytes <= arena->size - arena->low - arena->high;
}

void *cmf_arena_low(cmf_arena *arena, size_t bytes) {
    bytes = cmf_size_align(bytes);
    if (!arena_fits(arena, bytes))
        return NULL;
    uint8_t *place = arena->base + arena->low;
    arena->low += bytes;
    return memset(place, 0, bytes);
}

void *cmf_arena_high(cmf_arena *arena, size_t bytes) {
    bytes = cmf_size_align(bytes);
    if (!arena_fits(arena, bytes))
        return NULL;
    arena->high += bytes;
    return memset(arena->base + arena->size - arena->high, 0, bytes);
}
