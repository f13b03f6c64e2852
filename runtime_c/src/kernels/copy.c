#include "kernels/copy.h"

#include <string.h>

#define COPY_STRIDED(type)                                                                      \
    static void copy_row_##type(void *out, const void *in, size_t n, ptrdiff_t stride) {        \
        type *y = out;                                                                          \
        const type *x = in;                                                                     \
        for (size_t i = 0; i < n; i++)                                                          \
            y[i] = x[(ptrdiff_t)i * stride];                                                    \
    }
COPY_STRIDED(uint8_t)
COPY_STRIDED(uint16_t)
COPY_STRIDED(uint32_t)
COPY_STRIDED(cmf_u64)

static void copy_row(void *target, const void *source, size_t n, ptrdiff_t stride, uint32_t element_size) {
    if (stride == 1)
        memcpy(target, source, n * element_size);
    else if (element_size == 1)
        copy_row_uint8_t(target, source, n, stride);
    else if (element_size == 2)
        copy_row_uint16_t(target, source, n, stride);
    else if (element_size == 4)
        copy_row_uint32_t(target, source, n, stride);
    else
        copy_row_cmf_u64(target, source, n, stride);
}

/* target[rows][columns] = source[column * stride + row], in tiles that stay in cache. */
#define COPY_TRANSPOSE(type)                                                                                       \
    static void copy_transpose_##type(void *out, const void *in, size_t rows, size_t columns, ptrdiff_t stride) {  \
        const size_t tile = 16;                                                                                    \
        type *y = out;                                                                                             \
        const type *x = in;                                                                                        \
        for (size_t c0 = 0; c0 < columns; c0 += tile)                                                              \
            for (size_t r0 = 0; r0 < rows; r0 += tile) {                                                           \
                const size_t c1 = columns - c0 < tile ? columns : c0 + tile, r1 = rows - r0 < tile ? rows : r0 + tile; \
                for (size_t r = r0; r < r1; r++)                                                                   \
                    for (size_t c = c0; c < c1; c++)                                                               \
                        y[r * columns + c] = x[(ptrdiff_t)c * stride + (ptrdiff_t)r];                              \
            }                                                                                                      \
    }
COPY_TRANSPOSE(uint8_t)
COPY_TRANSPOSE(uint16_t)
COPY_TRANSPOSE(uint32_t)
COPY_TRANSPOSE(cmf_u64)

static void copy_transpose(void *target, const void *source, size_t rows, size_t columns, ptrdiff_t stride,
                           uint32_t element_size) {
    if (element_size == 1)
        copy_transpose_uint8_t(target, source, rows, columns, stride);
    else if (element_size == 2)
        copy_transpose_uint16_t(target, source, rows, columns, stride);
    else if (element_size == 4)
        copy_transpose_uint32_t(target, source, rows, columns, stride);
    else
        copy_transpose_cmf_u64(target, source, rows, columns, stride);
}

void cmf_copy_view(void *target, const void *source, uint32_t rank, const int32_t *dims, const ptrdiff_t *strides,
                   uint32_t element_size) {
    /* merged dimensions, innermost first */
    size_t size[CMF_MAX_RANK];
    ptrdiff_t step[CMF_MAX_RANK];
    size_t index[CMF_MAX_RANK] = {0};
    uint32_t n = 0;
    for (uint32_t i = rank; i-- > 0;) {
        if (dims[i] == 1)
            continue;
        if (n > 0 && strides[i] == step[n - 1u] * (ptrdiff_t)size[n - 1u]) {
            size[n - 1u] *= (size_t)dims[i];
            continue;
        }
        size[n] = (size_t)dims[i];
        step[n++] = strides[i];
    }
    if (n == 0) {
        size[0] = 1;
        step[n++] = 1;
    }
    /* one block: a row, or a transposed matrix */
    const int matrix = n > 1 && step[0] != 1 && step[1] == 1;
    const uint32_t inner = matrix ? 2u : 1u;
    size_t block = matrix ? size[0] * size[1] : size[0];
    uint8_t *out = target;
    ptrdiff_t at = 0; /* element of the source */
    for (;;) {
        const uint8_t *in = (const uint8_t *)source + at * (ptrdiff_t)element_size;
        if (matrix)
            copy_transpose(out, in, size[1], size[0], step[0], element_size);
        else
            copy_row(out, in, size[0], step[0], element_size);
        out += block * element_size;
        uint32_t i = inner;
        for (; i < n; i++) {
            at += step[i];
            if (++index[i] < size[i])
                break;
            at -= step[i] * (ptrdiff_t)size[i];
            index[i] = 0;
        }
        if (i >= n)
            return;
    }
}

void cmf_fill(void *target, const void *value, uint32_t element_size, size_t n) {
    copy_row(target, value, n, n > 1 ? 0 : 1, element_size);
}

void cmf_recode_output(const cmf_array *input, const cmf_array *output) {
    if (output->dtype != CMF_I8 || cmf_array_same_codes(input, output))
        return;
    int8_t table[256];
    cmf_recode_table(input, output, table);
    cmf_recode(table, output->data, output->data, cmf_array_count(output));
}
