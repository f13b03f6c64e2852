/* lowrank: W = factors[n-1] ... factors[0] (+ residual), multiplied one after the other (FORMAT.md 3.6). */
#include "encodings/encoding.h"

static int lowrank_shaped(const cmf_tree *t, uint32_t stack, uint32_t outputs, uint64_t inputs, uint32_t run) {
    return t->stack == stack && t->outputs == outputs && t->inputs == inputs && t->run == run;
}

static cmf_status lowrank_validate(const cmf_tree *tree, int full, cmf_error *error) {
    const cmf_tree *first = tree->child[0], *second = tree->child[1], *third = tree->child[2];
    (void)full;
    switch (tree->kind) {
        case CMF_FORM_SVD:
            CMF_REQUIRE(tree->factor_count == 2, CMF_E_ENCODING, "lowrank weight: svd with %u factors; it has 2", tree->factor_count);
            CMF_REQUIRE(lowrank_shaped(first, tree->stack, first->outputs, tree->inputs, tree->run) &&
                        lowrank_shaped(second, tree->stack, tree->outputs, first->outputs, first->outputs), CMF_E_ENCODING,
                        "lowrank weight: the factors of an svd do not fit the weight or each other");
            break;
        case CMF_FORM_TUCKER2:
            CMF_REQUIRE(tree->factor_count == 3, CMF_E_ENCODING, "lowrank weight: tucker2 with %u factors; it has 3", tree->factor_count);
            CMF_REQUIRE(tree->stack == 1 && lowrank_shaped(first, 1, first->outputs, tree->run, tree->run) &&
                        lowrank_shaped(second, 1, second->outputs, (uint64_t)(tree->inputs / tree->run) * first->outputs, first->outputs) &&
                        lowrank_shaped(third, 1, tree->outputs, second->outputs, second->outputs), CMF_E_ENCODING,
                        "lowrank weight: the factors of a tucker2 do not fit the weight or each other");
            break;
        default: CMF_FAIL(CMF_E_UNSUPPORTED, "lowrank weight: unknown form %u", tree->kind);
    }
    CMF_REQUIRE(!tree->residual || lowrank_shaped(tree->residual, tree->stack, tree->outputs, tree->inputs, tree->run), CMF_E_ENCODING,
                "lowrank weight: the residual has another shape or run");
    return CMF_OK;
}

const cmf_encoding cmf_encoding_lowrank = {.name = "lowrank", .id = CMF_ENC_LOWRANK, .validate = lowrank_validate};
