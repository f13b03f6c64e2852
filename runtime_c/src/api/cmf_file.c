/* Models in files: mapped where there is POSIX, else read. Not in freestanding builds. */
#if !defined(CMF_FREESTANDING)

#if defined(__unix__) || defined(__APPLE__)
#  define CMF_FILE_MMAP 1
#  ifndef _POSIX_C_SOURCE
#    define _POSIX_C_SOURCE 200809L
#  endif
#endif

#include "api/allocator.h"
#include "base/model.h"

void cmf_model_unmap(cmf_model *model);

#if defined(CMF_FILE_MMAP)

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static cmf_status file_map(const char *path, const cmf_open_options *options, void **data, size_t *size, cmf_error *error) {
    (void)options;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    CMF_REQUIRE(file >= 0, CMF_E_IO, "'%s' cannot be opened: %s", path, strerror(errno));
    struct stat info;
    cmf_status status = CMF_OK;
    *data = MAP_FAILED;
    if (fstat(file, &info) != 0) status = cmf_fail(error, CMF_E_IO, "'%s' cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode)) status = cmf_fail(error, CMF_E_IO, "'%s' is no regular file", path);
    else if (info.st_size == 0) status = cmf_fail(error, CMF_E_TRUNCATED, "'%s' is empty", path);
    else if ((uint64_t)info.st_size > SIZE_MAX / 2u) status = cmf_fail(error, CMF_E_MEMORY, "'%s' is too large to be mapped", path);
    else {
        *size = (size_t)info.st_size;
        *data = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, file, 0);
        if (*data == MAP_FAILED) status = cmf_fail(error, CMF_E_IO, "'%s' cannot be mapped: %s", path, strerror(errno));
    }
    (void)close(file); /* a mapping outlives its descriptor */
    return status;
}

static void file_unmap(void *data, size_t size, const cmf_allocator *allocator) {
    (void)allocator;
    (void)munmap(data, size);
}

#else

#include <stdio.h>

static cmf_status file_map(const char *path, const cmf_open_options *options, void **data, size_t *size, cmf_error *error) {
    cmf_allocator allocator;
    CMF_TRY(cmf_allocator_choose(options->allocator, &allocator, error));
    FILE *file = fopen(path, "rb");
    CMF_REQUIRE(file, CMF_E_IO, "'%s' cannot be opened", path);
    long length = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    cmf_status status = CMF_OK;
    *data = NULL;
    if (length < 0 || fseek(file, 0, SEEK_SET) != 0) status = cmf_fail(error, CMF_E_IO, "'%s' cannot be read", path);
    else if (length == 0) status = cmf_fail(error, CMF_E_TRUNCATED, "'%s' is empty", path);
    else {
        *size = (size_t)length;
        *data = allocator.allocate(allocator.user, *size, 64);
        if (!*data) status = cmf_fail(error, CMF_E_MEMORY, "'%s': %zu bytes could not be allocated", path, *size);
        else if (fread(*data, 1, *size, file) != *size) {
            status = cmf_fail(error, CMF_E_IO, "'%s' cannot be read", path);
            allocator.release(allocator.user, *data, *size);
        }
    }
    (void)fclose(file);
    return status;
}

static void file_unmap(void *data, size_t size, const cmf_allocator *allocator) { allocator->release(allocator->user, data, size); }

#endif

cmf_status cmf_model_open_file(const char *path, const cmf_open_options *given, cmf_model **model, cmf_error *error) {
    cmf_open_options options;
    cmf_allocator allocator = {0};
    void *data = NULL;
    size_t size = 0;
    cmf_error_clear(error);
    CMF_REQUIRE(path && model, CMF_E_ARGUMENT, "path or model is NULL");
    *model = NULL;
    if (given) options = *given;
    else cmf_open_options_default(&options);
    CMF_TRY(cmf_allocator_choose(options.allocator, &allocator, error));
    CMF_TRY(file_map(path, &options, &data, &size, error));
    cmf_status status = cmf_model_open(data, size, &options, model, error);
    if (status) {
        file_unmap(data, size, &allocator);
        return cmf_fail_in(error, status, "'%s'", path);
    }
    (*model)->mapping = data;
    (*model)->mapping_size = size;
    (*model)->allocator = allocator;
    return CMF_OK;
}

void cmf_model_unmap(cmf_model *model) {
    if (model->mapping) file_unmap(model->mapping, model->mapping_size, &model->allocator);
}

#else
typedef int cmf_file_is_empty; /* ISO C wants a declaration */
#endif
