// What numbers a quantised tensor may hold. An immutable value that cannot be built inconsistent.
//
// Text form: <number>.<strategy>.<sym|asym>[.<scale type>[.zp_float16]]
//   number    int2 ... int8, int2h ... (half-integer grid), e2m1 and the other FloatFormats, nf3, nf4,
//   ternary strategy  tensor, channel, token, g<size> (group of inputs), b<rows>x<columns> (block) asym
//   integers: a zero point beside each scale; floating and quantile: negative values have a scale of
//             their own
// e.g. "int4.g128.sym" (group of 128, float16 scales), "int2h.g64.sym", "int8.channel.asym.float32",
// "e2m1.g32.sym.e8m0" (MXFP4), "e2m1.g16.sym.e4m3" (NVFP4), "nf4.g64.sym",
// "int4.g64.asym.float16.zp_float16". float16 scales are not written, unless a zero point type follows.
// Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/field.h"

namespace bitlaw::quant {

enum class NumberType { integer, floating, quantile, ternary };
// e<exponent bits>m<mantissa bits> and a sign; values in float_format.h
enum class FloatFormat { e2m1, e3m0, e2m2, e3m1, e2m3, e3m2, e4m3, e5m2, e1m1, e2m0 };
enum class Grid {
  integer,
  half
};  // levels at integer multiples of the step, or at odd multiples of half a step
enum class Strategy { tensor, channel, group, token, block };
// e8m0: a power of two, 2^-127 ... 2^127. e4m3: positive numbers of that format, times a float32 global scale
// of the whole tensor.
enum class ScaleType { float32, float16, bfloat16, e8m0, e4m3 };
enum class ZeroPointType { int8, float16 };

struct QuantSpecFields {
  std::int64_t num_bits = 8;  // 2..8; floating: that of the format; quantile: 3 or 4; ternary: 2
  NumberType type = NumberType::integer;
  std::optional<FloatFormat> format =
      std::nullopt;  // floating only; unset: chosen by num_bits (default_format)
  bool symmetric = true;
  Grid grid = Grid::integer;  // half: integer only
  Strategy strategy = Strategy::channel;
  std::int64_t group_size = 0;                     // Strategy::group only, along the input dimension
  std::vector<std::int64_t> block_structure = {};  // Strategy::block only: {rows, columns}
  ScaleType scale_dtype = ScaleType::float16;
  ZeroPointType zero_point_dtype = ZeroPointType::int8;  // float16: real-valued, asymmetric integers only
};

class QuantSpec {
 public:
  // The fields complete each other: a format sets num_bits, num_bits of a floating type without format sets
  // the format, ternary has 2 bits. data::InputError when they contradict each other (half grid and
  // asymmetric, group without size, MX with groups other than 32, ...).
  explicit QuantSpec(const QuantSpecFields& fields);
  static QuantSpec parse(std::string_view text);

  std::string to_string() const;
  const QuantSpecFields& fields() const { return fields_; }
  int bits() const { return static_cast<int>(fields_.num_bits); }
  // Integer and ternary: the smallest and largest q. MXINT8 leaves -128 unused: its range is symmetric.
  int q_min() const;
  int q_max() const;
  double level_offset() const {
    return fields_.grid == Grid::half ? 0.5 : 0.0;
  }  // w = (q - zp + offset) * scale

  bool has_zero_point() const { return fields_.type == NumberType::integer && !fields_.symmetric; }
  bool has_real_zero_point() const {
    return fields_.zero_point_dtype == ZeroPointType::float16;
  }  // between levels
  bool has_negative_scale() const { return fields_.type != NumberType::integer && !fields_.symmetric; }
  bool has_global_scale() const { return fields_.scale_dtype == ScaleType::e4m3; }

  // Columns and rows of the scale of a weight; InputError when the group or block does not divide it.
  std::int64_t groups(std::int64_t in_features) const;
  std::int64_t group_width(std::int64_t in_features) const;  // inputs that share a scale
  std::int64_t scale_rows(std::int64_t out_features) const;
  std::int64_t group_height(std::int64_t out_features) const;  // outputs that share a scale
  // num_bits + (scale bits (twice with a negative scale) + zero point bits) / elements that share them
  // + 32 / elements of the weight for a global scale.
  double bits_per_weight(std::int64_t out_features, std::int64_t in_features) const;

  bool operator==(const QuantSpec& other) const { return to_string() == other.to_string(); }

 private:
  QuantSpecFields fields_;
};

int bits_of(ScaleType type);
int bits_of(ZeroPointType type);
int bits_of(FloatFormat format);
// 3: e1m1, 4: e2m1, 5: e2m2, 6: e2m3, 8: e4m3; InputError for other widths.
FloatFormat default_format(std::int64_t num_bits);

}  // namespace bitlaw::quant

template <>
struct bitlaw::data::EnumNames<bitlaw::quant::NumberType> {
  static constexpr std::string_view names[] = {"int", "float", "nf", "ternary"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::FloatFormat> {
  static constexpr std::string_view names[] = {"e2m1", "e3m0", "e2m2", "e3m1", "e2m3",
                                               "e3m2", "e4m3", "e5m2", "e1m1", "e2m0"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::Grid> {
  static constexpr std::string_view names[] = {"integer", "half"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::Strategy> {
  static constexpr std::string_view names[] = {"tensor", "channel", "group", "token", "block"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::ScaleType> {
  static constexpr std::string_view names[] = {"float32", "float16", "bfloat16", "e8m0", "e4m3"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::ZeroPointType> {
  static constexpr std::string_view names[] = {"int8", "float16"};
};
