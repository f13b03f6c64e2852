/* Reset, faults and the vector table of a Cortex-M4. */
#include <stdint.h>
#include <string.h>

#include "board.h"

extern uint8_t stack_bottom[], stack_top[], data_begin[], data_end[], bss_begin[], bss_end[];
extern const uint8_t data_source[];
int main(void);

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define STACK_PAINT 0xa5u

/* From here on a write below RAM is a fault: what runs does run from read-only memory, and the stack cannot run over unseen. */
static void protect_flash(void) {
    REGISTER(0xe000ed98) = 0;                                   /* MPU_RNR: region 0 */
    REGISTER(0xe000ed9c) = 0;                                   /* MPU_RBAR: from address 0 */
    REGISTER(0xe000eda0) = 6u << 24 | 1u << 17 | 28u << 1 | 1u; /* MPU_RASR: read-only, cacheable, 512 MB, on */
    REGISTER(0xe000ed94) = 5;                                   /* MPU_CTRL: on, elsewhere the default map */
    __asm__ volatile("dsb\n isb" ::: "memory");
}

void reset(void);
void reset(void) {
    REGISTER(0xe000ed88) |= 0xfu << 20; /* CPACR: the FPU is on */
    __asm__ volatile("dsb\n isb" ::: "memory");
    memcpy(data_begin, data_source, (size_t)(data_end - data_begin));
    memset(bss_begin, 0, (size_t)(bss_end - bss_begin));
    for (uint8_t *p = stack_bottom; p < (uint8_t *)__builtin_frame_address(0) - 256; p++) *(volatile uint8_t *)p = STACK_PAINT;
    protect_flash();
    board_exit(main());
}

size_t board_stack_used(void) {
    const uint8_t *p = stack_bottom;
    while (p < stack_top && *p == STACK_PAINT) p++;
    return (size_t)(stack_top - p);
}

_Noreturn void report_fault(void);
_Noreturn void report_fault(void) {
    board_print("fault: CFSR ");
    board_print_hex(REGISTER(0xe000ed28), 8);
    board_print(", MMFAR ");
    board_print_hex(REGISTER(0xe000ed34), 8);
    board_print(", BFAR ");
    board_print_hex(REGISTER(0xe000ed38), 8);
    board_print("\n");
    board_exit(70);
}

/* On a fresh stack: the fault may be that the old one ran over. */
__attribute__((naked)) static void fault(void) {
    __asm__ volatile("ldr r0, =stack_top\n mov sp, r0\n b report_fault");
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))(uintptr_t)stack_top, reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault,
};
