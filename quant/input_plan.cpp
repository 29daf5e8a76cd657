#include "quant/input_plan.h"

#include <string>

#include "data/formats/input_errors.h"
#include "quant/input_check.h"
#include "quant/methods/method_plan.h"

namespace bitlaw::quant {

namespace {

using data::enum_name;
using data::InputError;

std::string with_strategy(Strategy strategy) {
  return "activations with strategy: " + std::string(enum_name(strategy));
}

void check_strategy(Strategy strategy, bool dynamic) {
  if (dynamic && strategy == Strategy::tensor) {
    throw InputError(with_strategy(strategy) + " and dynamic: true",
                     "a scale of the whole input made at run time would depend on the other samples of the "
                     "batch",
                     "set dynamic: false for an observed scale, or use strategy: token or group");
  }
  if (!dynamic && strategy != Strategy::tensor) {
    throw InputError(with_strategy(strategy) + " and dynamic: false",
                     "a static scale belongs to the whole input, which has any number of tokens",
                     "use strategy: tensor, or dynamic: true");
  }
}

void check_zero_points(const QuantSpecFields& fields, InputMethod method) {
  if (fields.zero_point_dtype == ZeroPointType::float16 && method != InputMethod::lsq_plus) {
    throw InputError("activations with zero_point_dtype: float16",
                     "zero points of tokens are never stored, and observed ones are whole",
                     "leave zero_point_dtype out, or use method: lsq_plus, which learns an offset");
  }
}

void check_method_of_inputs(const QuantSpecFields& fields, InputMethod method) {
  const std::string name = "activations with method: " + std::string(enum_name(method));
  if (method == InputMethod::lsq_plus && (fields.type != NumberType::integer || fields.symmetric)) {
    throw InputError(name + (fields.symmetric ? " and symmetric: true" : " and type: float"),
                     "LSQ+ learns an offset, which is the zero point of asymmetric integers",
                     "set symmetric: false with type: int, or use method: lsq");
  }
  if (method == InputMethod::pact && (fields.type != NumberType::integer || fields.grid != Grid::integer)) {
    throw InputError(name + (fields.type == NumberType::integer ? " and grid: half" : " and type: float"),
                     "PACT divides its range into equal steps from the clipping value on",
                     "use type: int on the integer grid, or method: lsq");
  }
}

// Keys that say where a static scale comes from.
void check_unused(const char* key, bool is_given, bool dynamic) {
  if (dynamic && is_given) {
    throw InputError(std::string("activations with dynamic: true and ").append(key),
                     "scales are made from each token at run time: nothing is observed or learned",
                     std::string("set dynamic: false, or remove ").append(key));
  }
}

void check_percentile(const ActivationConfig& config, bool dynamic) {
  if (!dynamic && config.percentile && config.observer != ObserverKind::percentile) {
    throw InputError("activations with percentile, but not observer: percentile",
                     "no other observer looks at it", "set observer: percentile, or remove percentile");
  }
}

void check_learns(InputMethod of_inputs, Method method) {
  if (of_inputs != InputMethod::fixed && is_post_training(method)) {
    throw InputError("method: " + std::string(enum_name(of_inputs)) +
                         " with quant.method: " + std::string(enum_name(method)),
                     "a post-training method takes no step in which a scale could be learned",
                     "use method: fixed, or train with quant.method: ste or lsq");
  }
}

QuantSpecFields fields_of(const ActivationConfig& config, bool dynamic) {
  QuantSpecFields fields = merged_fields(config, {});
  fields.grid = config.grid.value_or(Grid::integer);
  fields.strategy = given_strategy(config).value_or(dynamic ? Strategy::token : Strategy::tensor);
  return fields;
}

}  // namespace

InputPlan input_plan(const ActivationConfig& config) {
  const bool dynamic = config.dynamic.value_or(true);
  const QuantSpecFields fields = fields_of(config, dynamic);
  const auto method = config.method.value_or(InputMethod::fixed);
  data::ErrorCollector problems;
  problems.collect([&] { check_unused("method", config.method.has_value(), dynamic); });
  problems.collect([&] { check_unused("observer", config.observer.has_value(), dynamic); });
  problems.collect([&] { check_unused("percentile", config.percentile.has_value(), dynamic); });
  problems.collect([&] { check_percentile(config, dynamic); });
  problems.collect([&] { check_given_width(config); });
  problems.collect([&] { check_scale_type(fields); });
  problems.collect([&] { check_strategy(fields.strategy, dynamic); });
  problems.collect([&] { check_method_of_inputs(fields, method); });
  if (problems.collect([&] { check_input_fields(fields); })) {
    problems.collect([&] { check_zero_points(fields, method); });
    problems.collect([&] { QuantSpec{fields}; });
  }
  problems.throw_if_any();
  return {QuantSpec(fields),
          method,
          {config.observer.value_or(ObserverKind::mse), config.percentile.value_or(99.99)}};
}

bool has_static_inputs(const QuantConfig& config) {
  return config.activations && !config.activations->dynamic.value_or(true);
}

void check_inputs(const QuantConfig& config) {
  if (!config.activations) {
    return;
  }
  data::ErrorCollector problems;
  problems.collect([&] { input_plan(*config.activations); });
  problems.collect(
      [&] { check_learns(config.activations->method.value_or(InputMethod::fixed), config.method); });
  problems.throw_if_any();
}

}  // namespace bitlaw::quant
