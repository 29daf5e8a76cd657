#include "quant/input_check.h"

#include <string>
#include <string_view>

#include "data/formats/input_errors.h"

namespace bitlaw::quant {

namespace {

std::string with(const char* key, std::string_view value) {
  return std::string("activations with ").append(key).append(": ").append(value);
}

void check_strategy(const QuantSpecFields& fields) {
  if (fields.strategy == Strategy::channel || fields.strategy == Strategy::block) {
    throw data::InputError(with("strategy", data::enum_name(fields.strategy)),
                           "outputs and their blocks belong to weights",
                           "use token, group, or (dynamic: false) tensor");
  }
}

void check_type(const QuantSpecFields& fields) {
  if (fields.type != NumberType::integer && fields.type != NumberType::floating) {
    throw data::InputError(with("type", data::enum_name(fields.type)),
                           "its levels are made for weights, which are distributed normally",
                           "use type: int or type: float");
  }
  if (fields.type == NumberType::floating && !fields.symmetric) {
    throw data::InputError("activations with type: float and symmetric: false",
                           "inputs of floats have one scale", "use symmetric: true, or leave it out");
  }
}

void check_scale(const QuantSpecFields& fields) {
  if (fields.scale_dtype == ScaleType::e4m3) {
    throw data::InputError(with("scale_dtype", "e4m3"),
                           "the scale of scales would be one number of the whole input, which is not known "
                           "at run time",
                           "use scale_dtype: e8m0 with groups of 32 (MX), or float16");
  }
}

void check_zero_point(const QuantSpecFields& fields) {
  if (fields.zero_point_dtype == ZeroPointType::float16 && fields.strategy != Strategy::tensor) {
    throw data::InputError(with("zero_point_dtype", "float16"),
                           "zero points of tokens are never stored, and are whole",
                           "leave zero_point_dtype out, or use dynamic: false with method: lsq_plus");
  }
}

}  // namespace

void check_input_fields(const QuantSpecFields& fields) {
  data::ErrorCollector problems;
  for (const auto check : {check_strategy, check_type, check_scale, check_zero_point}) {
    problems.collect([&] { check(fields); });
  }
  problems.throw_if_any();
}

}  // namespace bitlaw::quant
