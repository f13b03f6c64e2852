/* The data section: buffers one after the other, zeros between them, nothing else (FORMAT.md 1.2). */
#include "container/container.h"
#include "container/crc32c.h"
#include "container/schema_gen.h"
#include "container/sha256.h"

#define BUFFERS_MAX (1u << 20)
#define BUFFERS_SHARING 16u             /* FORMAT.md 1.2: how often spans may name a byte, on average */
#define BUFFERS_SLACK (UINT64_C(1) << 24)

cmf_status cmf_buffers_check(cmf_container *c, uint64_t max_resident, cmf_error *error) {
    const uint8_t *vector = cmf_fb_model_buffers(c->root);
    uint32_t count = cmf_fb_length(vector);
    uint64_t end = 0, decoded = 0, bytes = 0;
    int zstd = (cmf_load_u64(c->file + 40) & 1u) != 0u;
    CMF_REQUIRE(count <= BUFFERS_MAX, CMF_E_LIMIT, "%u buffers; the limit is 2^20", count);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *buffer = cmf_fb_element(vector, i, CMF_FB_BUFFER_SIZE);
        uint64_t offset = cmf_fb_buffer_offset(buffer), stored = cmf_fb_buffer_stored_size(buffer);
        uint64_t size = cmf_fb_buffer_size(buffer), begin = cmf_round_up(end, c->alignment);
        uint32_t codec = cmf_fb_buffer_codec(buffer);
        CMF_REQUIRE(offset == begin, CMF_E_BUFFER, "buffer %u begins at %llu; the one before leads to %llu", i,
                    (unsigned long long)offset, (unsigned long long)begin);
        CMF_REQUIRE(begin <= c->section_size && stored <= c->section_size - begin, CMF_E_BUFFER,
                    "buffer %u of %llu bytes leaves the data section", i, (unsigned long long)stored);
        CMF_REQUIRE(cmf_all_zero(c->section + end, (size_t)(begin - end)), CMF_E_BUFFER, "the padding before buffer %u is not zero", i);
        CMF_REQUIRE(codec < CMF_FB_CODEC_COUNT, CMF_E_VERSION, "buffer %u has codec %u, which this reader does not know", i, codec);
        CMF_REQUIRE(codec != CMF_FB_CODEC_RANS, CMF_E_FEATURE, "buffer %u has codec rans, which this reader lacks", i);
        if (codec == CMF_FB_CODEC_ZSTD) {
            CMF_REQUIRE(zstd, CMF_E_FEATURE, "buffer %u has codec zstd, but the preamble does not name that feature", i);
            CMF_REQUIRE(size <= max_resident && decoded <= max_resident - size && size <= SIZE_MAX / 4u, CMF_E_LIMIT,
                        "zstd buffers up to number %u decode to more than max_resident = %llu bytes", i, (unsigned long long)max_resident);
            decoded += size;
        } else {
            CMF_REQUIRE(size == stored, CMF_E_BUFFER, "raw buffer %u states two sizes", i);
        }
        end = begin + stored;
        bytes += size; /* no overflow: the file is in memory, and zstd buffers are within max_resident */
    }
    CMF_REQUIRE(end == c->section_size, CMF_E_BUFFER, "%llu bytes of the data section belong to no buffer",
                (unsigned long long)(c->section_size - end));
    c->buffers = vector;
    c->buffer_count = count;
    c->decoded_bytes = decoded;
    c->span_limit = bytes < (UINT64_C(1) << 56) ? BUFFERS_SHARING * bytes + BUFFERS_SLACK : UINT64_MAX;
    return CMF_OK;
}

cmf_status cmf_metadata_checksum(const cmf_container *c, cmf_error *error) {
    CMF_REQUIRE(cmf_crc32c(c->metadata, c->metadata_size) == c->metadata_crc32c, CMF_E_CHECKSUM,
                "the metadata's checksum does not match: the file is damaged");
    return CMF_OK;
}

cmf_status cmf_container_checksums(const cmf_container *c, cmf_error *error) {
    for (uint32_t i = 0; i < c->buffer_count; i++) {
        const uint8_t *buffer = cmf_fb_element(c->buffers, i, CMF_FB_BUFFER_SIZE);
        uint32_t crc = cmf_crc32c(c->section + cmf_fb_buffer_offset(buffer), (size_t)cmf_fb_buffer_stored_size(buffer));
        CMF_REQUIRE(crc == cmf_fb_buffer_crc32c(buffer), CMF_E_CHECKSUM, "the checksum of buffer %u does not match: the file is damaged", i);
    }
    uint8_t digest[32];
    cmf_sha256(c->file, (size_t)(c->file_size - sizeof digest), digest);
    CMF_REQUIRE(memcmp(digest, c->file + c->file_size - sizeof digest, sizeof digest) == 0, CMF_E_CHECKSUM,
                "the file's SHA-256 does not match: the file is damaged");
    return CMF_OK;
}
