/* What main.c needs of a board: text out, an exit, and how deep the stack was. */
#ifndef CMF_DEVICE_BOARD_H
#define CMF_DEVICE_BOARD_H

#include <stddef.h>
#include <stdint.h>

void board_print(const char *text);
void board_print_hex(uint32_t value, uint32_t digits);
_Noreturn void board_exit(int code);
/* Bytes of stack used at most so far; 0 where the board cannot tell. */
size_t board_stack_used(void);

#endif
