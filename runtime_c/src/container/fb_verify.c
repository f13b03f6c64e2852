/* The FlatBuffer verifier: a walk over the block along the rules of schema_gen.c. Positions are counted from the block's
 * start, in 64 bits, so that no sum can wrap (the block is below 2^31 bytes, an offset below 2^32). */
#include "container/fb.h"
#include "container/schema_gen.h"

/* Writers write equal tables and vectors once (the options of like layers); counted at each use they take a few times
 * the block at most. More is no network but an attempt at work without end. */
#define FB_SHARING 4u

typedef struct fb_verifier {
    const uint8_t *data;
    uint64_t size;
    uint64_t budget; /* bytes of tables and vectors that may still be referred to */
    cmf_error *error;
} fb_verifier;

static cmf_status fb_verify_table(fb_verifier *v, uint64_t at, const cmf_fb_table_rule *rule, uint32_t depth);

static cmf_status fb_charge(fb_verifier *v, uint64_t bytes, const char *table, const char *field) {
    cmf_error *error = v->error;
    CMF_REQUIRE(bytes <= v->budget, CMF_E_METADATA,
                "metadata: %s.%s refers again to tables or vectors that are already in use", table, field);
    v->budget -= bytes;
    return CMF_OK;
}

/* Follows the offset stored at `slot`; the target and its 4 leading bytes are inside and aligned. */
static cmf_status fb_follow(fb_verifier *v, uint64_t slot, const char *table, const char *field, uint64_t *target) {
    cmf_error *error = v->error;
    uint32_t offset = cmf_load_u32(v->data + slot);
    *target = slot + offset;
    CMF_REQUIRE(offset != 0u && *target % 4u == 0u && *target + 4u <= v->size, CMF_E_METADATA,
                "metadata: %s.%s at byte %llu has a bad offset", table, field, (unsigned long long)slot);
    return CMF_OK;
}

static cmf_status fb_verify_string(fb_verifier *v, uint64_t at, const char *table, const char *field) {
    cmf_error *error = v->error;
    uint64_t length = cmf_load_u32(v->data + at);
    CMF_REQUIRE(length <= CMF_FB_MAX_STRING, CMF_E_LIMIT, "metadata: %s.%s is a string of %llu bytes; the limit is %u", table,
                field, (unsigned long long)length, CMF_FB_MAX_STRING);
    CMF_REQUIRE(at + 4u + length + 1u <= v->size && v->data[at + 4u + length] == 0, CMF_E_METADATA,
                "metadata: %s.%s at byte %llu is a string that does not end", table, field, (unsigned long long)at);
    return CMF_OK;
}

static cmf_status fb_verify_vector(fb_verifier *v, uint64_t at, const cmf_fb_field_rule *f, const char *table) {
    cmf_error *error = v->error;
    uint64_t bytes = (uint64_t)cmf_load_u32(v->data + at) * f->size;
    CMF_REQUIRE(at + 4u + bytes <= v->size && (at + 4u) % f->align == 0u, CMF_E_METADATA,
                "metadata: %s.%s at byte %llu is a vector that leaves the block or is misaligned", table, f->name,
                (unsigned long long)at);
    return fb_charge(v, 4u + bytes, table, f->name);
}

static cmf_status fb_verify_field(fb_verifier *v, uint64_t slot, const cmf_fb_field_rule *f, const char *table,
                                  uint32_t type, uint32_t depth) {
    cmf_error *error = v->error;
    uint64_t target;
    if (f->kind == CMF_FB_KIND_SCALAR) return CMF_OK;
    if (f->kind == CMF_FB_KIND_ENUM) {
        uint32_t id = f->size == 1u ? v->data[slot] : cmf_load_u16(v->data + slot);
        CMF_REQUIRE(id <= f->limit, CMF_E_VERSION, "metadata: %s.%s has id %u, which this reader does not know (it knows 0 to %u)",
                    table, f->name, id, (unsigned)f->limit);
        return CMF_OK;
    }
    CMF_TRY(fb_follow(v, slot, table, f->name, &target));
    switch (f->kind) {
    case CMF_FB_KIND_STRING: return fb_verify_string(v, target, table, f->name);
    case CMF_FB_KIND_TABLE: return fb_verify_table(v, target, &cmf_fb_tables[f->limit], depth - 1u);
    case CMF_FB_KIND_UNION: return fb_verify_table(v, target, &cmf_fb_tables[cmf_fb_members[f->limit + type]], depth - 1u);
    default: CMF_TRY(fb_verify_vector(v, target, f, table));
    }
    if (f->kind == CMF_FB_KIND_VECTOR) return CMF_OK;
    uint32_t length = cmf_load_u32(v->data + target);
    for (uint32_t i = 0; i < length; i++) {
        uint64_t item;
        CMF_TRY(fb_follow(v, target + 4u + 4u * (uint64_t)i, table, f->name, &item));
        if (f->kind == CMF_FB_KIND_STRINGS) CMF_TRY(fb_verify_string(v, item, table, f->name));
        else CMF_TRY(fb_verify_table(v, item, &cmf_fb_tables[f->limit], depth - 1u));
    }
    return CMF_OK;
}

