/* One arena for all activations: largest first, each into the smallest gap that fits between those that are alive at the same
 * time (the greedy rule of Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, section 4). */
#include "plan/plan.h"

/* a goes before b: larger, then earlier. */
static int pack_before(const plan_life *lives, uint32_t a, uint32_t b) {
    if (lives[a].bytes != lives[b].bytes)
        return lives[a].bytes > lives[b].bytes;
    return a < b;
}

/* Heap sort: no recursion, no memory. */
static void pack_sink(const plan_life *lives, uint32_t *order, uint32_t root, uint32_t count) {
    for (uint32_t child; (child = 2u * root + 1u) < count; root = child) {
        if (child + 1u < count && pack_before(lives, order[child], order[child + 1u]))
            child++;
        if (!pack_before(lives, order[root], order[child]))
            return;
        uint32_t held = order[root];
        order[root] = order[child];
        order[child] = held;
    }
}

static void pack_sort(const plan_life *lives, uint32_t *order, uint32_t count) {
    for (uint32_t i = count / 2u; i-- > 0;)
        pack_sink(lives, order, i, count);
    for (uint32_t end = count; end-- > 1u;) {
        uint32_t held = order[0];
        order[0] = order[end];
        order[end] = held;
        pack_sink(lives, order, 0, end);
    }
}

/* Places v among those that are placed, a list by offset that begins at *head. */
static void pack_place(plan_life *lives, int32_t *head, uint32_t v) {
    plan_life *life = &lives[v];
    size_t end = 0, best_gap = SIZE_MAX;
    int fits = 0;
    for (int32_t p = *head; p >= 0; p = lives[p].next) {
        const plan_life *other = &lives[p];
        if (other->last < life->first || life->last < other->first)
            continue;
        if (other->offset >= end && other->offset - end >= life->bytes && other->offset - end < best_gap) {
            best_gap = other->offset - end;
            life->offset = end;
            fits = 1;
        }
        if (other->offset + other->bytes > end)
            end = other->offset + other->bytes;
    }
    if (!fits)
        life->offset = end;
    int32_t *link = head;
    while (*link >= 0 && lives[*link].offset <= life->offset)
        link = &lives[*link].next;
    life->next = *link;
    *link = (int32_t)v;
}

cmf_status cmf_plan_pack(plan_life *lives, uint32_t count, uint32_t *order, size_t *bytes, cmf_error *error) {
    uint32_t roots = 0;
    size_t sum = 0;
    for (uint32_t v = 0; v < count; v++) {
        if (lives[v].root != (int32_t)v)
            continue;
        CMF_REQUIRE(cmf_size_add(&sum, lives[v].bytes), CMF_E_CAPACITY, "the activations take more memory than there can be");
        order[roots++] = v;
    }
    CMF_REQUIRE(roots <= CMF_PLAN_MAX_STORAGE, CMF_E_CAPACITY, "%u activations; at most %u are supported", roots,
                CMF_PLAN_MAX_STORAGE);
    pack_sort(lives, order, roots);
    int32_t head = -1;
    *bytes = 0;
    for (uint32_t i = 0; i < roots; i++) {
        pack_place(lives, &head, order[i]);
        const size_t end = lives[order[i]].offset + lives[order[i]].bytes;
        *bytes = end > *bytes ? end : *bytes;
    }
    return CMF_OK;
}
