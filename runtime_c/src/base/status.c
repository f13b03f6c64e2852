/* Errors, with a printf of its own: messages are the same in freestanding builds, and text from a file stays harmless. */
#include "base/status.h"

#include <stdarg.h>
#include <string.h>

#define STATUS_STRING_LIMIT 96u

const char *cmf_status_text(cmf_status status) {
    switch (status) {
#define STATUS_TEXT_CASE(name, number, text) case CMF_##name: return text;
        CMF_STATUS_MAP(STATUS_TEXT_CASE)
#undef STATUS_TEXT_CASE
    }
    return "unknown status";
}

const char *cmf_status_name(cmf_status status) {
    switch (status) {
#define STATUS_NAME_CASE(name, number, text) case CMF_##name: return #name;
        CMF_STATUS_MAP(STATUS_NAME_CASE)
#undef STATUS_NAME_CASE
    }
    return "E_UNKNOWN";
}

typedef struct status_text {
    char *buffer;
    size_t size, capacity; /* capacity counts the final NUL */
} status_text;

static void status_put(status_text *out, char c) {
    if (out->size + 1u < out->capacity) out->buffer[out->size++] = c;
}

static void status_put_string(status_text *out, const char *s) {
    if (!s) s = "?";
    for (size_t i = 0; s[i]; i++) {
        if (i == STATUS_STRING_LIMIT) {
            for (int dot = 0; dot < 3; dot++) status_put(out, '.');
            return;
        }
        unsigned char c = (unsigned char)s[i];
        status_put(out, c < 0x20u || c == 0x7fu ? '?' : (char)c);
    }
}

static void status_put_number(status_text *out, uint64_t value, uint32_t base) {
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (n) status_put(out, digits[--n]);
}

static void status_put_signed(status_text *out, int64_t value) {
    if (value < 0) status_put(out, '-');
    status_put_number(out, value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value, 10);
}

static void status_format(status_text *out, const char *format, va_list arguments) {
    for (const char *p = format; *p; p++) {
        if (*p != '%') {
            status_put(out, *p);
            continue;
        }
        p++;
        if (*p == 's') status_put_string(out, va_arg(arguments, const char *));
        else if (*p == 'u') status_put_number(out, va_arg(arguments, unsigned), 10);
        else if (*p == 'x') status_put_number(out, va_arg(arguments, unsigned), 16);
        else if (*p == 'd') status_put_signed(out, va_arg(arguments, int));
        else if (p[0] == 'l' && p[1] == 'l' && p[2] == 'u') p += 2, status_put_number(out, va_arg(arguments, unsigned long long), 10);
        else if (p[0] == 'l' && p[1] == 'l' && p[2] == 'd') p += 2, status_put_signed(out, va_arg(arguments, long long));
        else if (p[0] == 'z' && p[1] == 'u') p += 1, status_put_number(out, va_arg(arguments, size_t), 10);
        else if (*p == '%') status_put(out, '%');
        else break; /* a format of ours that is wrong: say what was said so far */
    }
    out->buffer[out->size] = '\0';
}

void cmf_error_clear(cmf_error *error) {
    if (!error) return;
    error->status = CMF_OK;
    error->message[0] = '\0';
}

cmf_status cmf_fail(cmf_error *error, cmf_status status, const char *format, ...) {
    if (!error || error->status != CMF_OK) return status;
    status_text out = {error->message, 0, sizeof error->message};
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    status_format(&out, format, arguments);
    va_end(arguments);
    return status;
}

cmf_status cmf_fail_in(cmf_error *error, cmf_status status, const char *format, ...) {
    if (!error || error->status == CMF_OK) return status;
    char message[sizeof error->message];
    memcpy(message, error->message, sizeof message);
    status_text out = {error->message, 0, sizeof error->message};
    va_list arguments;
    va_start(arguments, format);
    status_format(&out, format, arguments);
    va_end(arguments);
    status_put(&out, ':');
    status_put(&out, ' ');
    for (size_t i = 0; i + 1u < sizeof message && message[i]; i++) status_put(&out, message[i]);
    error->message[out.size] = '\0';
    return status;
}
