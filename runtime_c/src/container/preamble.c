/* The 64 bytes in front and the frame that they draw (FORMAT.md 1.1, 1.4). */
#include "base/bytes.h"
#include "container/container.h"
#include "container/crc32c.h"

#define PREAMBLE_SIZE 64u
#define PREAMBLE_DIGEST 32u
#define PREAMBLE_MAX_METADATA (UINT64_C(1) << 30)
#define PREAMBLE_FEATURE_ZSTD UINT64_C(1)
#define PREAMBLE_FEATURE_RANS UINT64_C(2)

static cmf_status preamble_features(uint64_t features, const cmf_zstd *zstd, cmf_error *error) {
    uint64_t unknown = features & ~(PREAMBLE_FEATURE_ZSTD | PREAMBLE_FEATURE_RANS);
    for (uint32_t bit = 0; unknown && bit < 64u; bit++)
        CMF_REQUIRE(!(unknown >> bit & 1u), CMF_E_FEATURE, "the file needs feature %u, which this reader does not know: use a newer one", bit);
    CMF_REQUIRE(!(features & PREAMBLE_FEATURE_RANS), CMF_E_FEATURE, "the file needs feature 1 (rans), which this reader lacks");
    CMF_REQUIRE(!(features & PREAMBLE_FEATURE_ZSTD) || cmf_zstd_available(zstd), CMF_E_FEATURE,
                "the file needs feature 0 (zstd): pass a decoder in cmf_open_options.zstd or build with CMF_WITH_ZSTD");
    return CMF_OK;
}

cmf_status cmf_preamble_read(cmf_container *c, const uint8_t *file, size_t size, const cmf_zstd *zstd, cmf_error *error) {
    static const uint8_t magic[8] = {0x89, 'C', 'M', 'F', '\r', '\n', 0x1a, '\n'};
    size_t known = size < sizeof magic ? size : sizeof magic;
    CMF_REQUIRE(memcmp(file, magic, known) == 0, CMF_E_MAGIC, "not a CMF file: it does not begin with \\x89CMF");
    CMF_REQUIRE(size >= PREAMBLE_SIZE, CMF_E_TRUNCATED, "the file has %zu bytes; the preamble alone has 64", size);
    CMF_REQUIRE(cmf_load_u32(file + 60) == cmf_crc32c(file, 60), CMF_E_CHECKSUM, "the preamble's checksum does not match: the file is damaged");
    uint32_t major = cmf_load_u16(file + 8), minor = cmf_load_u16(file + 10);
    CMF_REQUIRE(major == 1u, CMF_E_VERSION, "the file has format version %u.%u; this reader knows version 1", major, minor);
    CMF_REQUIRE(cmf_all_zero(file + 52, 8), CMF_E_METADATA, "preamble: reserved bytes are not zero");
    CMF_TRY(preamble_features(cmf_load_u64(file + 40), zstd, error));

    uint64_t alignment = cmf_load_u32(file + 12), file_size = cmf_load_u64(file + 16);
    uint64_t metadata_size = cmf_load_u64(file + 24), data_offset = cmf_load_u64(file + 32);
    CMF_REQUIRE(alignment >= 16u && alignment <= 4096u && (alignment & (alignment - 1u)) == 0u, CMF_E_METADATA,
                "preamble: alignment %llu is not a power of two from 16 to 4096", (unsigned long long)alignment);
    CMF_REQUIRE(size >= file_size, CMF_E_TRUNCATED, "the file is cut short: it has %zu of %llu bytes", size, (unsigned long long)file_size);
    CMF_REQUIRE(size == file_size, CMF_E_METADATA, "the file has %zu bytes, %llu more than its preamble says", size,
                (unsigned long long)(size - file_size));
    CMF_REQUIRE(metadata_size <= PREAMBLE_MAX_METADATA, CMF_E_LIMIT, "preamble: %llu bytes of metadata; the limit is 2^30",
                (unsigned long long)metadata_size);
    uint64_t metadata_end = PREAMBLE_SIZE + metadata_size;
    CMF_REQUIRE(data_offset == cmf_round_up(metadata_end, alignment), CMF_E_METADATA,
                "preamble: the data section begins at %llu, not right after the metadata", (unsigned long long)data_offset);
    CMF_REQUIRE(file_size >= PREAMBLE_DIGEST && data_offset <= file_size - PREAMBLE_DIGEST, CMF_E_TRUNCATED,
                "preamble: the data section begins at %llu, beyond the end of the file", (unsigned long long)data_offset);
    CMF_REQUIRE(cmf_all_zero(file + metadata_end, (size_t)(data_offset - metadata_end)), CMF_E_BUFFER,
                "the padding between metadata and data is not zero");

    memset(c, 0, sizeof *c);
    c->file = file;
    c->file_size = file_size;
    c->alignment = (uint32_t)alignment;
    c->metadata = file + PREAMBLE_SIZE;
    c->metadata_size = (uint32_t)metadata_size;
    c->metadata_crc32c = cmf_load_u32(file + 48);
    c->section = file + data_offset;
    c->section_size = file_size - PREAMBLE_DIGEST - data_offset;
    c->zstd = zstd;
    return CMF_OK;
}
