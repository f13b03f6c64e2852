/* cmf.h - read and run CMF files: the one public header of the C runtime.
 *
 * A model is opened from memory that stays where it is (a mapped file, flash); weights are computed from there and
 * are never expanded. A session holds everything one run needs: it is made once, in memory whose size can be asked for
 * beforehand, and never allocates afterwards. Many sessions may share a model; a session is used by one thread at a time.
 *
 *     cmf_model *model = NULL;
 *     cmf_session *session = NULL;
 *     cmf_error error;
 *     if (cmf_model_open_file("net.cmf", NULL, &model, &error) == CMF_OK &&
 *         cmf_session_create(model, NULL, &session, &error) == CMF_OK &&
 *         cmf_session_set_input(session, 0, pixels, sizeof pixels, &error) == CMF_OK &&
 *         cmf_session_run(session, &error) == CMF_OK) {
 *         cmf_tensor y;
 *         cmf_session_output(session, 0, &y);      // y.data is valid until the session is closed
 *     }
 *     cmf_session_close(&session);
 *     cmf_model_close(&model);
 *
 * Errors: every function that can fail returns a cmf_status and, where `error` is not NULL, fills in one sentence:
 * what, where, what to do. The first cause wins. On failure nothing is created and nothing is leaked.
 */
#ifndef CMF_H
#define CMF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef CMF_API
#  if defined(_WIN32) && defined(CMF_SHARED)
#    ifdef CMF_BUILD
#      define CMF_API __declspec(dllexport)
#    else
#      define CMF_API __declspec(dllimport)
#    endif
#  elif defined(__GNUC__) && defined(CMF_SHARED)
#    define CMF_API __attribute__((visibility("default")))
#  else
#    define CMF_API
#  endif
#endif

#define CMF_VERSION_MAJOR 0
#define CMF_VERSION_MINOR 1
#define CMF_VERSION_PATCH 0

/* ------------------------------------------------------------------ status */

/* Name, number, text. Numbers are pinned: append only. Python's enum is generated from this list. */
#define CMF_STATUS_MAP(X)                                                              \
    X(OK, 0, "ok")                                                                     \
    X(E_ARGUMENT, 1, "the caller passed a wrong argument")                             \
    X(E_MEMORY, 2, "not enough memory")                                                \
    X(E_IO, 3, "the file could not be read")                                           \
    X(E_CAPACITY, 4, "more than the stated maximum")                                   \
    X(E_SHAPE, 5, "shapes do not fit")                                                 \
    X(E_DTYPE, 6, "data types do not fit")                                             \
    X(E_STATE, 7, "called in the wrong order")                                         \
    X(E_MAGIC, 10, "not a CMF file")                                                   \
    X(E_VERSION, 11, "the file needs a newer reader")                                  \
    X(E_FEATURE, 12, "the file needs a feature that this build lacks")                 \
    X(E_TRUNCATED, 13, "the file is cut short")                                        \
    X(E_CHECKSUM, 14, "a checksum does not match: the file is damaged")                \
    X(E_METADATA, 15, "the metadata block is malformed")                               \
    X(E_LIMIT, 16, "a limit of the format is exceeded")                                \
    X(E_BUFFER, 17, "a buffer or span lies outside its place")                         \
    X(E_ENCODING, 18, "a weight's encoding is malformed")                              \
    X(E_GRAPH, 19, "the graph is malformed")                                           \
    X(E_UNSUPPORTED, 20, "valid, but not supported by this build")                     \
    X(E_CODEC, 21, "a compressed buffer could not be decoded")

typedef enum cmf_status {
#define CMF_STATUS_ENUM(name, number, text) CMF_##name = number,
    CMF_STATUS_MAP(CMF_STATUS_ENUM)
#undef CMF_STATUS_ENUM
} cmf_status;

/* The status's text as above; never NULL. Static storage. */
CMF_API const char *cmf_status_text(cmf_status status);
/* The status's name, "E_SHAPE"; never NULL. Static storage. */
CMF_API const char *cmf_status_name(cmf_status status);

