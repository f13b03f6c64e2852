/* libFuzzer target: any bytes, opened at level structure, then run within limits (tests/c/attempt.h says what must hold).
 *
 * What only costs a fuzzer time - magic, sizes and the checksum of the preamble - is put right first. tools/fuzz builds and
 * runs it; replay.c runs a corpus without libFuzzer. */
#include "attempt.h"
#include "base/bytes.h"
#include "container/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t magic[12] = {0x89, 'C', 'M', 'F', '\r', '\n', 0x1a, '\n', 1, 0, 0, 0};
    attempt_counts counts = {0, 0, 0};
    cmf_error error;
    if (size > (1u << 20)) return 0;
    /* The copy ends where its memory ends: reading further is seen. */
    uint8_t *file = malloc(size ? size : 1u);
    ATTEMPT_CHECK(file);
    if (size) memcpy(file, data, size);
    if (size >= 96u) {
        uint64_t file_size = size, alignment = cmf_load_u32(file + 12), metadata_size = cmf_load_u64(file + 24);
        memcpy(file, magic, sizeof magic);
        memcpy(file + 16, &file_size, 8);
        if (alignment && alignment <= 4096u && metadata_size <= size) {
            uint64_t data_offset = cmf_round_up(64u + metadata_size, alignment);
            memcpy(file + 32, &data_offset, 8);
        }
        memset(file + 52, 0, 8);
        uint32_t crc = cmf_crc32c(file, 60);
        memcpy(file + 60, &crc, 4);
    }
    (void)attempt(file, size, CMF_VERIFY_STRUCTURE, &counts, &error);
    free(file);
    return 0;
}

#if defined(CMF_LIBFUZZER)
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* Mostly changes a few bytes where they are: a file whose parts have moved is refused early. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    uint64_t state = seed + 1u;
    if (size < 96u || attempt_random(&state) % 8u == 0) return LLVMFuzzerMutate(data, size, max_size);
    uint64_t metadata_size = cmf_load_u64(data + 24);
    size_t end = metadata_size < size - 64u && attempt_random(&state) % 4u ? 64u + (size_t)metadata_size : size;
    for (uint64_t n = 1u + attempt_random(&state) % 3u; n; n--) {
        size_t at = (size_t)(attempt_random(&state) % end), length = 1u + (size_t)(attempt_random(&state) % 16u);
        if (length > end - at) length = end - at;
        (void)LLVMFuzzerMutate(data + at, length, length);
    }
    return size;
}
#endif
