/* Generated from schema/cmf.fbs by tools/gen_schema.py: do not edit. */
#include "container/schema_gen.h"

const cmf_fb_field_rule cmf_fb_fields[] = {
    /* AlphaOptions */
    {"alpha", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    {"beta", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    /* AxisOptions */
    {"axis", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    /* Bitpacked */
    {"codes", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    {"levels", 1u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"granularity", 2u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"scale_dtype", 13u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"scales", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    /* Codebook */
    {"codes", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    {"bits", 0u, CMF_FB_KIND_SCALAR, 0u, 1u, 1u, 0u},
    {"vector", 0u, CMF_FB_KIND_SCALAR, 0u, 1u, 1u, 0u},
    {"tables", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    {"table_dtype", 13u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"table", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    {"granularity", 2u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"scale_dtype", 13u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"scales", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    /* ConvOptions */
    {"strides", 0u, CMF_FB_KIND_VECTOR, 0u, 4u, 4u, 0u},
    {"dilations", 0u, CMF_FB_KIND_VECTOR, 0u, 4u, 4u, 0u},
    {"pads", 0u, CMF_FB_KIND_VECTOR, 0u, 4u, 4u, 0u},
    {"group", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    /* Dct */
    {"input_block", 0u, CMF_FB_KIND_SCALAR, 0u, 1u, 1u, 0u},
    {"output_block", 0u, CMF_FB_KIND_SCALAR, 0u, 1u, 1u, 0u},
    {"coefficients", 21u, CMF_FB_KIND_TABLE, 1u, 4u, 4u, 0u},
    /* Dense */
    {"codes", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    {"dtype", 13u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    /* GeluOptions */
    {"tanh", 1u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    /* KeyValue */
    {"key", 0u, CMF_FB_KIND_STRING, 1u, 4u, 4u, 0u},
    {"value", 0u, CMF_FB_KIND_STRING, 0u, 4u, 4u, 0u},
    /* LowRank */
    {"form", 1u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"factors", 21u, CMF_FB_KIND_TABLES, 1u, 4u, 4u, 0u},
    {"residual", 21u, CMF_FB_KIND_TABLE, 0u, 4u, 4u, 0u},
    /* Model */
    {"name", 0u, CMF_FB_KIND_STRING, 0u, 4u, 4u, 0u},
    {"producer", 0u, CMF_FB_KIND_STRING, 0u, 4u, 4u, 0u},
    {"symbols", 0u, CMF_FB_KIND_STRINGS, 0u, 4u, 4u, 0u},
    {"values", 22u, CMF_FB_KIND_TABLES, 1u, 4u, 4u, 0u},
    {"nodes", 11u, CMF_FB_KIND_TABLES, 1u, 4u, 4u, 0u},
    {"inputs", 0u, CMF_FB_KIND_VECTOR, 1u, 4u, 4u, 0u},
    {"outputs", 0u, CMF_FB_KIND_VECTOR, 1u, 4u, 4u, 0u},
    {"buffers", 0u, CMF_FB_KIND_VECTOR, 1u, 32u, 8u, 0u},
    {"metadata", 8u, CMF_FB_KIND_TABLES, 0u, 4u, 4u, 0u},
    /* Node */
    {"op", 60u, CMF_FB_KIND_ENUM, 0u, 2u, 2u, 0u},
    {"name", 0u, CMF_FB_KIND_STRING, 0u, 4u, 4u, 0u},
    {"inputs", 0u, CMF_FB_KIND_VECTOR, 1u, 4u, 4u, 0u},
    {"outputs", 0u, CMF_FB_KIND_VECTOR, 1u, 4u, 4u, 0u},
    {"options_type", 11u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"options", 9u, CMF_FB_KIND_UNION, 0u, 4u, 4u, 12u},
    {"compute", 2u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"requantize", 1u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"activation", 2u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"activation_min", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    {"activation_max", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    /* NormOptions */
    {"axis", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    {"epsilon", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    /* PadOptions */
    {"mode", 2u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    /* PoolOptions */
    {"kernel", 0u, CMF_FB_KIND_VECTOR, 0u, 4u, 4u, 0u},
    {"strides", 0u, CMF_FB_KIND_VECTOR, 0u, 4u, 4u, 0u},
    {"pads", 0u, CMF_FB_KIND_VECTOR, 0u, 4u, 4u, 0u},
    {"dilations", 0u, CMF_FB_KIND_VECTOR, 0u, 4u, 4u, 0u},
    {"ceil_mode", 1u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"count_include_pad", 1u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    /* Quantized */
    {"codes", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    {"bits", 0u, CMF_FB_KIND_SCALAR, 0u, 1u, 1u, 0u},
    {"granularity", 2u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"group", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    {"scale_dtype", 13u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"scales", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    {"zeros", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    /* ReduceOptions */
    {"axes", 0u, CMF_FB_KIND_VECTOR, 0u, 4u, 4u, 0u},
    {"keepdims", 1u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    /* ResizeOptions */
    {"mode", 1u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"coordinates", 3u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    /* ShapeOptions */
    {"start", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    {"end", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    /* Sparse */
    {"pattern", 0u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"mask", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    {"offsets", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    {"values", 21u, CMF_FB_KIND_TABLE, 1u, 4u, 4u, 0u},
    /* TransposeOptions */
    {"perm", 0u, CMF_FB_KIND_VECTOR, 0u, 4u, 4u, 0u},
    /* Tree */
    {"encoding_type", 8u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"encoding", 0u, CMF_FB_KIND_UNION, 1u, 4u, 4u, 9u},
    {"layout", 2u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"stack", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    {"outputs", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    {"inputs", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    {"run", 0u, CMF_FB_KIND_SCALAR, 0u, 4u, 4u, 0u},
    /* Value */
    {"name", 0u, CMF_FB_KIND_STRING, 0u, 4u, 4u, 0u},
    {"dtype", 13u, CMF_FB_KIND_ENUM, 0u, 1u, 1u, 0u},
    {"shape", 0u, CMF_FB_KIND_VECTOR, 0u, 8u, 8u, 0u},
    {"affine", 0u, CMF_FB_KIND_SCALAR, 0u, 8u, 4u, 0u},
    {"data", 0u, CMF_FB_KIND_SCALAR, 0u, 16u, 8u, 0u},
    {"tree", 21u, CMF_FB_KIND_TABLE, 0u, 4u, 4u, 0u},
    /* Winograd */
    {"tile", 0u, CMF_FB_KIND_SCALAR, 0u, 1u, 1u, 0u},
    {"filters", 21u, CMF_FB_KIND_TABLE, 1u, 4u, 4u, 0u},
};

const cmf_fb_table_rule cmf_fb_tables[CMF_FB_TABLE_COUNT] = {
    {"AlphaOptions", 0u, 2u},
    {"AxisOptions", 2u, 1u},
    {"Bitpacked", 3u, 5u},
    {"Codebook", 8u, 9u},
    {"ConvOptions", 17u, 4u},
    {"Dct", 21u, 3u},
    {"Dense", 24u, 2u},
    {"GeluOptions", 26u, 1u},
    {"KeyValue", 27u, 2u},
    {"LowRank", 29u, 3u},
    {"Model", 32u, 9u},
    {"Node", 41u, 11u},
    {"NormOptions", 52u, 2u},
    {"PadOptions", 54u, 1u},
    {"PoolOptions", 55u, 6u},
    {"Quantized", 61u, 7u},
    {"ReduceOptions", 68u, 2u},
    {"ResizeOptions", 70u, 2u},
    {"ShapeOptions", 72u, 2u},
    {"Sparse", 74u, 4u},
    {"TransposeOptions", 78u, 1u},
    {"Tree", 79u, 7u},
    {"Value", 86u, 6u},
    {"Winograd", 92u, 2u},
};

const uint8_t cmf_fb_members[] = {
    0 /* NONE */,
    CMF_FB_TABLE_DENSE,
    CMF_FB_TABLE_SPARSE,
    CMF_FB_TABLE_QUANTIZED,
    CMF_FB_TABLE_CODEBOOK,
    CMF_FB_TABLE_LOWRANK,
    CMF_FB_TABLE_DCT,
    CMF_FB_TABLE_BITPACKED,
    CMF_FB_TABLE_WINOGRAD,
    0 /* NONE */,
    CMF_FB_TABLE_CONVOPTIONS,
    CMF_FB_TABLE_POOLOPTIONS,
    CMF_FB_TABLE_AXISOPTIONS,
    CMF_FB_TABLE_NORMOPTIONS,
    CMF_FB_TABLE_ALPHAOPTIONS,
    CMF_FB_TABLE_REDUCEOPTIONS,
    CMF_FB_TABLE_TRANSPOSEOPTIONS,
    CMF_FB_TABLE_SHAPEOPTIONS,
    CMF_FB_TABLE_RESIZEOPTIONS,
    CMF_FB_TABLE_PADOPTIONS,
    CMF_FB_TABLE_GELUOPTIONS,
};
