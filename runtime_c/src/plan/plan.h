/* From a model and the shapes of its inputs to a session's memory: shapes, what can be computed at once, lifetimes, places.
 *
 * Everything lies in one block, which a cmf_arena hands out:
 *
 *     from below, for good:  tables (a cmf_array for each value, a flag and a pointer for each node, call pointers),
 *                            contents of values that are known before a run (shape arithmetic)
 *     behind them:           kept memory of ops, the arena of activations, scratch
 *     from above, while planning only (the same bytes as the arena later):
 *                            symbols (4 bytes each), a plan_life for each value (32 bytes; 24 on 32-bit machines)
 *
 * cmf_plan_measure fills in the tables and says how many bytes the whole block takes; cmf_plan_place, after a measure in
 * a block of that size, puts things there. Both passes run the same code; neither allocates. */
#ifndef CMF_PLAN_PLAN_H
#define CMF_PLAN_PLAN_H

#include "base/arena.h"
#include "kernels/kernel.h"

/* Values known before a run are kept where they are small; others are computed in every run. */
#define CMF_PLAN_KNOWN_BYTES ((size_t)65536)        /* of one value */
#define CMF_PLAN_KNOWN_TOTAL ((size_t)4 << 20)      /* of all */
#define CMF_PLAN_KNOWN_WORK ((uint64_t)1 << 26)     /* operations of all */
/* Activations that the packer takes: it compares each with each. */
#define CMF_PLAN_MAX_STORAGE 32768u

typedef struct cmf_plan_options {
    const cmf_shape *input_shapes; /* one for each input; NULL: symbols are 1 */
    const struct cmf_isa_kernels *isa;
    const cmf_workers *workers; /* must outlive the plan */
    cmf_policy policy;
} cmf_plan_options;

typedef struct cmf_plan {
    const cmf_model *model;
    cmf_plan_options options;
    cmf_array *values;        /* one for each value */
    uint8_t *done;            /* one for each node: nothing is left to run */
    void **kept;              /* one for each node; NULL: no node keeps anything */
    const cmf_array **inputs; /* of the call being made */
    cmf_array **outputs;
    void *scratch;
    size_t needed;            /* bytes of the block; 0 as long as planning itself has not had enough room */
    size_t kept_bytes, arena_bytes, scratch_bytes;
    size_t known_bytes;
    uint64_t known_work;
    uint64_t work;            /* of one run */
} cmf_plan;

/* Bytes of the block that cmf_plan_measure takes at least, and at most. */
void cmf_plan_bounds(const cmf_model *model, size_t *least, size_t *most);
/* Infers, evaluates, packs. CMF_E_MEMORY with plan->needed = 0: try again with a larger block. */
cmf_status cmf_plan_measure(cmf_plan *plan, const cmf_model *model, const cmf_plan_options *options, cmf_arena *block,
                            cmf_error *error);
/* Hands out addresses and lets ops prepare what they keep. */
cmf_status cmf_plan_place(cmf_plan *plan, cmf_arena *block, cmf_error *error);
/* Runs the nodes that are left. */
cmf_status cmf_plan_run(const cmf_plan *plan, cmf_error *error);
/* Runs one node; nothing where nothing is left of it. */
cmf_status cmf_plan_run_node(const cmf_plan *plan, uint32_t node, cmf_error *error);
/* Multiply-adds (or elements moved) of one run of a node. */
uint64_t cmf_plan_node_work(const cmf_op *op, const cmf_op_call *call);

/* ------------------------------------------------------------------ between the files of plan/ */

/* A value's storage, while planning. */
typedef struct plan_life {
    int32_t root;        /* the value in whose storage this one lies; -1: it has none (constant, weight, known) */
    int32_t first, last; /* of a root: nodes between which it is alive; -1: before all */
    int32_t next;        /* packing: the next root by offset */
    size_t bytes;        /* of a root, aligned */
    size_t offset;
} plan_life;

/* The call of a node; its pointers are good until the next one. */
cmf_op_call cmf_plan_call(const cmf_plan *plan, uint32_t node, cmf_error *error);
/* Puts the node in front of a failure's message. */
cmf_status cmf_plan_fail_in(const cmf_plan *plan, uint32_t node, cmf_error *error, cmf_status status);

/* Is the node's result its first input under another shape? (Both are inferred.) */
int cmf_plan_is_view(const cmf_plan *plan, const cmf_node *node);

/* shapes.c: binds symbols, infers every node, evaluates what is known. */
cmf_status cmf_plan_shapes(cmf_plan *plan, cmf_arena *block, cmf_error *error);
/* lifetimes.c: who lies in whose storage, from when to when. */
void cmf_plan_lifetimes(cmf_plan *plan, plan_life *lives);
/* pack.c: offsets, and the bytes of the arena. */
cmf_status cmf_plan_pack(plan_life *lives, uint32_t count, uint32_t *order, size_t *bytes, cmf_error *error);

#endif
