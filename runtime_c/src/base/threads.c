#include "base/threads.h"

#include "cmf.h" /* also without threads: a file may not be empty */

#ifdef CMF_THREADS

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

/* A job is published by storing its number in `open` and closed by storing 0. A thread that sees a new number first counts
 * itself in `active` and then looks at `open` again: either it still finds the job, or the caller, who closes before he
 * waits for `active` to be 0, did not have to wait for it (both sides are sequentially consistent). So a thread that
 * the system keeps asleep delays nobody. */

enum { THREADS_SPINS = 4000 };

typedef struct threads_member {
    pthread_t handle;
    cmf_pool *pool;
    uint32_t thread;
} threads_member;

struct cmf_pool {
    cmf_parallel parallel;
    uint32_t started;
    pthread_mutex_t mutex; /* for sleeping only */
    pthread_cond_t wake;
    /* the job: written while none is open */
    cmf_task task;
    void *context;
    uint32_t count;
    uint32_t last; /* number of the last job; the caller's */
    _Alignas(64) _Atomic uint32_t next;   /* index to be claimed */
    _Alignas(64) _Atomic uint32_t open;   /* number of the open job; 0: none */
    _Atomic uint32_t sleepers;
    _Atomic int stop;
    _Alignas(64) _Atomic uint32_t active; /* threads that may look at the job */
    threads_member threads[];
};

static void threads_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void threads_claim(cmf_pool *pool, uint32_t thread) {
    for (;;) {
        uint32_t index = atomic_fetch_add_explicit(&pool->next, 1u, memory_order_relaxed);
        if (index >= pool->count)
            return;
        pool->task(pool->context, index, thread);
    }
}

/* Waits for a job other than `seen`; 0: the pool ends. */
static uint32_t threads_await(cmf_pool *pool, uint32_t seen) {
    for (int spin = 0; spin < THREADS_SPINS; spin++) {
        uint32_t open = atomic_load(&pool->open);
        if (open != 0 && open != seen)
            return open;
        if (atomic_load(&pool->stop))
            return 0;
        threads_pause();
    }
    uint32_t open;
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1u);
    while ((open = atomic_load(&pool->open), open == 0 || open == seen) && !atomic_load(&pool->stop))
        pthread_cond_wait(&pool->wake, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1u);
    pthread_mutex_unlock(&pool->mutex);
    return open == seen ? 0 : open;
}

static void *threads_main(void *argument) {
    threads_member *self = argument;
    cmf_pool *pool = self->pool;
    uint32_t seen = 0;
    while ((seen = threads_await(pool, seen)) != 0) {
        atomic_fetch_add(&pool->active, 1u);
        if (atomic_load(&pool->open) == seen)
            threads_claim(pool, self->thread);
        atomic_fetch_sub(&pool->active, 1u);
    }
    return NULL;
}

static void threads_wake(cmf_pool *pool) {
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

static void threads_run(void *user, cmf_task task, void *context, uint32_t count) {
    cmf_pool *pool = user;
    pool->task = task;
    pool->context = context;
    pool->count = count;
    atomic_store_explicit(&pool->next, 0u, memory_order_relaxed);
    pool->last = pool->last == UINT32_MAX ? 1u : pool->last + 1u;
    atomic_store(&pool->open, pool->last);
    threads_wake(pool);
    threads_claim(pool, 0);
    atomic_store(&pool->open, 0u);
    for (int spin = 0; atomic_load(&pool->active) != 0; spin++) {
        if (spin < THREADS_SPINS)
            threads_pause();
        else
            sched_yield();
    }
}

size_t cmf_pool_size(uint32_t threads) {
    return sizeof(cmf_pool) + (size_t)(threads - 1u) * sizeof(threads_member);
}

cmf_status cmf_pool_start(void *memory, uint32_t threads, cmf_pool **out, cmf_error *error) {
    cmf_pool *pool = memory;
    memset(pool, 0, cmf_pool_size(threads));
    pool->parallel.run = threads_run;
    pool->parallel.user = pool;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (uint32_t i = 0; i + 1u < threads; i++) {
        threads_member *thread = &pool->threads[i];
        thread->pool = pool;
        thread->thread = i + 1u;
        if (pthread_create(&thread->handle, NULL, threads_main, thread) != 0) {
            cmf_pool_stop(pool);
            CMF_FAIL(CMF_E_MEMORY, "the system gives only %u of %u threads: ask for fewer", i + 1u, threads);
        }
        pool->started++;
    }
    *out = pool;
    return CMF_OK;
}

void cmf_pool_stop(cmf_pool *pool) {
    if (pool == NULL)
        return;
    atomic_store(&pool->stop, 1);
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->started; i++)
        pthread_join(pool->threads[i].handle, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
}

const cmf_parallel *cmf_pool_parallel(const cmf_pool *pool) {
    return &pool->parallel;
}

#endif
