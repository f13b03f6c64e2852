/* Generated from schema/cmf.fbs by tools/gen_schema.py: do not edit. */
#ifndef CMF_CONTAINER_SCHEMA_GEN_H
#define CMF_CONTAINER_SCHEMA_GEN_H

#include "base/schema_ids.h"
#include "container/fb.h"

#define CMF_FB_IDENTIFIER {'C', 'M', 'F', '1'}

/* Indices into cmf_fb_tables. */
enum {
    CMF_FB_TABLE_ALPHAOPTIONS = 0,
    CMF_FB_TABLE_AXISOPTIONS = 1,
    CMF_FB_TABLE_BITPACKED = 2,
    CMF_FB_TABLE_CODEBOOK = 3,
    CMF_FB_TABLE_CONVOPTIONS = 4,
    CMF_FB_TABLE_DCT = 5,
    CMF_FB_TABLE_DENSE = 6,
    CMF_FB_TABLE_GELUOPTIONS = 7,
    CMF_FB_TABLE_KEYVALUE = 8,
    CMF_FB_TABLE_LOWRANK = 9,
    CMF_FB_TABLE_MODEL = 10,
    CMF_FB_TABLE_NODE = 11,
    CMF_FB_TABLE_NORMOPTIONS = 12,
    CMF_FB_TABLE_PADOPTIONS = 13,
    CMF_FB_TABLE_POOLOPTIONS = 14,
    CMF_FB_TABLE_QUANTIZED = 15,
    CMF_FB_TABLE_REDUCEOPTIONS = 16,
    CMF_FB_TABLE_RESIZEOPTIONS = 17,
    CMF_FB_TABLE_SHAPEOPTIONS = 18,
    CMF_FB_TABLE_SPARSE = 19,
    CMF_FB_TABLE_TRANSPOSEOPTIONS = 20,
    CMF_FB_TABLE_TREE = 21,
    CMF_FB_TABLE_VALUE = 22,
    CMF_FB_TABLE_WINOGRAD = 23,
    CMF_FB_TABLE_COUNT = 24,
    CMF_FB_TABLE_ROOT = CMF_FB_TABLE_MODEL
};

/* struct Affine */
#define CMF_FB_AFFINE_SIZE 8u
static inline float cmf_fb_affine_scale(const uint8_t *s) { return cmf_load_f32(s + 0u); }
static inline int32_t cmf_fb_affine_zero_point(const uint8_t *s) { return cmf_load_i32(s + 4u); }

/* table AlphaOptions */
static inline float cmf_fb_alpha_options_alpha(const uint8_t *t) { return cmf_fb_f32(t, 0u, 0.0f); }
static inline float cmf_fb_alpha_options_beta(const uint8_t *t) { return cmf_fb_f32(t, 1u, 0.0f); }

/* table AxisOptions */
static inline int32_t cmf_fb_axis_options_axis(const uint8_t *t) { return cmf_fb_i32(t, 0u, 0); }

/* table Bitpacked */
static inline const uint8_t *cmf_fb_bitpacked_codes(const uint8_t *t) { return cmf_fb_slot(t, 0u); }
static inline uint8_t cmf_fb_bitpacked_levels(const uint8_t *t) { return cmf_fb_u8(t, 1u, 0u); }
static inline uint8_t cmf_fb_bitpacked_granularity(const uint8_t *t) { return cmf_fb_u8(t, 2u, 1u); }
static inline uint8_t cmf_fb_bitpacked_scale_dtype(const uint8_t *t) { return cmf_fb_u8(t, 3u, 1u); }
static inline const uint8_t *cmf_fb_bitpacked_scales(const uint8_t *t) { return cmf_fb_slot(t, 4u); }

/* struct Buffer */
#define CMF_FB_BUFFER_SIZE 32u
static inline uint64_t cmf_fb_buffer_offset(const uint8_t *s) { return cmf_load_u64(s + 0u); }
static inline uint64_t cmf_fb_buffer_stored_size(const uint8_t *s) { return cmf_load_u64(s + 8u); }
static inline uint64_t cmf_fb_buffer_size(const uint8_t *s) { return cmf_load_u64(s + 16u); }
static inline uint32_t cmf_fb_buffer_crc32c(const uint8_t *s) { return cmf_load_u32(s + 24u); }
static inline uint8_t cmf_fb_buffer_codec(const uint8_t *s) { return cmf_load_u8(s + 28u); }