/* Where a function reports what went wrong. Owned by the caller; filled only on failure. */
typedef struct cmf_error {
    cmf_status status;
    char message[252]; /* one sentence, NUL-terminated */
} cmf_error;

/* ------------------------------------------------------------------ memory and threads */

/* Allocates `size` bytes at `alignment` (a power of two), or returns NULL. */
typedef struct cmf_allocator {
    void *(*allocate)(void *user, size_t size, size_t alignment);
    void (*release)(void *user, void *pointer, size_t size);
    void *user;
} cmf_allocator;

/* Calls task(context, index, thread) for every index < count, `thread` < the session's `threads`, no two calls at a
 * time with one `thread`; returns when all are done. */
typedef void (*cmf_task)(void *context, uint32_t index, uint32_t thread);
typedef struct cmf_parallel {
    void (*run)(void *user, cmf_task task, void *context, uint32_t count);
    void *user;
} cmf_parallel;

/* Decodes one zstd frame of `source_size` bytes into exactly `size` bytes; returns 0 on success. */
typedef struct cmf_zstd {
    int (*decompress)(void *user, void *target, size_t size, const void *source, size_t source_size);
    void *user;
} cmf_zstd;

/* ------------------------------------------------------------------ instruction sets */

typedef enum cmf_isa {
    CMF_ISA_SCALAR = 0,
    CMF_ISA_AVX2 = 1,   /* with FMA and F16C */
    CMF_ISA_AVX512 = 2, /* F BW DQ VL VNNI VBMI VBMI2 */
    CMF_ISA_NEON = 3,
    CMF_ISA_NEON_DOT = 4,
    CMF_ISA_COUNT = 5
} cmf_isa;

/* Levels compiled in and present on this processor, bit k: level k. Bit 0 is always set. */
CMF_API uint32_t cmf_isa_available(void);
/* "scalar", "avx2", ...; NULL for an unknown level. */
CMF_API const char *cmf_isa_name(cmf_isa isa);

/* ------------------------------------------------------------------ model */

typedef struct cmf_model cmf_model;

typedef enum cmf_verify { CMF_VERIFY_STRUCTURE = 0, CMF_VERIFY_FULL = 1 } cmf_verify;

typedef struct cmf_open_options {
    cmf_verify verify;
    uint64_t max_resident;          /* most bytes of decoded zstd buffers; 0: 1 GiB */
    const cmf_allocator *allocator; /* NULL: malloc (hosted builds) */
    void *memory;                   /* where the model's tables go; NULL: from the allocator */
    size_t memory_size;
    const cmf_zstd *zstd;           /* NULL: the linked zstd, or none */
    uint64_t reserved[4];           /* 0 */
} cmf_open_options;

CMF_API void cmf_open_options_default(cmf_open_options *options);

/* The bytes of `options->memory` that opening this file takes, decoded zstd buffers included. */
CMF_API cmf_status cmf_model_memory(const void *data, size_t size, const cmf_open_options *options,
                                    size_t *needed, cmf_error *error);
/* Opens a file in memory (4-byte aligned). The model points into `data`: keep it, unchanged, until the model is closed. */
CMF_API cmf_status cmf_model_open(const void *data, size_t size, const cmf_open_options *options,
                                  cmf_model **model, cmf_error *error);
/* Maps and opens a file. Not in freestanding builds. */
CMF_API cmf_status cmf_model_open_file(const char *path, const cmf_open_options *options, cmf_model **model,
                                       cmf_error *error);
/* Closes a model whose sessions are all closed, and sets *model to NULL. NULL is allowed. */
CMF_API void cmf_model_close(cmf_model **model);

/* ------------------------------------------------------------------ tensors and queries */

#define CMF_MAX_RANK 8

