// What numbers a quantised tensor may hold: the text form, and what follows from the fields.
#include "quant/spec.h"

#include <charconv>
#include <optional>
#include <vector>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"
#include "quant/spec_check.h"

namespace bitlaw::quant {

namespace {

using data::enum_name;
using data::EnumNames;
using data::InputError;

[[noreturn]] void throw_unreadable(std::string_view text) {
  throw InputError("'" + data::printable(text) + "' is no quantisation",
                   "the form is <number>.<strategy>.<sym|asym>[.<scale type>[.zp_float16]]",
                   "write for example int4.g128.sym, int2h.g64.sym, e2m1.g32.sym.e8m0 or nf4.g64.sym");
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t end = 0; end != std::string_view::npos;) {
    end = text.find('.');
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return parts;
}

// Digits without sign or leading zero.
std::optional<std::int64_t> number_of(std::string_view text) {
  std::int64_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool plain = !text.empty() && text.front() >= '1' && text.front() <= '9';
  return plain && result.ec == std::errc() && result.ptr == text.data() + text.size() ? std::optional(number)
                                                                                      : std::nullopt;
}

template <class Enum>
std::optional<Enum> value_of(std::string_view name) {
  int value = 0;
  for (const std::string_view candidate : EnumNames<Enum>::names) {
    if (candidate == name) {
      return static_cast<Enum>(value);
    }
    ++value;
  }
  return std::nullopt;
}

// The readers of parts return false when the part cannot be read.
bool read_width(std::string_view digits, QuantSpecFields& fields) {
  const auto bits = number_of(digits);
  fields.num_bits = bits.value_or(0);
  return bits.has_value();
}

bool read_number(std::string_view part, QuantSpecFields& fields) {
  if (const auto format = value_of<FloatFormat>(part)) {
    fields.type = NumberType::floating;
    fields.format = *format;
    return true;
  }
  if (part == "ternary") {
    fields.type = NumberType::ternary;
    return true;
  }
  if (part.starts_with("nf")) {
    fields.type = NumberType::quantile;
    return read_width(part.substr(2), fields);
  }
  if (!part.starts_with("int")) {
    return false;
  }
  if (part.ends_with('h')) {
    fields.grid = Grid::half;
    part.remove_suffix(1);
  }
  return read_width(part.substr(3), fields);
}

bool read_block(std::string_view sizes, QuantSpecFields& fields) {
  const std::size_t cross = sizes.find('x');
  if (cross == std::string_view::npos) {
    return false;
  }
  const auto rows = number_of(sizes.substr(0, cross));
  const auto columns = number_of(sizes.substr(cross + 1));
  fields.strategy = Strategy::block;
  fields.block_structure = {rows.value_or(0), columns.value_or(0)};
  return rows && columns;
}

bool read_strategy(std::string_view part, QuantSpecFields& fields) {
  const auto strategy = value_of<Strategy>(part);
  if (strategy && *strategy != Strategy::group && *strategy != Strategy::block) {
    fields.strategy = *strategy;
    return true;
  }
  if (part.starts_with('b')) {
    return read_block(part.substr(1), fields);
  }
  const auto size = part.starts_with('g') ? number_of(part.substr(1)) : std::nullopt;
  fields.strategy = Strategy::group;
  fields.group_size = size.value_or(0);
  return size.has_value();
}

bool read_types(const std::vector<std::string_view>& parts, QuantSpecFields& fields) {
  if (parts.size() > 3) {
    const auto type = value_of<ScaleType>(parts[3]);
    fields.scale_dtype = type.value_or(ScaleType::float16);
    if (!type) {
      return false;
    }
  }
  if (parts.size() > 4) {
    fields.zero_point_dtype = ZeroPointType::float16;
    return parts[4] == "zp_float16";
  }
  return true;
}

std::string number_text(const QuantSpecFields& fields) {
  switch (fields.type) {
    case NumberType::floating:
      return std::string(enum_name(*fields.format));
    case NumberType::ternary:
      return "ternary";
    case NumberType::quantile:
      return std::string("nf").append(std::to_string(fields.num_bits));
    case NumberType::integer:
      break;
  }
  return std::string("int")
      .append(std::to_string(fields.num_bits))
      .append(fields.grid == Grid::half ? "h" : "");
}

std::string strategy_text(const QuantSpecFields& fields) {
  if (fields.strategy == Strategy::group) {
    return std::string("g").append(std::to_string(fields.group_size));
  }
  if (fields.strategy == Strategy::block) {
    return std::string("b")
        .append(std::to_string(fields.block_structure[0]))
        .append("x")
        .append(std::to_string(fields.block_structure[1]));
  }
  return std::string(enum_name(fields.strategy));
}

[[noreturn]] void throw_undivided(const std::string& what, std::int64_t extent, const std::string& things,
                                  const std::string& why) {
  throw InputError(what + " does not divide " + std::to_string(extent) + " " + things, why,
                   "choose a divisor, or another strategy for this layer by quant.overrides");
}

}  // namespace

QuantSpec::QuantSpec(const QuantSpecFields& fields) : fields_(completed_fields(fields)) {
  check_fields(fields_);
}

QuantSpec QuantSpec::parse(std::string_view text) {
  const std::vector<std::string_view> parts = split(text);
  QuantSpecFields fields;
  const bool readable = parts.size() >= 3 && parts.size() <= 5 && read_number(parts[0], fields) &&
                        read_strategy(parts[1], fields) && (parts[2] == "sym" || parts[2] == "asym") &&
                        read_types(parts, fields);
  if (!readable) {
    throw_unreadable(text);
  }
  fields.symmetric = parts[2] == "sym";
  return QuantSpec(fields);
}

std::string QuantSpec::to_string() const {
  std::string text = number_text(fields_) + "." + strategy_text(fields_);
  text += fields_.symmetric ? ".sym" : ".asym";
  const bool real_zero_point = fields_.zero_point_dtype == ZeroPointType::float16;
  if (fields_.scale_dtype != ScaleType::float16 || real_zero_point) {
    text.append(".").append(enum_name(fields_.scale_dtype));
  }
  return real_zero_point ? text + ".zp_float16" : text;
}

int QuantSpec::q_min() const {
  const bool mx = fields_.scale_dtype == ScaleType::e8m0;
  return fields_.type == NumberType::ternary ? -1 : (mx ? -q_max() : -(1 << (bits() - 1)));
}

int QuantSpec::q_max() const {
  return fields_.type == NumberType::ternary ? 1 : (1 << (bits() - 1)) - 1;
}

std::int64_t QuantSpec::groups(std::int64_t in_features) const {
  return in_features == 0 ? 1 : in_features / group_width(in_features);
}

std::int64_t QuantSpec::group_width(std::int64_t in_features) const {
  if (fields_.strategy == Strategy::group) {
    if (in_features % fields_.group_size != 0) {
      throw_undivided("group_size " + std::to_string(fields_.group_size), in_features, "inputs",
                      "every group of a row has one scale");
    }
    return fields_.group_size;
  }
  if (fields_.strategy == Strategy::block) {
    if (in_features % fields_.block_structure[1] != 0) {
      throw_undivided("block_structure " + strategy_text(fields_).substr(1), in_features, "inputs",
                      "every block of a weight has one scale");
    }
    return fields_.block_structure[1];
  }
  return in_features;
}

std::int64_t QuantSpec::scale_rows(std::int64_t out_features) const {
  return out_features / group_height(out_features);
}

std::int64_t QuantSpec::group_height(std::int64_t out_features) const {
  if (fields_.strategy == Strategy::block) {
    if (out_features % fields_.block_structure[0] != 0) {
      throw_undivided("block_structure " + strategy_text(fields_).substr(1), out_features, "outputs",
                      "every block of a weight has one scale");
    }
    return fields_.block_structure[0];
  }
  return fields_.strategy == Strategy::tensor ? out_features : 1;
}

double QuantSpec::bits_per_weight(std::int64_t out_features, std::int64_t in_features) const {
  const auto sharing = static_cast<double>(group_height(out_features) * group_width(in_features));
  const int scale_bits = bits_of(fields_.scale_dtype) * (has_negative_scale() ? 2 : 1);
  const int zero_point_bits = has_zero_point() ? bits_of(fields_.zero_point_dtype) : 0;
  const double global_bits =
      has_global_scale() ? 32.0 / static_cast<double>(out_features * in_features) : 0.0;
  return static_cast<double>(fields_.num_bits) + static_cast<double>(scale_bits + zero_point_bits) / sharing +
         global_bits;
}

}  // namespace bitlaw::quant