/* table Codebook */
static inline const uint8_t *cmf_fb_codebook_codes(const uint8_t *t) { return cmf_fb_slot(t, 0u); }
static inline uint8_t cmf_fb_codebook_bits(const uint8_t *t) { return cmf_fb_u8(t, 1u, 4u); }
static inline uint8_t cmf_fb_codebook_vector(const uint8_t *t) { return cmf_fb_u8(t, 2u, 1u); }
static inline uint32_t cmf_fb_codebook_tables(const uint8_t *t) { return cmf_fb_u32(t, 3u, 1u); }
static inline uint8_t cmf_fb_codebook_table_dtype(const uint8_t *t) { return cmf_fb_u8(t, 4u, 1u); }
static inline const uint8_t *cmf_fb_codebook_table(const uint8_t *t) { return cmf_fb_slot(t, 5u); }
static inline uint8_t cmf_fb_codebook_granularity(const uint8_t *t) { return cmf_fb_u8(t, 6u, 0u); }
static inline uint8_t cmf_fb_codebook_scale_dtype(const uint8_t *t) { return cmf_fb_u8(t, 7u, 1u); }
static inline const uint8_t *cmf_fb_codebook_scales(const uint8_t *t) { return cmf_fb_slot(t, 8u); }

/* table ConvOptions */
static inline const uint8_t *cmf_fb_conv_options_strides(const uint8_t *t) { return cmf_fb_ref(t, 0u); }
static inline const uint8_t *cmf_fb_conv_options_dilations(const uint8_t *t) { return cmf_fb_ref(t, 1u); }
static inline const uint8_t *cmf_fb_conv_options_pads(const uint8_t *t) { return cmf_fb_ref(t, 2u); }
static inline uint32_t cmf_fb_conv_options_group(const uint8_t *t) { return cmf_fb_u32(t, 3u, 1u); }

/* table Dct */
static inline uint8_t cmf_fb_dct_input_block(const uint8_t *t) { return cmf_fb_u8(t, 0u, 1u); }
static inline uint8_t cmf_fb_dct_output_block(const uint8_t *t) { return cmf_fb_u8(t, 1u, 1u); }
static inline const uint8_t *cmf_fb_dct_coefficients(const uint8_t *t) { return cmf_fb_ref(t, 2u); }

/* table Dense */
static inline const uint8_t *cmf_fb_dense_codes(const uint8_t *t) { return cmf_fb_slot(t, 0u); }
static inline uint8_t cmf_fb_dense_dtype(const uint8_t *t) { return cmf_fb_u8(t, 1u, 1u); }

/* table GeluOptions */
static inline uint8_t cmf_fb_gelu_options_tanh(const uint8_t *t) { return cmf_fb_u8(t, 0u, 0u); }

/* table KeyValue */
static inline const uint8_t *cmf_fb_key_value_key(const uint8_t *t) { return cmf_fb_ref(t, 0u); }
static inline const uint8_t *cmf_fb_key_value_value(const uint8_t *t) { return cmf_fb_ref(t, 1u); }

/* table LowRank */
static inline uint8_t cmf_fb_low_rank_form(const uint8_t *t) { return cmf_fb_u8(t, 0u, 0u); }
static inline const uint8_t *cmf_fb_low_rank_factors(const uint8_t *t) { return cmf_fb_ref(t, 1u); }
static inline const uint8_t *cmf_fb_low_rank_residual(const uint8_t *t) { return cmf_fb_ref(t, 2u); }

/* table Model */
static inline const uint8_t *cmf_fb_model_name(const uint8_t *t) { return cmf_fb_ref(t, 0u); }
static inline const uint8_t *cmf_fb_model_producer(const uint8_t *t) { return cmf_fb_ref(t, 1u); }
static inline const uint8_t *cmf_fb_model_symbols(const uint8_t *t) { return cmf_fb_ref(t, 2u); }
static inline const uint8_t *cmf_fb_model_values(const uint8_t *t) { return cmf_fb_ref(t, 3u); }
static inline const uint8_t *cmf_fb_model_nodes(const uint8_t *t) { return cmf_fb_ref(t, 4u); }
static inline const uint8_t *cmf_fb_model_inputs(const uint8_t *t) { return cmf_fb_ref(t, 5u); }
static inline const uint8_t *cmf_fb_model_outputs(const uint8_t *t) { return cmf_fb_ref(t, 6u); }
static inline const uint8_t *cmf_fb_model_buffers(const uint8_t *t) { return cmf_fb_ref(t, 7u); }
static inline const uint8_t *cmf_fb_model_metadata(const uint8_t *t) { return cmf_fb_ref(t, 8u); }

