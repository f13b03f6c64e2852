/* CRC-32C (Castagnoli, reflected 0x82F63B78): eight bytes a step by tables, or the processor's own instruction. */
#include "container/crc32c.h"

#include "base/bytes.h"

#if defined(CMF_FREESTANDING)

/* Four bits a step: 64 bytes of table. */
uint32_t cmf_crc32c(const void *data, size_t size) {
    static const uint32_t table[16] = {
        0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u,
        0x417b1dbcu, 0x5125dad3u, 0x61c69362u, 0x7198540du,
        0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
        0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u,
    };
    const uint8_t *p = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15u];
        crc = crc >> 4 ^ table[crc & 15u];
    }
    return ~crc;
}

#else

/* Entry x of table s is x's remainder after s + 1 bytes. Remainders are linear: entry x is the xor of the entries of x's
 * bits, so eight numbers a table say everything, and the compiler writes the rest. */
#define CRC_ENTRY(x, a, b, c, d, e, f, g, h)                                                              \
    (((x) & 1 ? a : 0u) ^ ((x) & 2 ? b : 0u) ^ ((x) & 4 ? c : 0u) ^ ((x) & 8 ? d : 0u) ^ ((x) & 16 ? e : 0u) ^ \
     ((x) & 32 ? f : 0u) ^ ((x) & 64 ? g : 0u) ^ ((x) & 128 ? h : 0u))
#define CRC_ROW4(x, ...)                                                                                  \
    CRC_ENTRY((x), __VA_ARGS__), CRC_ENTRY((x) + 1, __VA_ARGS__), CRC_ENTRY((x) + 2, __VA_ARGS__),        \
        CRC_ENTRY((x) + 3, __VA_ARGS__)
#define CRC_ROW16(x, ...)                                                                                 \
    CRC_ROW4((x), __VA_ARGS__), CRC_ROW4((x) + 4, __VA_ARGS__), CRC_ROW4((x) + 8, __VA_ARGS__),           \
        CRC_ROW4((x) + 12, __VA_ARGS__)
#define CRC_ROW64(x, ...)                                                                                 \
    CRC_ROW16((x), __VA_ARGS__), CRC_ROW16((x) + 16, __VA_ARGS__), CRC_ROW16((x) + 32, __VA_ARGS__),      \
        CRC_ROW16((x) + 48, __VA_ARGS__)
#define CRC_TABLE(...)                                                                                    \
    CRC_ROW64(0, __VA_ARGS__), CRC_ROW64(64, __VA_ARGS__), CRC_ROW64(128, __VA_ARGS__), CRC_ROW64(192, __VA_ARGS__)

static const uint32_t crc_tables[8][256] = {
    {CRC_TABLE(0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu,
               0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu, 0x82f63b78u)},
    {CRC_TABLE(0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u,
               0x3fc5f181u, 0x7f8be302u, 0xff17c604u, 0xfbc3faf9u)},
    {CRC_TABLE(0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u,
               0x70a27d8au, 0xe144fb14u, 0xc76580d9u, 0x8b277743u)},
    {CRC_TABLE(0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u,
               0xe964b13du, 0xd725148bu, 0xaba65fe7u, 0x52a0c93fu)},
    {CRC_TABLE(0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u,
               0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu, 0x6ea2d55cu)},
    {CRC_TABLE(0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu,
               0xc00c303eu, 0x85f4168du, 0x0e045bebu, 0x1c08b7d6u)},
    {CRC_TABLE(0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u,
               0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au, 0xf56e0ef4u)},
    {CRC_TABLE(0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau,
               0x847609b4u, 0x0d006599u, 0x1a00cb32u, 0x34019664u)},
};

/* Slicing by 8 (Kounavis and Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation", 2008). */
uint32_t cmf_crc32c_tables(const void *data, size_t size) {
    const uint8_t *p = data;
    uint32_t crc = 0xffffffffu;
    for (; size >= 8u; p += 8, size -= 8u) {
        uint32_t low = cmf_load_u32(p) ^ crc, high = cmf_load_u32(p + 4);
        crc = 0;
        for (unsigned i = 0; i < 4; i++) {
            crc ^= crc_tables[7u - i][low >> (8u * i) & 255u];
            crc ^= crc_tables[3u - i][high >> (8u * i) & 255u];
        }
    }
    for (; size; p++, size--) crc = crc >> 8 ^ crc_tables[0][(crc ^ *p) & 255u];
    return ~crc;
}

#if defined(__x86_64__) && defined(__GNUC__)

__attribute__((target("sse4.2"))) static uint32_t crc_sse42(const uint8_t *p, size_t size) {
    uint64_t crc = 0xffffffffu;
    for (; size >= 8u; p += 8, size -= 8u) crc = __builtin_ia32_crc32di(crc, cmf_load_u64(p));
    uint32_t rest = (uint32_t)crc;
    for (; size; p++, size--) rest = __builtin_ia32_crc32qi(rest, *p);
    return ~rest;
}

uint32_t cmf_crc32c(const void *data, size_t size) {
    return __builtin_cpu_supports("sse4.2") ? crc_sse42(data, size) : cmf_crc32c_tables(data, size);
}

#else

uint32_t cmf_crc32c(const void *data, size_t size) { return cmf_crc32c_tables(data, size); }

#endif
#endif
