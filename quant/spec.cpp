// What numbers a quantised tensor may hold: checks, and the text form.
#include "quant/spec.h"

#include <charconv>
#include <optional>
#include <vector>

#include "data/formats/input_error.h"

namespace bitlaw::quant {

namespace {

constexpr std::int64_t kLargestGroup = 65536;

using data::enum_name;
using data::EnumNames;
using data::InputError;

void check(const QuantSpecFields& fields) {
  if (fields.num_bits < 2 || fields.num_bits > 8) {
    throw InputError("num_bits is " + std::to_string(fields.num_bits), "codes have 2 to 8 bits",
                     "choose a width from 2 to 8");
  }
  if (fields.grid == Grid::half && !fields.symmetric) {
    throw InputError("grid: half with symmetric: false", "a zero point already shifts the levels",
                     "use grid: integer, or symmetric: true");
  }
  const bool grouped = fields.strategy == Strategy::group;
  if (grouped && (fields.group_size < 1 || fields.group_size > kLargestGroup)) {
    throw InputError("strategy: group with group_size " + std::to_string(fields.group_size),
                     "a group has 1 to 65536 inputs", "give a group_size that divides the layers' inputs");
  }
  if (!grouped && fields.group_size != 0) {
    throw InputError("group_size " + std::to_string(fields.group_size) +
                         " with strategy: " + std::string(enum_name(fields.strategy)),
                     "only strategy: group has groups", "use strategy: group, or leave group_size out");
  }
}

[[noreturn]] void throw_unreadable(std::string_view text) {
  throw InputError("'" + std::string(text) + "' is no quantisation",
                   "the form is <type><bits>[h].<strategy>.<sym|asym>[.<scale type>]",
                   "write for example int4.g128.sym, int2h.g64.sym or int8.channel.asym.float32");
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

// False when the part cannot be read.
bool read_number(std::string_view part, QuantSpecFields& fields) {
  if (!part.starts_with("int")) {
    return false;
  }
  part.remove_prefix(3);
  if (part.ends_with('h')) {
    fields.grid = Grid::half;
    part.remove_suffix(1);
  }
  const auto bits = number_of(part);
  fields.num_bits = bits.value_or(0);
  return bits.has_value();
}

bool read_strategy(std::string_view part, QuantSpecFields& fields) {
  if (const auto strategy = value_of<Strategy>(part); strategy && *strategy != Strategy::group) {
    fields.strategy = *strategy;
    return true;
  }
  const auto size = part.starts_with('g') ? number_of(part.substr(1)) : std::nullopt;
  fields.strategy = Strategy::group;
  fields.group_size = size.value_or(0);
  return size.has_value();
}

}  // namespace

QuantSpec::QuantSpec(const QuantSpecFields& fields) : fields_(fields) {
  check(fields);
}

QuantSpec QuantSpec::parse(std::string_view text) {
  const std::vector<std::string_view> parts = split(text);
  QuantSpecFields fields;
  const bool readable = (parts.size() == 3 || parts.size() == 4) && read_number(parts[0], fields) &&
                        read_strategy(parts[1], fields) && (parts[2] == "sym" || parts[2] == "asym");
  if (!readable) {
    throw_unreadable(text);
  }
  fields.symmetric = parts[2] == "sym";
  if (parts.size() == 4) {
    const auto type = value_of<ScaleType>(parts[3]);
    if (!type) {
      throw_unreadable(text);
    }
    fields.scale_dtype = *type;
  }
  return QuantSpec(fields);
}

std::string QuantSpec::to_string() const {
  std::string text = std::string(enum_name(fields_.type)) + std::to_string(fields_.num_bits);
  text += fields_.grid == Grid::half ? "h." : ".";
  text += fields_.strategy == Strategy::group ? "g" + std::to_string(fields_.group_size)
                                              : std::string(enum_name(fields_.strategy));
  text += fields_.symmetric ? ".sym" : ".asym";
  if (fields_.scale_dtype != ScaleType::float16) {
    text += "." + std::string(enum_name(fields_.scale_dtype));
  }
  return text;
}

std::int64_t QuantSpec::groups(std::int64_t in_features) const {
  return fields_.strategy == Strategy::group ? in_features / group_width(in_features) : 1;
}

std::int64_t QuantSpec::group_width(std::int64_t in_features) const {
  if (fields_.strategy != Strategy::group) {
    return in_features;
  }
  if (in_features % fields_.group_size != 0) {
    throw InputError("group_size " + std::to_string(fields_.group_size) + " does not divide " +
                         std::to_string(in_features) + " inputs",
                     "every group of a row has one scale",
                     "choose a divisor, or another strategy for this layer by quant.overrides");
  }
  return fields_.group_size;
}

double QuantSpec::bits_per_weight(std::int64_t out_features, std::int64_t in_features) const {
  const std::int64_t sharing =
      fields_.strategy == Strategy::tensor ? out_features * in_features : group_width(in_features);
  const int shared_bits = bits_of(fields_.scale_dtype) + (fields_.symmetric ? 0 : 8);
  return static_cast<double>(fields_.num_bits) +
         static_cast<double>(shared_bits) / static_cast<double>(sharing);
}

int bits_of(ScaleType type) {
  return type == ScaleType::float32 ? 32 : 16;
}

}  // namespace bitlaw::quant
