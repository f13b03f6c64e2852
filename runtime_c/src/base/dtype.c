#include "cmf.h"

size_t cmf_dtype_size(cmf_dtype dtype) {
    switch (dtype) {
    case CMF_I8: case CMF_U8: case CMF_BOOL: return 1;
    case CMF_F16: case CMF_BF16: case CMF_I16: case CMF_U16: return 2;
    case CMF_F32: case CMF_I32: case CMF_U32: return 4;
    case CMF_F64: case CMF_I64: case CMF_U64: return 8;
    case CMF_NONE: break;
    }
    return 0;
}
