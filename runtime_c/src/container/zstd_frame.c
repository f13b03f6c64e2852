/* One zstd frame into memory of known size: by the caller's decoder, or by libzstd where it is linked. */
#include "container/container.h"

#if defined(CMF_WITH_ZSTD)
#  include <zstd.h>
#endif

int cmf_zstd_available(const cmf_zstd *callback) {
#if defined(CMF_WITH_ZSTD)
    (void)callback;
    return 1;
#else
    return callback && callback->decompress;
#endif
}

cmf_status cmf_zstd_decode(const cmf_zstd *callback, uint8_t *target, size_t size, const uint8_t *source, size_t source_size,
                           cmf_error *error) {
    /* RFC 8878, 3.1.1.1.1: bit 2 of the byte after the magic. Without it a flipped bit may go unseen. */
    CMF_REQUIRE(source_size > 4u && (source[4] & 4u) != 0, CMF_E_CODEC, "a zstd frame without a checksum");
    if (callback && callback->decompress) {
        CMF_REQUIRE(callback->decompress(callback->user, target, size, source, source_size) == 0, CMF_E_CODEC,
                    "the zstd decoder refuses the frame or its size is not %zu", size);
        return CMF_OK;
    }
#if defined(CMF_WITH_ZSTD)
    /* One frame and nothing behind it; the decoder checks the rest, its checksum too. */
    CMF_REQUIRE(ZSTD_findFrameCompressedSize(source, source_size) == source_size &&
                    ZSTD_getFrameContentSize(source, source_size) == size,
                CMF_E_CODEC, "not one zstd frame of %zu bytes", size);
    size_t result = ZSTD_decompress(target, size, source, source_size);
    CMF_REQUIRE(!ZSTD_isError(result) && result == size, CMF_E_CODEC, "zstd: %s",
                ZSTD_isError(result) ? ZSTD_getErrorName(result) : "wrong size");
    return CMF_OK;
#else
    (void)target, (void)source, (void)source_size;
    CMF_FAIL(CMF_E_FEATURE, "no zstd decoder for %zu bytes", size);
#endif
}
