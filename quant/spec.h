// What numbers a quantised tensor may hold. An immutable value that cannot be built inconsistent.
//
// Text form: <type><bits>[h].<strategy>.<sym|asym>[.<scale type>], e.g. "int4.g128.sym" (group of 128,
// float16 scales), "int2h.g64.sym" (half-integer grid), "int8.channel.asym.float32", "int8.token.sym".
// float16 scales are not written. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/formats/field.h"

namespace bitlaw::quant {

enum class NumberType { integer };
enum class Grid {
  integer,
  half
};  // levels at integer multiples of the step, or at odd multiples of half a step
enum class Strategy { tensor, channel, group, token };
enum class ScaleType { float32, float16, bfloat16 };

struct QuantSpecFields {
  std::int64_t num_bits = 8;  // 2..8
  NumberType type = NumberType::integer;
  bool symmetric = true;
  Grid grid = Grid::integer;
  Strategy strategy = Strategy::channel;
  std::int64_t group_size = 0;  // Strategy::group only, along the input dimension
  ScaleType scale_dtype = ScaleType::float16;
};

class QuantSpec {
 public:
  // data::InputError when the fields contradict each other (half grid and asymmetric, group without size,
  // ...).
  explicit QuantSpec(const QuantSpecFields& fields);
  static QuantSpec parse(std::string_view text);

  std::string to_string() const;
  const QuantSpecFields& fields() const { return fields_; }
  int bits() const { return static_cast<int>(fields_.num_bits); }
  int q_min() const { return -(1 << (bits() - 1)); }
  int q_max() const { return (1 << (bits() - 1)) - 1; }
  double level_offset() const {
    return fields_.grid == Grid::half ? 0.5 : 0.0;
  }  // w = (q - zp + offset) * scale

  // Groups of one row of in_features; InputError when the group size does not divide it.
  std::int64_t groups(std::int64_t in_features) const;
  std::int64_t group_width(std::int64_t in_features) const;
  // num_bits + (scale bits + 8 zero point bits if asymmetric) / elements that share them.
  double bits_per_weight(std::int64_t out_features, std::int64_t in_features) const;

  bool operator==(const QuantSpec& other) const { return to_string() == other.to_string(); }

 private:
  QuantSpecFields fields_;
};

int bits_of(ScaleType type);

}  // namespace bitlaw::quant

template <>
struct bitlaw::data::EnumNames<bitlaw::quant::NumberType> {
  static constexpr std::string_view names[] = {"int"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::Grid> {
  static constexpr std::string_view names[] = {"integer", "half"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::Strategy> {
  static constexpr std::string_view names[] = {"tensor", "channel", "group", "token"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::ScaleType> {
  static constexpr std::string_view names[] = {"float32", "float16", "bfloat16"};
};