typedef enum cmf_dtype {
    CMF_NONE = 0, CMF_F32 = 1, CMF_F16 = 2, CMF_BF16 = 3, CMF_F64 = 4, CMF_I8 = 5, CMF_U8 = 6, CMF_I16 = 7,
    CMF_U16 = 8, CMF_I32 = 9, CMF_U32 = 10, CMF_I64 = 11, CMF_U64 = 12, CMF_BOOL = 13
} cmf_dtype;

CMF_API size_t cmf_dtype_size(cmf_dtype dtype); /* 0 for an unknown type */

/* A view; owns nothing. In a model's description a dimension may be -1-k: symbol k. */
typedef struct cmf_tensor {
    const char *name; /* "" where the file names none */
    cmf_dtype dtype;
    int32_t rank; /* -1: unknown before a session is made */
    int64_t dims[CMF_MAX_RANK];
    int has_affine; /* real = scale * (integer - zero_point) */
    float scale;
    int32_t zero_point;
    void *data; /* NULL in a model's description */
    size_t size; /* bytes at data */
} cmf_tensor;

CMF_API uint32_t cmf_model_input_count(const cmf_model *model);
CMF_API uint32_t cmf_model_output_count(const cmf_model *model);
CMF_API cmf_status cmf_model_input(const cmf_model *model, uint32_t index, cmf_tensor *tensor);
CMF_API cmf_status cmf_model_output(const cmf_model *model, uint32_t index, cmf_tensor *tensor);
/* Name of symbol k, NULL if there is none. */
CMF_API const char *cmf_model_symbol(const cmf_model *model, uint32_t k);
/* Bytes: the file, and what opening it keeps in memory besides (tables, decoded buffers). */
CMF_API void cmf_model_footprint(const cmf_model *model, uint64_t *file_bytes, uint64_t *resident_bytes);

/* ------------------------------------------------------------------ session */

typedef struct cmf_session cmf_session;

typedef enum cmf_policy {
    CMF_POLICY_COMPACT = 0, /* computes from the file's bytes only */
    CMF_POLICY_FAST = 1     /* may keep copies where they win; counted in the session's memory */
} cmf_policy;

/* The shape of one model input. */
typedef struct cmf_shape {
    int32_t rank;
    int64_t dims[CMF_MAX_RANK];
} cmf_shape;

typedef struct cmf_session_options {
    const cmf_shape *input_shapes; /* one for each input; NULL: symbols are 1 */
    uint32_t input_shape_count;
    cmf_policy policy;
    uint32_t isa_mask;      /* levels that may be used; 0: all that are available */
    uint32_t threads;       /* 0 or 1: none beside the caller */
    const cmf_parallel *parallel; /* NULL: an own pool of threads - 1 (hosted builds) */
    const cmf_allocator *allocator;
    void *memory;           /* where the session lives; NULL: from the allocator */
    size_t memory_size;
    uint64_t max_memory;    /* refuse to be larger; 0: no limit */
    uint64_t max_work;      /* refuse more multiply-adds in one run; 0: no limit */
    uint64_t reserved[4];   /* 0 */
} cmf_session_options;

CMF_API void cmf_session_options_default(cmf_session_options *options);

/* The bytes that a session of these options takes. */
CMF_API cmf_status cmf_session_memory(const cmf_model *model, const cmf_session_options *options, size_t *needed,
                                      cmf_error *error);
/* Makes a session; the model must outlive it. */
CMF_API cmf_status cmf_session_create(const cmf_model *model, const cmf_session_options *options,
                                      cmf_session **session, cmf_error *error);
/* Closes a session and sets *session to NULL; NULL is allowed. Memory of the caller is his again. */
CMF_API void cmf_session_close(cmf_session **session);

/* The tensor of input or output `index`: its data lies in the session and may be written (inputs, before a run) or read
 * (outputs, after it) in place, without a copy. Input data stays as written between runs. */
