/* Output and exit through the debugger (Arm semihosting), which an emulator stands in for. */
#include "board.h"

enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20, STOPPED_APPLICATION_EXIT = 0x20026 };

static void semihosting_call(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void board_print(const char *text) { semihosting_call(SYS_WRITE0, text); }

void board_print_hex(uint32_t value, uint32_t digits) {
    char text[9];
    for (uint32_t i = 0; i < digits; i++) text[i] = "0123456789abcdef"[value >> 4u * (digits - 1u - i) & 15u];
    text[digits] = 0;
    board_print(text);
}

_Noreturn void board_exit(int code) {
    const uint32_t block[2] = {STOPPED_APPLICATION_EXIT, (uint32_t)code};
    semihosting_call(SYS_EXIT_EXTENDED, block);
    for (;;) {}
}
