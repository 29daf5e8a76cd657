// Full specs from partial ones.
#include "quant/config.h"

#include "data/formats/input_errors.h"

namespace bitlaw::quant {

namespace {

using data::InputError;

template <class T>
T pick(const std::optional<T>& own, const std::optional<T>& enclosing, T otherwise) {
  return own.value_or(enclosing.value_or(otherwise));
}

std::optional<NumberType> type_of(const SpecConfig& config) {
  return !config.type && config.format ? std::optional(NumberType::floating) : config.type;
}

// The enclosing format goes with the enclosing type and width.
std::optional<FloatFormat> format_of(const SpecConfig& config, const SpecConfig& enclosing, NumberType type) {
  const bool inherits = type == NumberType::floating && !config.num_bits;
  return !config.format && inherits ? enclosing.format : config.format;
}

void check_known_before(bool dynamic) {
  if (dynamic) {
    throw InputError("weights with dynamic: true", "weights are known before the run",
                     "leave dynamic out; it belongs to activations");
  }
}

void check_strategy_of_weights(Strategy strategy) {
  if (strategy == Strategy::token) {
    throw InputError("weights with strategy: token", "a weight has no tokens",
                     "use tensor, channel, group or block; token belongs to activations");
  }
}

}  // namespace

void check_given_width(const SpecConfig& config) {
  if (config.num_bits && config.format && *config.num_bits != bits_of(*config.format)) {
    throw InputError("num_bits " + std::to_string(*config.num_bits) +
                         " with format: " + std::string(data::enum_name(*config.format)),
                     "the format has " + std::to_string(bits_of(*config.format)) + " bits",
                     "leave num_bits out, or name another format");
  }
  if (config.num_bits && config.type == NumberType::ternary && *config.num_bits != 2) {
    throw InputError("num_bits " + std::to_string(*config.num_bits) + " with type: ternary",
                     "its codes have 2 bits", "leave num_bits out, or use type: int");
  }
}

// E5M2's scales are amax / 57344: for weights and inputs of usual size below 2^-14, where float16 has few
// digits.
void check_scale_type(const QuantSpecFields& fields) {
  if (fields.format == FloatFormat::e5m2 && fields.scale_dtype == ScaleType::float16) {
    throw InputError("format: e5m2 with scale_dtype: float16",
                     "its scales are amax / 57344, where float16 has few digits or none",
                     "set scale_dtype: bfloat16, float32, or e8m0 with group_size: 32");
  }
}

// A group size or a block says what shares a scale as well as a strategy does.
std::optional<Strategy> given_strategy(const SpecConfig& config) {
  if (!config.strategy && config.group_size) {
    return Strategy::group;
  }
  if (!config.strategy && !config.block_structure.empty()) {
    return Strategy::block;
  }
  return config.strategy;
}

QuantSpecFields merged_fields(const SpecConfig& config, const SpecConfig& enclosing) {
  QuantSpecFields fields;
  fields.num_bits = pick(config.num_bits, enclosing.num_bits, fields.num_bits);
  fields.type = pick(type_of(config), type_of(enclosing), fields.type);
  fields.format = format_of(config, enclosing, fields.type);
  fields.symmetric = pick(config.symmetric, enclosing.symmetric, fields.symmetric);
  fields.strategy = pick(given_strategy(config), given_strategy(enclosing), fields.strategy);
  fields.scale_dtype = pick(config.scale_dtype, enclosing.scale_dtype, fields.scale_dtype);
  // The enclosing sizes go with the enclosing strategy, zero points with asymmetric integers.
  const bool inherits_size = fields.strategy == Strategy::group;
  fields.group_size = config.group_size.value_or(inherits_size ? enclosing.group_size.value_or(0) : 0);
  const bool inherits_block = config.block_structure.empty() && fields.strategy == Strategy::block;
  fields.block_structure = inherits_block ? enclosing.block_structure : config.block_structure;
  const bool has_zero_point = fields.type == NumberType::integer && !fields.symmetric;
  fields.zero_point_dtype = config.zero_point_dtype.value_or(
      has_zero_point ? enclosing.zero_point_dtype.value_or(ZeroPointType::int8) : ZeroPointType::int8);
  return fields;
}

QuantSpec weight_spec(const SpecConfig& config, const SpecConfig& defaults) {
  data::ErrorCollector problems;
  problems.collect([&] { check_given_width(config); });
  problems.collect([&] { check_known_before(config.dynamic.value_or(defaults.dynamic.value_or(false))); });
  QuantSpecFields fields = merged_fields(config, defaults);
  const bool two_bits = fields.type == NumberType::integer && fields.num_bits == 2;
  const Grid usual = fields.symmetric && two_bits ? Grid::half : Grid::integer;
  fields.grid = pick(config.grid, defaults.grid, usual);
  problems.collect([&] { check_strategy_of_weights(fields.strategy); });
  problems.collect([&] { check_scale_type(fields); });
  problems.collect([&] { QuantSpec{fields}; });
  problems.throw_if_any();
  return QuantSpec(fields);
}

}  // namespace bitlaw::quant