CMF_API cmf_status cmf_session_input(cmf_session *session, uint32_t index, cmf_tensor *tensor);
CMF_API cmf_status cmf_session_output(cmf_session *session, uint32_t index, cmf_tensor *tensor);
/* Copies `size` bytes, which must be the input's size, into the input. */
CMF_API cmf_status cmf_session_set_input(cmf_session *session, uint32_t index, const void *data, size_t size,
                                         cmf_error *error);
/* Runs the network once. Allocates nothing. */
CMF_API cmf_status cmf_session_run(cmf_session *session, cmf_error *error);

/* What a session takes, in bytes. */
typedef struct cmf_session_footprint {
    uint64_t total;   /* the session's whole memory */
    uint64_t arena;   /* activations */
    uint64_t scratch; /* transient memory of kernels, all threads */
    uint64_t scratch_used; /* the high-water mark of the runs so far */
    uint64_t copies;  /* weights kept in another form (policy fast; basis matrices) */
    uint64_t work;    /* multiply-adds of one run */
} cmf_session_footprint;
CMF_API void cmf_session_get_footprint(const cmf_session *session, cmf_session_footprint *footprint);

/* One node of a session. Texts are in static storage or the model's; "" where there is nothing to tell. */
typedef struct cmf_node_info {
    const char *name;
    const char *op;      /* as in cmf.fbs: "Conv" */
    const char *compute; /* Conv, MatMul: "f32", "int8_static" or "int8_dynamic" */
    const char *method;  /* Conv, MatMul: "row" (one row by a matrix), "rows", "taps" (k x k in place), "patches" (copied),
                            "depthwise", "winograd 2x2" .., "factors", "tucker2", "dct", "activations" (no weight) */
    const char *weights; /* Conv, MatMul: "in place" (whole panels multiplied as they lie) or "decoded" (window by window) */
    int32_t runs;        /* 0: nothing is left of it to run: its result is known, or its input under another shape */
    uint64_t work;         /* multiply-adds (or elements moved) of one run */
    uint64_t weight_bytes; /* encoded bytes of its weight; of a Gather, the share of the rows it reads */
    uint64_t input_bytes;  /* of its other inputs */
    uint64_t output_bytes;
} cmf_node_info;

CMF_API uint32_t cmf_session_node_count(const cmf_session *session);
/* What node `index` does in this session: nodes are in the order in which they run. */
CMF_API cmf_status cmf_session_node(cmf_session *session, uint32_t index, cmf_node_info *info);
/* Runs node `index` alone. Nodes 0, 1, .. one after the other are one cmf_session_run: the caller can look at the clock in
 * between. In another order results are meaningless (activations share memory), but nothing breaks. */
CMF_API cmf_status cmf_session_run_node(cmf_session *session, uint32_t index, cmf_error *error);
/* The name of the instruction set that the session uses. Static storage. */
CMF_API const char *cmf_session_isa(const cmf_session *session);

/* ------------------------------------------------------------------ looking inside (tools and tests) */

/* One weight of a model, in file order of its value. */
typedef struct cmf_weight_info {
    const char *name;
    uint32_t stack, outputs, inputs, run;
    uint8_t encoding; /* root of the tree: id in cmf.fbs */
    uint64_t stored_bytes; /* encoded bytes of all spans of its tree */
    uint64_t transient_bytes; /* FORMAT.md section 4, one thread */
} cmf_weight_info;
CMF_API uint32_t cmf_model_weight_count(const cmf_model *model);
CMF_API cmf_status cmf_model_weight(const cmf_model *model, uint32_t index, cmf_weight_info *info);
/* Decodes a whole weight to [stack, outputs, inputs] f32, for tests and export: the runtime itself never does this.
 * `target` holds stack*outputs*inputs floats. Winograd weights decode to their U [positions, outputs, channels]. */
CMF_API cmf_status cmf_model_decode_weight(const cmf_model *model, uint32_t index, float *target, size_t target_size,
                                           cmf_error *error);

#ifdef __cplusplus
}
#endif
#endif
