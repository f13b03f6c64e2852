/* Opening hostile files.
 *
 *     test_open kat                      known answers of checksums and messages
 *     test_open api FILE FOLDER          the arguments of opening; FILE names its symbol n, input x, output y, weight w
 *     test_open open LEVEL FILE...       status and message of each, one line a file
 *     test_open prefixes FILE...         every prefix up to 64 KB is refused, sampled above
 *     test_open mutate SEED COUNT FILE...  COUNT mutations of each file, see mutate()
 *
 * Build with -fsanitize=address,undefined; tests/container_c drives it. */
#include <signal.h>
#include <unistd.h>

#include "attempt.h"
#include "base/bytes.h"
#include "base/status.h"
#include "container/crc32c.h"
#include "container/schema_gen.h"
#include "container/sha256.h"

#if defined(__SANITIZE_ADDRESS__)
#  include <sanitizer/asan_interface.h>
#else
#  define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#  define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define HANG_SECONDS 60u

typedef struct file_bytes {
    uint8_t *data;
    size_t size;
} file_bytes;

static file_bytes load(const char *path) {
    FILE *file = fopen(path, "rb");
    ATTEMPT_CHECK(file && fseek(file, 0, SEEK_END) == 0);
    file_bytes out = {NULL, (size_t)ftell(file)};
    rewind(file);
    out.data = aligned_alloc(64, (out.size + 127u) & ~(size_t)63u);
    ATTEMPT_CHECK(out.data && fread(out.data, 1, out.size, file) == out.size);
    fclose(file);
    return out;
}

/* ------------------------------------------------------------------ known answers */

static uint32_t crc_bitwise(const uint8_t *p, size_t size) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1u)));
    }
    return ~crc;
}

static void check_sha(const void *data, size_t size, const char *expected) {
    uint8_t digest[32];
    char hex[65];
    cmf_sha256(data, size, digest);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    ATTEMPT_CHECK(strcmp(hex, expected) == 0);
}

