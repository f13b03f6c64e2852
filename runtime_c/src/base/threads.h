/* A small pool of threads: work is claimed by an atomic counter, waiting threads spin for a moment and then sleep.
 * Hosted builds with CMF_THREADS only. */
#ifndef CMF_BASE_THREADS_H
#define CMF_BASE_THREADS_H

#ifdef CMF_THREADS

#include "base/status.h"
#include "cmf.h"

typedef struct cmf_pool cmf_pool;

/* At most this many threads, the caller's included. */
#define CMF_MAX_THREADS 256u

/* Bytes of a pool for `threads` threads, the caller's included. */
size_t cmf_pool_size(uint32_t threads);
/* Starts threads - 1 threads; `memory` is 64-byte aligned and holds cmf_pool_size(threads) bytes. */
cmf_status cmf_pool_start(void *memory, uint32_t threads, cmf_pool **pool, cmf_error *error);
/* Ends the threads. NULL is allowed. */
void cmf_pool_stop(cmf_pool *pool);
/* The pool as a session's cmf_parallel; valid as long as the pool. Used by one thread at a time, not from inside a task. */
const cmf_parallel *cmf_pool_parallel(const cmf_pool *pool);

#endif
#endif
