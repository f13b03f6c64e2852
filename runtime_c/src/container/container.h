/* A file as a sequence of blocks (FORMAT.md section 1), and the way from it to a struct cmf_model. Opening has two steps: the
 * first checks the file and counts the memory that the second fills, with the same code. */
#ifndef CMF_CONTAINER_CONTAINER_H
#define CMF_CONTAINER_CONTAINER_H

#include "base/model.h"
#include "base/status.h"

typedef struct cmf_container {
    const uint8_t *file;
    uint64_t file_size;
    uint32_t alignment;
    const uint8_t *metadata;
    uint32_t metadata_size, metadata_crc32c;
    const uint8_t *section;   /* data section */
    uint64_t section_size;    /* without the digest */
    const uint8_t *root;      /* table Model, verified */
    const uint8_t *buffers;   /* vector of Buffer, verified to tile the section */
    uint32_t buffer_count;
    const cmf_zstd *zstd;     /* the caller's decoder, or NULL */
    uint64_t decoded_bytes;   /* of all zstd buffers */
    uint64_t span_limit;      /* what all spans together may name: bounds the work of whoever reads them */
    size_t block_size;        /* what cmf_container_build needs */
    size_t block_alignment;
} cmf_container;

/* Checks everything of level structure that needs no decoded buffer, and counts. */
cmf_status cmf_container_open(cmf_container *container, const void *data, size_t size, const cmf_open_options *options,
                              cmf_error *error);

/* Decodes zstd buffers and builds the model in `block` (block_size bytes, aligned to block_alignment); checks the graph. Trees are
 * filled in, but their spans are not yet proved to fit them: that is encodings/ (cmf_tree_validate). */
cmf_status cmf_container_build(const cmf_container *container, void *block, cmf_model **model, cmf_error *error);

/* Level full, after cmf_container_open (which checks the CRC of the metadata then): CRC of every buffer, SHA-256 of the file. */
cmf_status cmf_container_checksums(const cmf_container *container, cmf_error *error);

/* ------------------------------------------------------------------ between the files of container/ */

/* preamble.c: everything outside the metadata block, but for the tiling of buffers. */
cmf_status cmf_preamble_read(cmf_container *container, const uint8_t *file, size_t size, const cmf_zstd *zstd, cmf_error *error);
/* buffers.c: needs container->root; fills buffers, buffer_count, decoded_bytes. */
cmf_status cmf_buffers_check(cmf_container *container, uint64_t max_resident, cmf_error *error);
cmf_status cmf_metadata_checksum(const cmf_container *container, cmf_error *error);
/* graph.c: order, single writers, fit of weights to the nodes that use them. Fills in cmf_value.origin. */
cmf_status cmf_graph_check(cmf_model *model, cmf_error *error);
/* zstd_frame.c */
int cmf_zstd_available(const cmf_zstd *callback);
cmf_status cmf_zstd_decode(const cmf_zstd *callback, uint8_t *target, size_t size, const uint8_t *source, size_t source_size,
                           cmf_error *error);

#endif
