/* The product of two activations (attention): panels of the second are packed on the fly, or read where they lie when rows are few. */
#include <string.h>

#include "base/math.h"
#include "kernels/linear.h"
#include "kernels/matmul.h"

#define ACTIVATIONS_ROWS 256 /* of a tile */
#define ACTIVATIONS_FEW 8    /* rows for which packing does not pay */

typedef struct activations_call {
    const cmf_matmul_shape *s;
    const cmf_isa_kernels *isa;
    const float *a, *b, *bias;
    float *c;
    float low, high;
    uint32_t tiles, groups;
    uint8_t *scratch;
    size_t thread_bytes;
} activations_call;

static uint32_t activations_rows(const cmf_matmul_shape *s) {
    return (uint32_t)(s->m < ACTIVATIONS_ROWS ? s->m : ACTIVATIONS_ROWS);
}

static size_t activations_thread_bytes(const cmf_matmul_shape *s) {
    return 2u * cmf_round64(activations_rows(s) * sizeof(void *)) + CMF_LINEAR_WINDOW * CMF_PANEL * sizeof(float);
}

size_t cmf_matmul_activations_scratch(const cmf_matmul_shape *s, const cmf_op_call *call) {
    return call->workers->threads * activations_thread_bytes(s);
}

/* Rows [first, first + n) of a panel of b, padded to 16 lanes. */
static void activations_pack(const float *b, int32_t columns, uint32_t lanes, uint32_t first, uint32_t n, float *window) {
    b += (size_t)first * (size_t)columns;
    for (uint32_t k = 0; k < n; k++, b += columns, window += CMF_PANEL) {
        if (lanes == CMF_PANEL) {
            memcpy(window, b, CMF_PANEL * sizeof *b);
        } else {
            for (uint32_t lane = 0; lane < CMF_PANEL; lane++)
                window[lane] = lane < lanes ? b[lane] : 0.0f;
        }
    }
}

/* One panel of the result for the rows of a tile. */
static void activations_panel(const activations_call *call, cmf_gemm *g, const float *b, uint32_t panel, float *window) {
    const cmf_matmul_shape *s = call->s;
    uint32_t output = panel * CMF_PANEL, left = (uint32_t)s->n - output, k = (uint32_t)s->k;
    const float infinity = cmf_inff();
    g->lanes = left < CMF_PANEL ? left : CMF_PANEL;
    g->c_offset = output;
    g->accumulate = 0;
    int in_place = g->rows <= ACTIVATIONS_FEW && g->lanes == CMF_PANEL;
    uint32_t most = in_place ? k : CMF_LINEAR_WINDOW, first = 0;
    do {
        g->n = k - first < most ? k - first : most;
        g->a_offset = first;
        if (in_place) {
            g->w = b + output;
            g->w_line = (size_t)s->n;
        } else {
            activations_pack(b + output, s->n, g->lanes, first, g->n, window);
            g->w = window;
            g->w_line = CMF_PANEL;
        }
        first += g->n;
        int last = first == k;
        g->bias = last && call->bias ? call->bias + output : NULL;
        g->low = last ? call->low : -infinity;
        g->high = last ? call->high : infinity;
        call->isa->gemm_f32(g);
        g->accumulate = 1;
    } while (first < k);
}

static void activations_task(void *context, uint32_t index, uint32_t thread) {
    const activations_call *call = context;
    const cmf_matmul_shape *s = call->s;
    uint32_t group = index % call->groups, tile = index / call->groups % call->tiles;
    size_t batch = index / call->groups / call->tiles, a_matrix, b_matrix;
    cmf_matmul_batch(s, batch, &a_matrix, &b_matrix);
    uint8_t *scratch = call->scratch + thread * call->thread_bytes;
    cmf_bump bump = {scratch, scratch + call->thread_bytes};
    uint32_t most = activations_rows(s), first = tile * most, rows = (uint32_t)s->m - first < most ? (uint32_t)s->m - first : most;
    void **a = cmf_bump_take(&bump, sizeof *a * most), **c = cmf_bump_take(&bump, sizeof *c * most);
    float *window = cmf_bump_take(&bump, CMF_LINEAR_WINDOW * CMF_PANEL * sizeof *window);
    for (uint32_t r = 0; r < rows; r++) {
        a[r] = (void *)(uintptr_t)(call->a + (a_matrix * (size_t)s->m + first + r) * (size_t)s->k);
        c[r] = call->c + (batch * (size_t)s->m + first + r) * (size_t)s->n;
    }
    cmf_gemm g = {.a = a, .rows = rows, .taps = 1, .panels = 1, .c = c};
    uint32_t panels = ((uint32_t)s->n + CMF_PANEL - 1u) / CMF_PANEL;
    uint32_t end = (uint32_t)((uint64_t)panels * (group + 1u) / call->groups);
    for (uint32_t p = (uint32_t)((uint64_t)panels * group / call->groups); p < end; p++)
        activations_panel(call, &g, call->b + b_matrix * (size_t)s->k * (size_t)s->n, p, window);
}

void cmf_matmul_activations(const cmf_matmul_shape *s, const cmf_op_call *call, float low, float high) {
    activations_call all = {.s = s, .isa = call->isa, .a = call->inputs[0]->data, .b = call->inputs[1]->data, .c = call->outputs[0]->data,
                            .low = low, .high = high, .groups = 1, .scratch = call->scratch, .thread_bytes = activations_thread_bytes(s)};
    if (call->node->input_count > 2 && call->inputs[2])
        all.bias = call->inputs[2]->data;
    if (s->batches == 0 || s->m == 0 || s->n == 0)
        return;
    all.tiles = ((uint32_t)s->m + activations_rows(s) - 1u) / activations_rows(s);
    uint64_t tasks = s->batches * all.tiles;
    if (call->workers->threads > 1u && tasks < 4u * call->workers->threads) {
        uint32_t parts = (uint32_t)((4u * call->workers->threads + tasks - 1u) / tasks), panels = ((uint32_t)s->n + CMF_PANEL - 1u) / CMF_PANEL;
        all.groups = parts < panels ? parts : panels;
    }
    cmf_workers_run(call->workers, activations_task, &all, (uint32_t)(tasks * all.groups));
}
