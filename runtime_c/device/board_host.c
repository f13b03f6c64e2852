/* The same board on the machine at hand, to compare with. */
#include "board.h"

#include <stdio.h>
#include <stdlib.h>

void board_print(const char *text) { fputs(text, stdout); }
void board_print_hex(uint32_t value, uint32_t digits) { printf("%0*x", (int)digits, (unsigned)value); }
_Noreturn void board_exit(int code) { exit(code); }
size_t board_stack_used(void) { return 0; }
