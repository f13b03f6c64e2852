/* cmf.h needs nothing before it, is strict C11, and an error outlives a refused file. */
#include "cmf.h"

#include <stdio.h>
#include <string.h>

int main(void) {
    static const uint32_t words[2] = {0, 0};
    cmf_model *model = NULL;
    cmf_error error;
    memset(&error, 0xff, sizeof error);
    cmf_status status = cmf_model_open(words, sizeof words, NULL, &model, &error);
    if (status != CMF_E_MAGIC || error.status != status || model || !memchr(error.message, 0, sizeof error.message)) {
        printf("unexpected: %s: %.251s\n", cmf_status_name(status), error.message);
        return 1;
    }
    printf("%s: %s: %s\n", cmf_status_name(status), cmf_status_text(status), error.message);
    return 0;
}
