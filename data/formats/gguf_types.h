// The element types of GGUF files: ids, names, and how many elements lie in how many bytes. Torch-free.
//
// A row (the innermost dimension) is a whole number of blocks. What the bytes of a block mean is no matter of
// the file format: quant/containers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bitlaw::data {

// Ids as in the file.
enum class GgmlType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q8_1 = 9,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  q8_k = 15,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  mxfp4 = 39,
  nvfp4 = 40,
  q1_0 = 41,
  q2_0 = 42
};

struct GgmlTypeFacts {
  GgmlType type;
  std::string_view name;  // "Q4_0", as other programs print it
  std::uint64_t block_elements;
  std::uint64_t block_bytes;
};

std::span<const GgmlTypeFacts> ggml_types();
const GgmlTypeFacts* find_ggml_type(std::uint32_t id);  // null: unknown
const GgmlTypeFacts& facts_of(GgmlType type);           // std::invalid_argument: not of the enum

// Bytes of a tensor; dims[0] is innermost. None when a row is no whole number of blocks, when there are no or
// more than four dimensions, or when a product passes 2^63 - 1.
std::optional<std::uint64_t> ggml_byte_count(GgmlType type, std::span<const std::uint64_t> dims);

}  // namespace bitlaw::data