/* table Node */
static inline uint16_t cmf_fb_node_op(const uint8_t *t) { return cmf_fb_u16(t, 0u, 0u); }
static inline const uint8_t *cmf_fb_node_name(const uint8_t *t) { return cmf_fb_ref(t, 1u); }
static inline const uint8_t *cmf_fb_node_inputs(const uint8_t *t) { return cmf_fb_ref(t, 2u); }
static inline const uint8_t *cmf_fb_node_outputs(const uint8_t *t) { return cmf_fb_ref(t, 3u); }
static inline uint8_t cmf_fb_node_options_type(const uint8_t *t) { return cmf_fb_u8(t, 4u, 0u); }
static inline const uint8_t *cmf_fb_node_options(const uint8_t *t) { return cmf_fb_ref(t, 5u); }
static inline uint8_t cmf_fb_node_compute(const uint8_t *t) { return cmf_fb_u8(t, 6u, 0u); }
static inline uint8_t cmf_fb_node_requantize(const uint8_t *t) { return cmf_fb_u8(t, 7u, 0u); }
static inline uint8_t cmf_fb_node_activation(const uint8_t *t) { return cmf_fb_u8(t, 8u, 0u); }
static inline float cmf_fb_node_activation_min(const uint8_t *t) { return cmf_fb_f32(t, 9u, 0.0f); }
static inline float cmf_fb_node_activation_max(const uint8_t *t) { return cmf_fb_f32(t, 10u, 0.0f); }

/* table NormOptions */
static inline int32_t cmf_fb_norm_options_axis(const uint8_t *t) { return cmf_fb_i32(t, 0u, -1); }
static inline float cmf_fb_norm_options_epsilon(const uint8_t *t) { return cmf_fb_f32(t, 1u, 1e-05f); }

/* table PadOptions */
static inline uint8_t cmf_fb_pad_options_mode(const uint8_t *t) { return cmf_fb_u8(t, 0u, 0u); }

/* table PoolOptions */
static inline const uint8_t *cmf_fb_pool_options_kernel(const uint8_t *t) { return cmf_fb_ref(t, 0u); }
static inline const uint8_t *cmf_fb_pool_options_strides(const uint8_t *t) { return cmf_fb_ref(t, 1u); }
static inline const uint8_t *cmf_fb_pool_options_pads(const uint8_t *t) { return cmf_fb_ref(t, 2u); }
static inline const uint8_t *cmf_fb_pool_options_dilations(const uint8_t *t) { return cmf_fb_ref(t, 3u); }
static inline uint8_t cmf_fb_pool_options_ceil_mode(const uint8_t *t) { return cmf_fb_u8(t, 4u, 0u); }
static inline uint8_t cmf_fb_pool_options_count_include_pad(const uint8_t *t) { return cmf_fb_u8(t, 5u, 0u); }

/* table Quantized */
static inline const uint8_t *cmf_fb_quantized_codes(const uint8_t *t) { return cmf_fb_slot(t, 0u); }
static inline uint8_t cmf_fb_quantized_bits(const uint8_t *t) { return cmf_fb_u8(t, 1u, 8u); }
static inline uint8_t cmf_fb_quantized_granularity(const uint8_t *t) { return cmf_fb_u8(t, 2u, 1u); }
static inline uint32_t cmf_fb_quantized_group(const uint8_t *t) { return cmf_fb_u32(t, 3u, 0u); }
static inline uint8_t cmf_fb_quantized_scale_dtype(const uint8_t *t) { return cmf_fb_u8(t, 4u, 1u); }
static inline const uint8_t *cmf_fb_quantized_scales(const uint8_t *t) { return cmf_fb_slot(t, 5u); }
static inline const uint8_t *cmf_fb_quantized_zeros(const uint8_t *t) { return cmf_fb_slot(t, 6u); }

