#ifndef CMF_API_ALLOCATOR_H
#define CMF_API_ALLOCATOR_H

#include "base/status.h"

/* The allocator to use where the caller names `given` (NULL: none): malloc's, or in freestanding builds a failure that says
 * what to pass instead. */
cmf_status cmf_allocator_choose(const cmf_allocator *given, cmf_allocator *chosen, cmf_error *error);

#endif
