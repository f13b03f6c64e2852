/* winograd: 3 x 3 filters kept as U = G g G^T, a stack over positions (FORMAT.md 3.8). */
#include "encodings/winograd.h"

#include "encodings/encoding.h"

const float cmf_winograd_g2[4][3] = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}};
const float cmf_winograd_bt2[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
const float cmf_winograd_at2[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};
const float cmf_winograd_g4[6][3] = {{0.25f, 0, 0},
                                     {-1.0f / 6, -1.0f / 6, -1.0f / 6},
                                     {-1.0f / 6, 1.0f / 6, -1.0f / 6},
                                     {1.0f / 24, 1.0f / 12, 1.0f / 6},
                                     {1.0f / 24, -1.0f / 12, 1.0f / 6},
                                     {0, 0, 1}};
const float cmf_winograd_bt4[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                      {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
const float cmf_winograd_at4[4][6] = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};

static cmf_status winograd_validate(const cmf_tree *tree, int full, cmf_error *error) {
    const cmf_tree *u = tree->child[0];
    uint32_t edge = tree->tile + 2u;
    (void)full;
    CMF_REQUIRE(tree->tile == 2 || tree->tile == 4, CMF_E_ENCODING, "winograd weight: tiles of %u; they must be 2 or 4", tree->tile);
    CMF_REQUIRE(tree->stack == 1 && tree->inputs / tree->run == 9u, CMF_E_ENCODING,
                "winograd weight: it must have stack 1 and 9 runs of input channels");
    CMF_REQUIRE(u->stack == edge * edge && u->outputs == tree->outputs && u->inputs == tree->run && u->run == tree->run, CMF_E_ENCODING,
                "winograd weight: the filters must be %u positions of outputs x channels in one run", edge * edge);
    return CMF_OK;
}

const cmf_encoding cmf_encoding_winograd = {.name = "winograd", .id = CMF_ENC_WINOGRAD, .validate = winograd_validate};