/* `at` is aligned to 4 and at least 4 bytes lie there. */
static cmf_status fb_verify_table(fb_verifier *v, uint64_t at, const cmf_fb_table_rule *rule, uint32_t depth) {
    cmf_error *error = v->error;
    CMF_REQUIRE(depth > 0u, CMF_E_LIMIT, "metadata: tables are nested deeper than %u at table %s", CMF_FB_MAX_DEPTH, rule->name);
    int64_t vtable_at = (int64_t)at - cmf_load_i32(v->data + at);
    CMF_REQUIRE(vtable_at >= 0 && vtable_at % 2 == 0 && (uint64_t)vtable_at + 4u <= v->size, CMF_E_METADATA,
                "metadata: table %s at byte %llu has no vtable", rule->name, (unsigned long long)at);
    const uint8_t *vtable = v->data + vtable_at;
    uint64_t vtable_size = cmf_load_u16(vtable), table_size = cmf_load_u16(vtable + 2);
    CMF_REQUIRE(vtable_size >= 4u && vtable_size % 2u == 0u && (uint64_t)vtable_at + vtable_size <= v->size &&
                    table_size >= 4u && at + table_size <= v->size,
                CMF_E_METADATA, "metadata: table %s at byte %llu leaves the block", rule->name, (unsigned long long)at);
    CMF_TRY(fb_charge(v, table_size, rule->name, "*"));
    uint32_t type = 0; /* of a union: the value of the field before */
    for (uint32_t id = 0; id < rule->count; id++) {
        const cmf_fb_field_rule *f = &cmf_fb_fields[rule->first + id];
        uint64_t entry = 4u + 2u * (uint64_t)id;
        uint64_t offset = entry + 2u <= vtable_size ? cmf_load_u16(vtable + entry) : 0u;
        int is_union = f->kind == CMF_FB_KIND_UNION;
        CMF_REQUIRE(offset || !f->required, CMF_E_METADATA, "metadata: table %s at byte %llu lacks its field %s", rule->name,
                    (unsigned long long)at, f->name);
        CMF_REQUIRE(!is_union || (offset != 0u) == (type != 0u), CMF_E_METADATA,
                    "metadata: union %s.%s at byte %llu has a type without a value, or the other way round", rule->name, f->name,
                    (unsigned long long)at);
        uint64_t slot = at + offset;
        if (offset) {
            int is_vector = f->kind == CMF_FB_KIND_VECTOR; /* size and align are its elements'; the slot holds an offset */
            uint64_t size = is_vector ? 4u : f->size, align = is_vector ? 4u : f->align;
            CMF_REQUIRE(offset >= 4u && offset + size <= table_size && slot % align == 0u, CMF_E_METADATA,
                        "metadata: field %s.%s at byte %llu lies outside its table or is misaligned", rule->name, f->name,
                        (unsigned long long)at);
            CMF_TRY(fb_verify_field(v, slot, f, rule->name, type, depth));
        }
        type = offset && f->kind == CMF_FB_KIND_ENUM ? v->data[slot] : 0u;
    }
    return CMF_OK;
}

cmf_status cmf_fb_verify(const uint8_t *data, size_t size, const uint8_t **root, cmf_error *error) {
    static const char identifier[4] = CMF_FB_IDENTIFIER;
    CMF_REQUIRE(size >= 12u && size <= 0x7fffffffu, CMF_E_METADATA, "metadata: a block of %zu bytes cannot be a FlatBuffer", size);
    CMF_REQUIRE(memcmp(data + 4, identifier, 4) == 0, CMF_E_METADATA, "metadata: the FlatBuffer identifier is not %s", "CMF1");
    fb_verifier v = {data, size, FB_SHARING * (uint64_t)size, error};
    uint64_t at;
    CMF_TRY(fb_follow(&v, 0, "Model", "root", &at));
    CMF_TRY(fb_verify_table(&v, at, &cmf_fb_tables[CMF_FB_TABLE_ROOT], CMF_FB_MAX_DEPTH));
    *root = data + at;
    return CMF_OK;
}
