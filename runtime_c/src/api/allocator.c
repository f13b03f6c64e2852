#include "api/allocator.h"

#if !defined(CMF_FREESTANDING)
#  include <stdlib.h>
#  if defined(_WIN32)
#    include <malloc.h>
#  endif

static void *allocator_allocate(void *user, size_t size, size_t alignment) {
    (void)user;
#  if defined(_WIN32)
    return _aligned_malloc(size, alignment);
#  else
    if (alignment < sizeof(void *)) alignment = sizeof(void *);
    if (size > SIZE_MAX - alignment) return NULL;
    return aligned_alloc(alignment, (size + alignment - 1u) & ~(alignment - 1u));
#  endif
}

static void allocator_release(void *user, void *pointer, size_t size) {
    (void)user, (void)size;
#  if defined(_WIN32)
    _aligned_free(pointer);
#  else
    free(pointer);
#  endif
}
#endif

cmf_status cmf_allocator_choose(const cmf_allocator *given, cmf_allocator *chosen, cmf_error *error) {
    if (given) {
        CMF_REQUIRE(given->allocate && given->release, CMF_E_ARGUMENT, "the allocator lacks a function");
        *chosen = *given;
        return CMF_OK;
    }
#if defined(CMF_FREESTANDING)
    (void)chosen;
    CMF_FAIL(CMF_E_ARGUMENT, "a freestanding build has no allocator of its own: pass memory and memory_size, or an allocator");
#else
    (void)error;
    chosen->allocate = allocator_allocate;
    chosen->release = allocator_release;
    chosen->user = NULL;
    return CMF_OK;
#endif
}
