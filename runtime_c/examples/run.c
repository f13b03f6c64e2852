/* Opens a .cmf file, runs it once on zeros and prints each output's shape and first numbers: `run net.cmf`. */
#include <stdio.h>
#include <string.h>

#include "cmf.h"

static void print_tensor(const cmf_tensor *tensor) {
    printf("%s [", tensor->name);
    for (int32_t i = 0; i < tensor->rank; i++)
        printf("%s%lld", i ? ", " : "", (long long)tensor->dims[i]);
    printf("]");
    if (tensor->dtype == CMF_F32)
        for (size_t i = 0; i < tensor->size / sizeof(float) && i < 4; i++)
            printf(" %g", (double)((const float *)tensor->data)[i]);
    printf("\n");
}

static cmf_status run_once(const cmf_model *model, cmf_session *session, cmf_error *error) {
    cmf_tensor tensor;
    for (uint32_t i = 0; i < cmf_model_input_count(model); i++) {
        cmf_session_input(session, i, &tensor);
        memset(tensor.data, 0, tensor.size);
    }
    cmf_status status = cmf_session_run(session, error);
    if (status != CMF_OK)
        return status;
    for (uint32_t i = 0; i < cmf_model_output_count(model); i++) {
        cmf_session_output(session, i, &tensor);
        print_tensor(&tensor);
    }
    return CMF_OK;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE.cmf\n", argv[0]);
        return 2;
    }
    cmf_model *model = NULL;
    cmf_session *session = NULL;
    cmf_error error;
    cmf_status status = cmf_model_open_file(argv[1], NULL, &model, &error);
    if (status == CMF_OK)
        status = cmf_session_create(model, NULL, &session, &error);
    if (status == CMF_OK)
        status = run_once(model, session, &error);
    if (status != CMF_OK)
        fprintf(stderr, "%s: %s\n", argv[1], error.message);
    cmf_session_close(&session);
    cmf_model_close(&model);
    return status == CMF_OK ? 0 : 1;
}
