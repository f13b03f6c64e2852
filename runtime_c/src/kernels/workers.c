#include "kernels/array.h"

void cmf_workers_run(const cmf_workers *workers, cmf_task task, void *context, uint32_t count) {
    if (workers->parallel != NULL && workers->threads > 1u && count > 1u) {
        workers->parallel->run(workers->parallel->user, task, context, count);
        return;
    }
    for (uint32_t index = 0; index < count; index++)
        task(context, index, 0);
}

typedef struct workers_range {
    cmf_range_task task;
    void *context;
    size_t count, part;
} workers_range;

static void workers_part(void *context, uint32_t index, uint32_t thread) {
    const workers_range *range = context;
    size_t first = (size_t)index * range->part;
    size_t left = range->count - first;
    range->task(range->context, first, first + (left < range->part ? left : range->part), thread);
}

void cmf_workers_range(const cmf_workers *workers, size_t count, size_t grain, cmf_range_task task, void *context) {
    if (count == 0)
        return;
    size_t grains = (count - 1u) / grain + 1u;
    size_t most = (size_t)workers->threads * 4u; /* parts: some for each thread, so that a slow one does not hold up all */
    size_t parts = workers->parallel == NULL || workers->threads < 2u ? 1u : grains < most ? grains : most;
    if (parts == 1u) {
        task(context, 0, count, 0);
        return;
    }
    workers_range range = {task, context, count, ((grains - 1u) / parts + 1u) * grain};
    cmf_workers_run(workers, workers_part, &range, (uint32_t)((count - 1u) / range.part + 1u));
}

size_t cmf_grain(size_t cost) {
    const size_t enough = 16384; /* operations for which waking a thread pays */
    return cost >= enough ? 1u : enough / (cost ? cost : 1u);
}