static void kat(void) {
    static uint8_t bytes[600];
    uint64_t state = 7;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)attempt_random(&state);
    /* RFC 3720, B.4 */
    static const uint8_t zeros[32];
    uint8_t ones[32], up[32];
    memset(ones, 0xff, sizeof ones);
    for (unsigned i = 0; i < 32; i++) up[i] = (uint8_t)i;
    ATTEMPT_CHECK(cmf_crc32c("123456789", 9) == 0xe3069283u);
    ATTEMPT_CHECK(cmf_crc32c(zeros, 32) == 0x8a9136aau && cmf_crc32c_tables(zeros, 32) == 0x8a9136aau);
    ATTEMPT_CHECK(cmf_crc32c(ones, 32) == 0x62a8ab43u && cmf_crc32c_tables(ones, 32) == 0x62a8ab43u);
    ATTEMPT_CHECK(cmf_crc32c(up, 32) == 0x46dd794eu && cmf_crc32c_tables(up, 32) == 0x46dd794eu);
    for (size_t begin = 0; begin < 9; begin++)
        for (size_t size = 0; size < 300; size++) {
            uint32_t expected = crc_bitwise(bytes + begin, size);
            ATTEMPT_CHECK(cmf_crc32c(bytes + begin, size) == expected && cmf_crc32c_tables(bytes + begin, size) == expected);
        }
    /* FIPS 180-4's examples, and lengths around a block computed with Python's hashlib */
    check_sha("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    static uint8_t as[1000000];
    memset(as, 'a', sizeof as);
    check_sha(as, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    check_sha(as, 63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34");
    check_sha(as, 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    check_sha(as, 65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0");
    check_sha(as, sizeof as, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");

    cmf_error error;
    cmf_error_clear(&error);
    ATTEMPT_CHECK(cmf_fail(&error, CMF_E_GRAPH, "%s|%u|%d|%llu|%lld|%zu|%x|%%", "a\nb", 4294967295u, -2147483647 - 1, ~0ull,
                           -9223372036854775807ll - 1, (size_t)7, 0xbeefu) == CMF_E_GRAPH);
    ATTEMPT_CHECK(strcmp(error.message, "a?b|4294967295|-2147483648|18446744073709551615|-9223372036854775808|7|beef|%") == 0);
    cmf_fail(&error, CMF_E_IO, "a later cause");
    ATTEMPT_CHECK(error.status == CMF_E_GRAPH && error.message[0] == 'a');
    cmf_error_clear(&error);
    cmf_fail(&error, CMF_E_SHAPE, "too wide");
    cmf_fail_in(&error, error.status, "node %u '%s'", 3u, "fc");
    ATTEMPT_CHECK(strcmp(error.message, "node 3 'fc': too wide") == 0);
    for (int i = 0; i < 50; i++) cmf_fail_in(&error, error.status, "node '%s'", "a name that is rather long");
    ATTEMPT_CHECK(strlen(error.message) == sizeof error.message - 1u);
    ATTEMPT_CHECK(cmf_fail(NULL, CMF_E_IO, "no error wanted") == CMF_E_IO);
    ATTEMPT_CHECK(strcmp(cmf_status_name(CMF_E_CODEC), "E_CODEC") == 0 && cmf_status_text((cmf_status)12345)[0]);
}

/* ------------------------------------------------------------------ files as they are */

static void open_files(const char *level, char **paths, int count) {
    cmf_verify verify = strcmp(level, "full") == 0 ? CMF_VERIFY_FULL : CMF_VERIFY_STRUCTURE;
    attempt_counts counts = {0, 0, 0};
    for (int i = 0; i < count; i++) {
        file_bytes file = load(paths[i]);
        cmf_error error;
        cmf_status status = attempt(file.data, file.size, verify, &counts, &error);
        printf("%s\t%s\t%s\n", paths[i], cmf_status_name(status), status ? error.message : "");
        free(file.data);
    }
}

static void *refuse(void *user, size_t size, size_t alignment) {
    (void)user, (void)size, (void)alignment;
    return NULL;
}

static void api(const char *path, const char *folder) {
    file_bytes file = load(path);
    cmf_open_options options;
    cmf_model *model = NULL;
    cmf_error error;
    cmf_tensor tensor;
    cmf_weight_info weight;
    size_t needed = 0;
    cmf_open_options_default(&options);
    ATTEMPT_CHECK(options.verify == CMF_VERIFY_STRUCTURE);

    /* in the caller's memory, wherever it lies; one byte less is too little at the worst alignment */
    ATTEMPT_CHECK(cmf_model_memory(file.data, file.size, &options, &needed, &error) == CMF_OK && needed > 0);
    uint8_t *memory = malloc(needed + 64u);
    ATTEMPT_CHECK(memory);
    for (size_t skip = 0; skip < 9; skip++) {
        options.memory = memory + skip;
        options.memory_size = needed;
        ATTEMPT_CHECK(cmf_model_open(file.data, file.size, &options, &model, &error) == CMF_OK);
        cmf_model_close(&model);
    }
    options.memory = memory + 1;
    options.memory_size = needed - 1u;
    ATTEMPT_CHECK(cmf_model_open(file.data, file.size, &options, &model, &error) == CMF_E_MEMORY && !model);
    options.memory_size = 0;
    ATTEMPT_CHECK(cmf_model_open(file.data, file.size, &options, &model, &error) == CMF_E_MEMORY && error.status == CMF_E_MEMORY);
    options.memory = NULL;
    free(memory);

    /* the caller's allocator */
    attempt_heap heap = {0, 0, 0};
    cmf_allocator allocator = {refuse, attempt_release, &heap};
    options.allocator = &allocator;
    ATTEMPT_CHECK(cmf_model_open(file.data, file.size, &options, &model, &error) == CMF_E_MEMORY && !model);
    allocator.allocate = NULL;
    ATTEMPT_CHECK(cmf_model_open(file.data, file.size, &options, &model, &error) == CMF_E_ARGUMENT);
    options.allocator = NULL;

    /* wrong arguments */
    ATTEMPT_CHECK(cmf_model_open(NULL, 100, NULL, &model, &error) == CMF_E_ARGUMENT);
    ATTEMPT_CHECK(cmf_model_open(file.data + 1, file.size - 1u, NULL, &model, &error) == CMF_E_ARGUMENT);
    ATTEMPT_CHECK(cmf_model_open(file.data, file.size, NULL, NULL, &error) == CMF_E_ARGUMENT);
    ATTEMPT_CHECK(cmf_model_memory(file.data, file.size, NULL, NULL, &error) == CMF_E_ARGUMENT);
    options.reserved[3] = 1;
    ATTEMPT_CHECK(cmf_model_open(file.data, file.size, &options, &model, &error) == CMF_E_ARGUMENT && strstr(error.message, "reserved"));
    options.reserved[3] = 0;
    options.verify = (cmf_verify)7;
    ATTEMPT_CHECK(cmf_model_open(file.data, file.size, &options, &model, NULL) == CMF_E_ARGUMENT);

    /* 4-byte alignment is enough */
    uint8_t *moved = aligned_alloc(64, (file.size + 191u) & ~(size_t)63u);
    ATTEMPT_CHECK(moved);
    memcpy(moved + 4, file.data, file.size);
    ATTEMPT_CHECK(cmf_model_open(moved + 4, file.size, NULL, &model, &error) == CMF_OK);
    cmf_model_close(&model);
    free(moved);

    /* files */
    char other[4096];
    ATTEMPT_CHECK(cmf_model_open_file(NULL, NULL, &model, &error) == CMF_E_ARGUMENT);
    snprintf(other, sizeof other, "%s/missing.cmf", folder);
    ATTEMPT_CHECK(cmf_model_open_file(other, NULL, &model, &error) == CMF_E_IO && strstr(error.message, "missing.cmf"));
    ATTEMPT_CHECK(cmf_model_open_file(folder, NULL, &model, &error) == CMF_E_IO);
    snprintf(other, sizeof other, "%s/empty.cmf", folder);
    FILE *empty = fopen(other, "wb");
    ATTEMPT_CHECK(empty && fclose(empty) == 0);
    ATTEMPT_CHECK(cmf_model_open_file(other, NULL, &model, &error) == CMF_E_TRUNCATED && strstr(error.message, "empty.cmf"));
    ATTEMPT_CHECK(cmf_model_open_file(path, NULL, &model, &error) == CMF_OK);

    /* what the model says */
    uint64_t file_bytes_told = 0, resident = 0;
    cmf_model_footprint(model, &file_bytes_told, &resident);
    ATTEMPT_CHECK(file_bytes_told == file.size && resident > 0 && resident <= needed);
    ATTEMPT_CHECK(cmf_model_input_count(model) == 1 && cmf_model_output_count(model) == 1 && cmf_model_weight_count(model) == 1);
    ATTEMPT_CHECK(cmf_model_input(model, 0, &tensor) == CMF_OK && strcmp(tensor.name, "x") == 0 && tensor.dtype == CMF_F32);
    ATTEMPT_CHECK(tensor.rank == 2 && tensor.dims[0] == -1 && tensor.dims[1] == 8 && !tensor.data && !tensor.has_affine);
    ATTEMPT_CHECK(strcmp(cmf_model_symbol(model, 0), "n") == 0 && !cmf_model_symbol(model, 1));
    ATTEMPT_CHECK(cmf_model_output(model, 0, &tensor) == CMF_OK && strcmp(tensor.name, "y") == 0);
    ATTEMPT_CHECK(cmf_model_input(model, 1, &tensor) == CMF_E_ARGUMENT && cmf_model_output(model, 1, &tensor) == CMF_E_ARGUMENT);
    ATTEMPT_CHECK(cmf_model_weight(model, 0, &weight) == CMF_OK && strcmp(weight.name, "w") == 0);
    ATTEMPT_CHECK(weight.stack == 1 && weight.outputs == 4 && weight.inputs == 8 && weight.run == 8 && weight.encoding == 1);
    ATTEMPT_CHECK(weight.stored_bytes == 128 && cmf_model_weight(model, 1, &weight) == CMF_E_ARGUMENT);
    cmf_model_close(&model);
    ATTEMPT_CHECK(!model);
    cmf_model_close(&model);
    cmf_model_close(NULL);
    free(file.data);
}

static void prefixes(const char *path) {
    file_bytes file = load(path);
    attempt_counts counts = {0, 0, 0};
    cmf_error error;
    uint64_t state = 1;
    size_t cut = file.size, tried = 0;
    while (cut) {
        /* Above 64 KB: the last 64, then a random length in each further 1/2000 of the file. */
        size_t step = cut <= 65536u || file.size - cut < 64u ? 1u : 1u + (size_t)(attempt_random(&state) % (file.size / 2000u + 1u));
        size_t next = cut - step;
        ASAN_POISON_MEMORY_REGION(file.data + next, cut - next);
        cut = next;
        for (int verify = 0; verify < 2; verify++)
            ATTEMPT_CHECK(attempt(file.data, cut, (cmf_verify)verify, &counts, &error) == CMF_E_TRUNCATED);
        tried++;
    }
    ASAN_UNPOISON_MEMORY_REGION(file.data, file.size);
    printf("%s\t%zu prefixes refused\n", path, tried);
    free(file.data);
}

/* ------------------------------------------------------------------ mutations */

/* Where the Buffer structs of the good file lie. */
typedef struct buffer_structs {
    size_t at;
    uint32_t count;
} buffer_structs;

static buffer_structs find_buffers(const file_bytes *file) {
    const uint8_t *root;
    cmf_error error;
    cmf_error_clear(&error);
    ATTEMPT_CHECK(cmf_fb_verify(file->data + 64, (size_t)cmf_load_u64(file->data + 24), &root, &error) == CMF_OK);
    const uint8_t *vector = cmf_fb_model_buffers(root);
    return (buffer_structs){(size_t)(vector + 4 - file->data), cmf_fb_length(vector)};
}

/* Makes all checksums right again, as an attacker would. */
static void repair(uint8_t *data, size_t size, const buffer_structs *buffers) {
    uint64_t metadata_size = cmf_load_u64(data + 24), section = cmf_load_u64(data + 32);
    uint32_t crc;
    for (uint32_t i = 0; i < buffers->count; i++) {
        uint8_t *buffer = data + buffers->at + (size_t)i * CMF_FB_BUFFER_SIZE;
        uint64_t offset = cmf_fb_buffer_offset(buffer), stored = cmf_fb_buffer_stored_size(buffer);
        if (section > size || offset > size - section || stored > size - section - offset) continue;
        crc = cmf_crc32c(data + section + offset, (size_t)stored);
        memcpy(buffer + 24, &crc, 4);
    }
    if (metadata_size <= size - 64u) {
        crc = cmf_crc32c(data + 64, (size_t)metadata_size);
        memcpy(data + 48, &crc, 4);
    }
    crc = cmf_crc32c(data, 60);
    memcpy(data + 60, &crc, 4);
    cmf_sha256(data, size - 32u, data + size - 32u);
}

static void mutate_once(uint8_t *data, size_t size, uint64_t *state) {
    static const uint32_t numbers[] = {0, 1, 2, 3, 4, 8, 15, 16, 17, 31, 32, 64, 127, 128, 255, 256, 0x7fff, 0xffff, 0x10000, 0x7fffffff,
                                       0x80000000u, 0xfffffffeu, 0xffffffffu};
    size_t metadata_end = 64u + (size_t)cmf_load_u64(data + 24), begin = 64, length = metadata_end - 64u;
    uint64_t where = attempt_random(state) % 10u;
    if (metadata_end > size || metadata_end < 72u || where == 0) begin = 0, length = size; /* an earlier mutation hit the preamble */
    else if (where == 1) begin = 8, length = 40;
    else if (where <= 3 && metadata_end + 64u < size) begin = metadata_end, length = size - 32u - metadata_end;
    size_t at = begin + (size_t)(attempt_random(state) % length);
    size_t word = at & ~(size_t)3u;
    uint32_t number = numbers[attempt_random(state) % (sizeof numbers / sizeof numbers[0])];
    switch (attempt_random(state) % 7u) {
    case 0: data[at] = (uint8_t)(data[at] ^ 1u << (attempt_random(state) & 7u)); break;
    case 1: data[at] = (uint8_t)attempt_random(state); break;
    case 2: data[at] = (uint8_t)(data[at] + (attempt_random(state) & 1u ? 1u : 255u)); break;
    case 3:
        if (word + 4u <= size) memcpy(data + word, &number, 4);
        break;
    case 4: { /* a nearby number */
        if (word + 4u > size) break;
        uint32_t old = cmf_load_u32(data + word) + (uint32_t)(attempt_random(state) % 65u) - 32u;
        memcpy(data + word, &old, 4);
        break;
    }
    case 5: { /* two words change places */
        size_t other = begin + (size_t)(attempt_random(state) % length);
        other &= ~(size_t)3u;
        if (word + 4u > size || other + 4u > size) break;
        uint32_t a = cmf_load_u32(data + word), b = cmf_load_u32(data + other);
        memcpy(data + word, &b, 4);
        memcpy(data + other, &a, 4);
        break;
    }
    default: { /* a piece copied elsewhere */
        size_t from = begin + (size_t)(attempt_random(state) % length), n = 1u + (size_t)(attempt_random(state) % 48u);
        if (from + n <= size && at + n <= size) memmove(data + at, data + from, n);
    }
    }
}

/* As damage, a mutation is refused at level full. With its checksums made right, and at level structure, it is refused or opens and
 * runs within the limits of attempt.h. */
static void mutate(const char *path, uint64_t seed, uint64_t rounds) {
    file_bytes file = load(path);
    buffer_structs buffers = find_buffers(&file);
    uint8_t *data = aligned_alloc(64, (file.size + 127u) & ~(size_t)63u);
    ATTEMPT_CHECK(data);
    ASAN_POISON_MEMORY_REGION(data + file.size, ((file.size + 127u) & ~(size_t)63u) - file.size);
    attempt_counts counts = {0, 0, 0}, none = {0, 0, 0};
    cmf_error error;
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1u, tried = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        memcpy(data, file.data, file.size);
        for (uint64_t n = 1u + attempt_random(&state) % 3u; n; n--) mutate_once(data, file.size, &state);
        if (memcmp(data, file.data, file.size) == 0) continue;
        alarm(HANG_SECONDS);
        tried++;
        ATTEMPT_CHECK(attempt(data, file.size, CMF_VERIFY_FULL, &none, &error) != CMF_OK);
        (void)attempt(data, file.size, CMF_VERIFY_STRUCTURE, &counts, &error);
        repair(data, file.size, &buffers);
        (void)attempt(data, file.size, (cmf_verify)(round & 1u), &counts, &error);
    }
    alarm(0);
    printf("%s\t%llu\t%llu\t%llu\t%llu\n", path, (unsigned long long)tried, (unsigned long long)counts.opened,
           (unsigned long long)counts.sessions, (unsigned long long)counts.runs);
    ASAN_UNPOISON_MEMORY_REGION(data, (file.size + 127u) & ~(size_t)63u);
    free(data);
    free(file.data);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "kat") == 0) kat();
    else if (argc == 4 && strcmp(argv[1], "api") == 0) api(argv[2], argv[3]);
    else if (argc >= 3 && strcmp(argv[1], "open") == 0) open_files(argv[2], argv + 3, argc - 3);
    else if (argc >= 2 && strcmp(argv[1], "prefixes") == 0)
        for (int i = 2; i < argc; i++) prefixes(argv[i]);
    else if (argc >= 4 && strcmp(argv[1], "mutate") == 0)
        for (int i = 4; i < argc; i++) mutate(argv[i], strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    else return 2;
    return 0;
}
