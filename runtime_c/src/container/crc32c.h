#ifndef CMF_CONTAINER_CRC32C_H
#define CMF_CONTAINER_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C of `size` bytes (FORMAT.md 1.1): "123456789" gives 0xe3069283. */
uint32_t cmf_crc32c(const void *data, size_t size);

#if !defined(CMF_FREESTANDING)
/* The same without the processor's CRC instruction, for tests. */
uint32_t cmf_crc32c_tables(const void *data, size_t size);
#endif

#endif
