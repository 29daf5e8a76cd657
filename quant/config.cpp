// Full specs from partial ones.
#include "quant/config.h"

#include "data/formats/input_error.h"

namespace bitlaw::quant {

namespace {

using data::InputError;

template <class T>
T pick(const std::optional<T>& own, const std::optional<T>& enclosing, T otherwise) {
  return own.value_or(enclosing.value_or(otherwise));
}

// A group size says what shares a scale as well as a strategy does.
std::optional<Strategy> strategy_of(const SpecConfig& config) {
  if (!config.strategy && config.group_size) {
    return Strategy::group;
  }
  return config.strategy;
}

QuantSpecFields merge(const SpecConfig& config, const SpecConfig& enclosing) {
  QuantSpecFields fields;
  fields.num_bits = pick(config.num_bits, enclosing.num_bits, fields.num_bits);
  fields.type = pick(config.type, enclosing.type, fields.type);
  fields.symmetric = pick(config.symmetric, enclosing.symmetric, fields.symmetric);
  fields.strategy = pick(strategy_of(config), strategy_of(enclosing), fields.strategy);
  fields.scale_dtype = pick(config.scale_dtype, enclosing.scale_dtype, fields.scale_dtype);
  // The enclosing group size goes with the enclosing strategy.
  const bool inherits_size = fields.strategy == Strategy::group;
  fields.group_size = config.group_size.value_or(inherits_size ? enclosing.group_size.value_or(0) : 0);
  return fields;
}

}  // namespace

QuantSpec weight_spec(const SpecConfig& config, const SpecConfig& defaults) {
  if (config.dynamic.value_or(defaults.dynamic.value_or(false))) {
    throw InputError("weights with dynamic: true", "weights are known before the run",
                     "leave dynamic out; it belongs to activations");
  }
  QuantSpecFields fields = merge(config, defaults);
  const Grid usual = fields.symmetric && fields.num_bits == 2 ? Grid::half : Grid::integer;
  fields.grid = pick(config.grid, defaults.grid, usual);
  if (fields.strategy == Strategy::token) {
    throw InputError("weights with strategy: token", "a weight has no tokens",
                     "use tensor, channel or group; token belongs to activations");
  }
  return QuantSpec(fields);
}

QuantSpec activation_spec(const SpecConfig& config) {
  if (!config.dynamic.value_or(true)) {
    throw InputError("activations with dynamic: false", "scales are made from each token at run time",
                     "use dynamic: true, or leave it out");
  }
  QuantSpecFields fields = merge(config, {});
  fields.grid = config.grid.value_or(Grid::integer);
  fields.strategy = strategy_of(config).value_or(Strategy::token);
  if (fields.strategy != Strategy::token) {
    throw InputError("activations with strategy: " + std::string(data::enum_name(fields.strategy)),
                     "scales are made from each token at run time", "use strategy: token, or leave it out");
  }
  if (fields.type != NumberType::integer) {
    throw InputError("activations with type: " + std::string(data::enum_name(fields.type)),
                     "this type has no kernel for activations", "use type: int");
  }
  return QuantSpec(fields);
}

}  // namespace bitlaw::quant