/* table ReduceOptions */
static inline const uint8_t *cmf_fb_reduce_options_axes(const uint8_t *t) { return cmf_fb_ref(t, 0u); }
static inline uint8_t cmf_fb_reduce_options_keepdims(const uint8_t *t) { return cmf_fb_u8(t, 1u, 1u); }

/* table ResizeOptions */
static inline uint8_t cmf_fb_resize_options_mode(const uint8_t *t) { return cmf_fb_u8(t, 0u, 0u); }
static inline uint8_t cmf_fb_resize_options_coordinates(const uint8_t *t) { return cmf_fb_u8(t, 1u, 0u); }

/* table ShapeOptions */
static inline int32_t cmf_fb_shape_options_start(const uint8_t *t) { return cmf_fb_i32(t, 0u, 0); }
static inline int32_t cmf_fb_shape_options_end(const uint8_t *t) { return cmf_fb_i32(t, 1u, 2147483647); }

/* struct Span */
#define CMF_FB_SPAN_SIZE 16u
static inline uint64_t cmf_fb_span_size(const uint8_t *s) { return cmf_load_u64(s + 0u); }
static inline uint32_t cmf_fb_span_buffer(const uint8_t *s) { return cmf_load_u32(s + 8u); }
static inline uint32_t cmf_fb_span_offset(const uint8_t *s) { return cmf_load_u32(s + 12u); }

/* table Sparse */
static inline uint8_t cmf_fb_sparse_pattern(const uint8_t *t) { return cmf_fb_u8(t, 0u, 0u); }
static inline const uint8_t *cmf_fb_sparse_mask(const uint8_t *t) { return cmf_fb_slot(t, 1u); }
static inline const uint8_t *cmf_fb_sparse_offsets(const uint8_t *t) { return cmf_fb_slot(t, 2u); }
static inline const uint8_t *cmf_fb_sparse_values(const uint8_t *t) { return cmf_fb_ref(t, 3u); }

/* table TransposeOptions */
static inline const uint8_t *cmf_fb_transpose_options_perm(const uint8_t *t) { return cmf_fb_ref(t, 0u); }

/* table Tree */
static inline uint8_t cmf_fb_tree_encoding_type(const uint8_t *t) { return cmf_fb_u8(t, 0u, 0u); }
static inline const uint8_t *cmf_fb_tree_encoding(const uint8_t *t) { return cmf_fb_ref(t, 1u); }
static inline uint8_t cmf_fb_tree_layout(const uint8_t *t) { return cmf_fb_u8(t, 2u, 0u); }
static inline uint32_t cmf_fb_tree_stack(const uint8_t *t) { return cmf_fb_u32(t, 3u, 1u); }
static inline uint32_t cmf_fb_tree_outputs(const uint8_t *t) { return cmf_fb_u32(t, 4u, 0u); }
static inline uint32_t cmf_fb_tree_inputs(const uint8_t *t) { return cmf_fb_u32(t, 5u, 0u); }
static inline uint32_t cmf_fb_tree_run(const uint8_t *t) { return cmf_fb_u32(t, 6u, 0u); }

/* table Value */
static inline const uint8_t *cmf_fb_value_name(const uint8_t *t) { return cmf_fb_ref(t, 0u); }
static inline uint8_t cmf_fb_value_dtype(const uint8_t *t) { return cmf_fb_u8(t, 1u, 1u); }
static inline const uint8_t *cmf_fb_value_shape(const uint8_t *t) { return cmf_fb_ref(t, 2u); }
static inline const uint8_t *cmf_fb_value_affine(const uint8_t *t) { return cmf_fb_slot(t, 3u); }
static inline const uint8_t *cmf_fb_value_data(const uint8_t *t) { return cmf_fb_slot(t, 4u); }
static inline const uint8_t *cmf_fb_value_tree(const uint8_t *t) { return cmf_fb_ref(t, 5u); }

/* table Winograd */
static inline uint8_t cmf_fb_winograd_tile(const uint8_t *t) { return cmf_fb_u8(t, 0u, 2u); }
static inline const uint8_t *cmf_fb_winograd_filters(const uint8_t *t) { return cmf_fb_ref(t, 1u); }

#endif
