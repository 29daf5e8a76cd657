// Which fields of a spec follow from others, and which contradict each other.
#include "quant/spec_check.h"

#include <array>

#include "data/formats/input_errors.h"

namespace bitlaw::quant {

namespace {

using data::enum_name;
using data::InputError;

constexpr std::int64_t kLargestGroup = 65536;
constexpr std::int64_t kMxBlock = 32;

std::string named(const char* key, std::string_view value) {
  return std::string(key).append(": ").append(value);
}

std::optional<FloatFormat> usual_format(std::int64_t num_bits) {
  switch (num_bits) {
    case 3:
      return FloatFormat::e1m1;
    case 4:
      return FloatFormat::e2m1;
    case 5:
      return FloatFormat::e2m2;
    case 6:
      return FloatFormat::e2m3;
    case 8:
      return FloatFormat::e4m3;
    default:
      return std::nullopt;
  }
}

void check_width(const QuantSpecFields& fields) {
  if (fields.type == NumberType::floating && !fields.format) {
    default_format(fields.num_bits);  // which says what is wrong with the width
  }
  if (fields.type == NumberType::quantile && fields.num_bits != 3 && fields.num_bits != 4) {
    throw InputError("type: nf with num_bits " + std::to_string(fields.num_bits),
                     "the quantile formats are NF3 and NF4", "use num_bits: 3 or 4");
  }
  if (fields.num_bits < 2 || fields.num_bits > 8) {
    throw InputError("num_bits is " + std::to_string(fields.num_bits), "codes have 2 to 8 bits",
                     "choose a width from 2 to 8");
  }
}

void check_format(const QuantSpecFields& fields) {
  if (fields.format && fields.type != NumberType::floating) {
    throw InputError(
        named("format", enum_name(*fields.format)) + " with " + named("type", enum_name(fields.type)),
        "only floating-point numbers have a format", "use type: float, or leave format out");
  }
}

void check_grid(const QuantSpecFields& fields) {
  if (fields.grid != Grid::half) {
    return;
  }
  if (fields.type != NumberType::integer) {
    throw InputError("grid: half with " + named("type", enum_name(fields.type)),
                     "its levels are given by the type", "leave grid out, or use type: int");
  }
  if (!fields.symmetric) {
    throw InputError("grid: half with symmetric: false", "a zero point already shifts the levels",
                     "use grid: integer, or symmetric: true");
  }
}

void check_ternary(const QuantSpecFields& fields) {
  if (fields.type == NumberType::ternary && !fields.symmetric) {
    throw InputError("type: ternary with symmetric: false", "the levels are -1, 0 and 1 times one scale",
                     "use symmetric: true, or type: int with num_bits: 2");
  }
}

void check_zero_points(const QuantSpecFields& fields) {
  const bool zero_points = fields.type == NumberType::integer && !fields.symmetric;
  if (fields.zero_point_dtype == ZeroPointType::float16 && !zero_points) {
    throw InputError("zero_point_dtype: float16 without zero points",
                     "only type: int with symmetric: false has zero points",
                     "leave zero_point_dtype out, or use symmetric: false");
  }
}

void check_group(const QuantSpecFields& fields) {
  const bool grouped = fields.strategy == Strategy::group;
  if (grouped && (fields.group_size < 1 || fields.group_size > kLargestGroup)) {
    throw InputError("strategy: group with group_size " + std::to_string(fields.group_size),
                     "a group has 1 to 65536 inputs", "give a group_size that divides the layers' inputs");
  }
  if (!grouped && fields.group_size != 0) {
    throw InputError("group_size " + std::to_string(fields.group_size) + " with " +
                         named("strategy", enum_name(fields.strategy)),
                     "only strategy: group has groups", "use strategy: group, or leave group_size out");
  }
}

void check_block(const QuantSpecFields& fields) {
  const auto& sizes = fields.block_structure;
  if (fields.strategy != Strategy::block) {
    if (!sizes.empty()) {
      throw InputError("block_structure with " + named("strategy", enum_name(fields.strategy)),
                       "only strategy: block has blocks",
                       "use strategy: block, or leave block_structure out");
    }
    return;
  }
  const auto bad = [](std::int64_t size) { return size < 1 || size > kLargestGroup; };
  if (sizes.size() != 2 || bad(sizes[0]) || bad(sizes[1])) {
    throw InputError("strategy: block with a block_structure of " + std::to_string(sizes.size()) +
                         " numbers" + (sizes.size() == 2 ? ", one of them out of range" : ""),
                     "a block has 1 to 65536 rows and columns",
                     "write for example block_structure: [128, 128]");
  }
}

bool is_mx_number(const QuantSpecFields& fields) {
  if (fields.type == NumberType::integer) {
    return fields.num_bits == 8 && fields.grid == Grid::integer;
  }
  if (fields.type != NumberType::floating) {
    return false;
  }
  switch (fields.format.value_or(FloatFormat::e2m1)) {  // a missing one is reported as such
    case FloatFormat::e2m1:
    case FloatFormat::e2m3:
    case FloatFormat::e3m2:
    case FloatFormat::e4m3:
    case FloatFormat::e5m2:
      return true;
    default:
      return false;
  }
}

void check_mx_number(const QuantSpecFields& fields) {
  if (fields.scale_dtype == ScaleType::e8m0 && !is_mx_number(fields)) {
    throw InputError("scale_dtype: e8m0 with " + named("type", enum_name(fields.type)) + ", num_bits " +
                         std::to_string(fields.num_bits),
                     "the MX formats are float e2m1, e2m3, e3m2, e4m3, e5m2 and int8 on the integer grid",
                     "choose one of them, or another scale_dtype");
  }
}

void check_mx_symmetry(const QuantSpecFields& fields) {
  if (fields.scale_dtype == ScaleType::e8m0 && !fields.symmetric) {
    throw InputError("scale_dtype: e8m0 with symmetric: false",
                     "an MX block has one power of two and neither zero point nor a second scale",
                     "use symmetric: true, or another scale_dtype");
  }
}

void check_mx_block(const QuantSpecFields& fields) {
  const bool grouped = fields.strategy == Strategy::group;
  if (fields.scale_dtype == ScaleType::e8m0 && (!grouped || fields.group_size != kMxBlock)) {
    throw InputError("scale_dtype: e8m0 with " + named("strategy", enum_name(fields.strategy)) +
                         (grouped ? " and group_size " + std::to_string(fields.group_size) : std::string()),
                     "an MX block is 32 elements of a row", "use strategy: group with group_size: 32");
  }
}

void check_two_level_strategy(const QuantSpecFields& fields) {
  if (fields.scale_dtype == ScaleType::e4m3 && fields.strategy != Strategy::group) {
    throw InputError(
        "scale_dtype: e4m3 with " + named("strategy", enum_name(fields.strategy)),
        "scales of 8 bits are refined by one scale of the whole tensor, so they belong to groups",
        "use strategy: group (NVFP4: type: float, num_bits: 4, group_size: 16)");
  }
}

void check_two_level_symmetry(const QuantSpecFields& fields) {
  if (fields.scale_dtype == ScaleType::e4m3 && !fields.symmetric) {
    throw InputError("scale_dtype: e4m3 with symmetric: false",
                     "two-level scales are defined for symmetric numbers",
                     "use symmetric: true, or another scale_dtype");
  }
}

// Each for itself, so that everything that is wrong is said at once.
constexpr std::array kChecks = {check_width,
                                check_format,
                                check_grid,
                                check_ternary,
                                check_zero_points,
                                check_group,
                                check_block,
                                check_mx_number,
                                check_mx_symmetry,
                                check_mx_block,
                                check_two_level_strategy,
                                check_two_level_symmetry};

}  // namespace

QuantSpecFields completed_fields(QuantSpecFields fields) {
  if (fields.type == NumberType::ternary) {
    fields.num_bits = 2;
  }
  if (fields.type == NumberType::floating) {
    if (!fields.format) {
      fields.format = usual_format(fields.num_bits);
    }
    fields.num_bits = fields.format ? bits_of(*fields.format) : fields.num_bits;
  }
  return fields;
}

void check_fields(const QuantSpecFields& fields) {
  data::ErrorCollector problems;
  for (const auto check : kChecks) {
    problems.collect([&] { check(fields); });
  }
  problems.throw_if_any();
}

int bits_of(ScaleType type) {
  switch (type) {
    case ScaleType::float32:
      return 32;
    case ScaleType::float16:
    case ScaleType::bfloat16:
      return 16;
    case ScaleType::e8m0:
    case ScaleType::e4m3:
      break;
  }
  return 8;
}

int bits_of(ZeroPointType type) {
  return type == ZeroPointType::float16 ? 16 : 8;
}

int bits_of(FloatFormat format) {
  const std::string_view name = enum_name(format);  // e<digit>m<digit>
  return 1 + (name[1] - '0') + (name[3] - '0');
}

FloatFormat default_format(std::int64_t num_bits) {
  const std::optional<FloatFormat> format = usual_format(num_bits);
  if (!format) {
    throw InputError("type: float with num_bits " + std::to_string(num_bits),
                     "the floating-point formats have 3, 4, 5, 6 or 8 bits",
                     "choose one of these widths, or name a format");
  }
  return *format;
}

}  // namespace bitlaw::quant
