/* Opens each .cmf file named, at level full, and writes what its weight 0 decodes to beside it as raw f32 (FILE.f32). */
#include <stdio.h>
#include <stdlib.h>

#include "cmf.h"

static int decode(const char *path) {
    cmf_error error;
    cmf_open_options options;
    cmf_model *model = NULL;
    cmf_weight_info info;
    char name[4096];
    cmf_open_options_default(&options);
    options.verify = CMF_VERIFY_FULL;
    if (cmf_model_open_file(path, &options, &model, &error) != CMF_OK) {
        printf("%s: %s\n", path, error.message);
        return 1;
    }
    if (cmf_model_weight_count(model) != 1 || cmf_model_weight(model, 0, &info) != CMF_OK) return 1;
    /* A winograd weight gives U [positions, outputs, channels]: 16 or 36 positions where the weight has 9 taps. */
    size_t taps = (size_t)info.stack * info.outputs * info.inputs, counts[] = {taps, taps / 9u * 16u, taps / 9u * 36u}, count = 0;
    float *values = malloc(4u * taps * sizeof *values);
    if (!values) return 1;
    cmf_status status = CMF_E_ARGUMENT;
    for (int k = 0; k < 3 && status == CMF_E_ARGUMENT; k++) {
        count = counts[k];
        status = cmf_model_decode_weight(model, 0, values, count * sizeof *values, &error);
    }
    if (status != CMF_OK) {
        printf("%s: %s\n", path, error.message);
        return 1;
    }
    snprintf(name, sizeof name, "%s.f32", path);
    FILE *file = fopen(name, "wb");
    int failed = !file || fwrite(values, sizeof *values, count, file) != count || fclose(file) != 0;
    free(values);
    cmf_model_close(&model);
    return failed;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (int i = 1; i < argc; i++) failed |= decode(argv[i]);
    return failed;
}
