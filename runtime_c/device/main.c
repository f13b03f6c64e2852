/* Runs the model in flash on every input in flash and prints the bytes of its outputs. No heap: model and session live in two
 * arrays whose sizes are fixed at build time and compared with what the library asks for. */
#include "board.h"
#include "cmf.h"

extern const unsigned char cmf_device_model[], cmf_device_input[];
extern const size_t cmf_device_model_size, cmf_device_input_size;

static _Alignas(16) uint8_t model_memory[MODEL_MEMORY];
static _Alignas(16) uint8_t session_memory[SESSION_MEMORY];

static void print_number(uint64_t value) {
    char text[21];
    uint32_t at = sizeof text - 1u;
    text[at] = 0;
    do text[--at] = (char)('0' + value % 10u); while (value /= 10u);
    board_print(text + at);
}

static void print_line(const char *what, uint64_t value) {
    board_print(what);
    print_number(value);
    board_print("\n");
}

static int fail(const char *what, const cmf_error *error) {
    board_print(what);
    board_print(": ");
    board_print(cmf_status_name(error->status));
    board_print(": ");
    board_print(error->message);
    board_print("\n");
    return 1;
}

static int run_all(cmf_session *session, uint32_t outputs) {
    cmf_error error;
    cmf_tensor tensor;
    if (cmf_session_input(session, 0, &tensor) != CMF_OK) return 1;
    size_t size = tensor.size;
    for (size_t at = 0; at + size <= cmf_device_input_size; at += size) {
        if (cmf_session_set_input(session, 0, cmf_device_input + at, size, &error) != CMF_OK) return fail("set_input", &error);
        if (cmf_session_run(session, &error) != CMF_OK) return fail("run", &error);
        for (uint32_t i = 0; i < outputs; i++) {
            cmf_session_output(session, i, &tensor);
            board_print("output ");
            for (size_t k = 0; k < tensor.size; k++) board_print_hex(((const uint8_t *)tensor.data)[k], 2);
            board_print("\n");
        }
    }
    return 0;
}

int main(void) {
    cmf_error error;
    cmf_model *model = NULL;
    cmf_session *session = NULL;
    cmf_open_options open;
    cmf_session_options options;
    size_t needed = 0;

    cmf_open_options_default(&open);
    open.verify = CMF_VERIFY_FULL;
    open.memory = model_memory;
    open.memory_size = sizeof model_memory;
    if (cmf_model_memory(cmf_device_model, cmf_device_model_size, &open, &needed, &error) != CMF_OK) return fail("model_memory", &error);
    print_line("model memory ", needed);
    if (cmf_model_open(cmf_device_model, cmf_device_model_size, &open, &model, &error) != CMF_OK) return fail("model_open", &error);

    cmf_session_options_default(&options);
    options.isa_mask = 1u << CMF_ISA_SCALAR;
    options.memory = session_memory;
    options.memory_size = sizeof session_memory;
    if (cmf_session_memory(model, &options, &needed, &error) != CMF_OK) return fail("session_memory", &error);
    print_line("session memory ", needed);
    if (cmf_session_create(model, &options, &session, &error) != CMF_OK) return fail("session_create", &error);

    int failed = run_all(session, cmf_model_output_count(model));
    cmf_session_footprint footprint;
    cmf_session_get_footprint(session, &footprint);
    print_line("arena ", footprint.arena);
    print_line("scratch ", footprint.scratch);
    print_line("multiply-adds ", footprint.work);
    cmf_session_close(&session);
    cmf_model_close(&model);
    print_line("stack ", board_stack_used());
    return failed;
}
