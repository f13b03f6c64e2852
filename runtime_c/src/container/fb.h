/* FlatBuffers, as little of them as reading needs: a verifier that is driven by tables, and loads from what it passed.
 *
 * A table, struct, vector or string is a `const uint8_t *` to its first byte; NULL stands for an absent one. The metadata
 * block's base may be only 4-byte aligned in memory, so everything is loaded through memcpy. */
#ifndef CMF_CONTAINER_FB_H
#define CMF_CONTAINER_FB_H

#include "base/bytes.h"
#include "base/status.h"

/* ------------------------------------------------------------------ rules (schema_gen.c) */

enum {
    CMF_FB_KIND_SCALAR,  /* a number or a struct, inline: size, align */
    CMF_FB_KIND_ENUM,    /* a number of `size` bytes, at most `limit` */
    CMF_FB_KIND_STRING,
    CMF_FB_KIND_STRINGS, /* a vector of strings */
    CMF_FB_KIND_VECTOR,  /* of numbers or structs: size, align of an element */
    CMF_FB_KIND_TABLE,   /* `limit`: index of its rules */
    CMF_FB_KIND_TABLES,  /* a vector of tables */
    CMF_FB_KIND_UNION    /* its type is the field before; rules: cmf_fb_members[limit + type], type < count */
};

typedef struct cmf_fb_field_rule {
    const char *name;
    uint16_t limit;
    uint8_t kind, required, size, align, count;
} cmf_fb_field_rule;

typedef struct cmf_fb_table_rule {
    const char *name;
    uint16_t first, count; /* rows of cmf_fb_fields, in order of field ids */
} cmf_fb_table_rule;

extern const cmf_fb_field_rule cmf_fb_fields[];
extern const cmf_fb_table_rule cmf_fb_tables[];
extern const uint8_t cmf_fb_members[];

#define CMF_FB_MAX_DEPTH 32u
#define CMF_FB_MAX_STRING 65535u

/* Proves that the FlatBuffer of `size` bytes at `data` may be read with the functions below and with those of schema_gen.h:
 * every offset leads to an aligned object inside the block, every required field is there, every enum is known, every
 * string ends in NUL. Tables and vectors may not be reused to an extent that all references together
 * name more bytes than the block has, which bounds both the verifier's work and what a reader makes of the result.
 * Gives the root table. */
cmf_status cmf_fb_verify(const uint8_t *data, size_t size, const uint8_t **root, cmf_error *error);

/* ------------------------------------------------------------------ loads, only after cmf_fb_verify */

/* Where field `id` of a table lies; NULL where it is absent. */
static inline const uint8_t *cmf_fb_slot(const uint8_t *table, uint32_t id) {
    const uint8_t *vtable = table - cmf_load_i32(table);
    uint32_t entry = 4u + 2u * id;
    if (entry + 2u > cmf_load_u16(vtable)) return NULL;
    uint32_t offset = cmf_load_u16(vtable + entry);
    return offset ? table + offset : NULL;
}

/* The table, vector or string that field `id` refers to; NULL where it is absent. */
static inline const uint8_t *cmf_fb_ref(const uint8_t *table, uint32_t id) {
    const uint8_t *slot = cmf_fb_slot(table, id);
    return slot ? slot + cmf_load_u32(slot) : NULL;
}

#define CMF_FB_DEFINE_SCALAR(name, type)                                                  \
    static inline type cmf_fb_##name(const uint8_t *table, uint32_t id, type otherwise) { \
        const uint8_t *slot = cmf_fb_slot(table, id);                                     \
        return slot ? cmf_load_##name(slot) : otherwise;                                  \
    }
CMF_FB_DEFINE_SCALAR(u8, uint8_t)
CMF_FB_DEFINE_SCALAR(i8, int8_t)
CMF_FB_DEFINE_SCALAR(u16, uint16_t)
CMF_FB_DEFINE_SCALAR(i16, int16_t)
CMF_FB_DEFINE_SCALAR(u32, uint32_t)
CMF_FB_DEFINE_SCALAR(i32, int32_t)
CMF_FB_DEFINE_SCALAR(u64, uint64_t)
CMF_FB_DEFINE_SCALAR(i64, int64_t)
CMF_FB_DEFINE_SCALAR(f32, float)
#undef CMF_FB_DEFINE_SCALAR

/* Elements of a vector, or bytes of a string; 0 for an absent one. */
static inline uint32_t cmf_fb_length(const uint8_t *vector) { return vector ? cmf_load_u32(vector) : 0u; }
/* Element i of a vector of numbers or structs of `size` bytes. */
static inline const uint8_t *cmf_fb_element(const uint8_t *vector, uint32_t i, uint32_t size) {
    return vector + 4u + (size_t)i * size;
}
/* Element i of a vector of tables or strings. */
static inline const uint8_t *cmf_fb_item(const uint8_t *vector, uint32_t i) {
    const uint8_t *slot = cmf_fb_element(vector, i, 4u);
    return slot + cmf_load_u32(slot);
}
/* A string's characters, NUL-terminated; "" for an absent one. */
static inline const char *cmf_fb_text(const uint8_t *string) { return string ? (const char *)(string + 4) : ""; }

#endif
