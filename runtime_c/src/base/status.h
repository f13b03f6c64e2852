/* Errors: one status, one sentence, the first cause wins. Three macros, and no other way to fail. */
#ifndef CMF_BASE_STATUS_H
#define CMF_BASE_STATUS_H

#include "cmf.h"

/* Checked on 64-bit hosts only: bare-metal ARM's uint32_t is an unsigned long (which %u reads as well, being 4 bytes). */
#if defined(__GNUC__) && UINTPTR_MAX > 0xffffffffu
#  define CMF_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#  define CMF_PRINTF(format_index, first)
#endif

/* Fills in *error (where not NULL and still CMF_OK) and returns `status`. Freestanding: understands %s %u %d %llu %lld %zu %x %% only.
 * Strings may come from a file: they are cut at 96 bytes and control characters become '?'. */
cmf_status cmf_fail(cmf_error *error, cmf_status status, const char *format, ...) CMF_PRINTF(3, 4);

/* Puts "<where>: " in front of the message of *error (where not NULL and a failure), and returns its status. */
cmf_status cmf_fail_in(cmf_error *error, cmf_status status, const char *format, ...) CMF_PRINTF(3, 4);

/* Sets *error to CMF_OK with an empty message; every public function begins with it. NULL is allowed. */
void cmf_error_clear(cmf_error *error);

/* Leaves the function with `status` and a message when the condition does not hold. Needs a `cmf_error *error` in scope. */
#define CMF_REQUIRE(condition, status, ...) \
    do { if (!(condition)) return cmf_fail(error, (status), __VA_ARGS__); } while (0)
/* Leaves the function with a failure, always. */
#define CMF_FAIL(status, ...) return cmf_fail(error, (status), __VA_ARGS__)
/* Hands a failure of `expression` up. */
#define CMF_TRY(expression) \
    do { cmf_status cmf_try_status = (expression); if (cmf_try_status != CMF_OK) return cmf_try_status; } while (0)

#endif
