#include "quant/input_quantizer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "quant/learned_scale.h"
#include "quant/quantizer.h"

namespace bitlaw::quant {

namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();

// What an observer looks for: zero points are found whole, and LSQ+ goes on from there.
QuantSpec observed_spec(const QuantSpec& spec) {
  QuantSpecFields fields = spec.fields();
  fields.zero_point_dtype = ZeroPointType::int8;
  return QuantSpec(fields);
}

// Asymmetric PACT: its range begins at zero.
bool clips_at_zero(const InputPlan& plan) {
  return plan.method == InputMethod::pact && plan.spec.has_zero_point();
}

float value(const at::Tensor& x) {
  return x.detach().to(at::kFloat).item<float>();
}

float known(float state) {
  if (std::isnan(state)) {
    throw std::logic_error("a static scale of inputs is used before it was observed or loaded");
  }
  return state;
}

}  // namespace

InputQuantizer::InputQuantizer(const InputPlan& plan) : plan_(plan) {
  if (is_static()) {
    register_state();
  }
}

InputQuantizer::InputQuantizer(const PackedInput& packed)
    : InputQuantizer(InputPlan{packed.spec, InputMethod::fixed, {}}) {
  check_packed(packed);
  if (packed.scale) {
    scale_.fill_(*packed.scale);
  }
  if (packed.zero_point) {
    zero_point_.fill_(*packed.zero_point);
  }
}

void InputQuantizer::register_state() {
  const InputMethod method = plan_.method;
  const at::Tensor unknown = at::full({1}, kUnknown);
  if (method == InputMethod::fixed) {
    scale_ = register_buffer("scale", unknown.clone());
  } else if (method == InputMethod::pact) {
    parameters_.alpha = register_parameter("alpha", unknown.clone());
  } else {
    parameters_.log_scale = register_parameter("log_scale", unknown.clone());
  }
  if (method == InputMethod::lsq_plus) {
    parameters_.offset = register_parameter("offset", unknown.clone());
  } else if (plan_.spec.has_zero_point() && method != InputMethod::pact) {
    zero_point_ = register_buffer("zero_point",
                                  at::zeros({1}, plan_.spec.has_real_zero_point() ? at::kHalf : at::kChar));
  }
}

float InputQuantizer::codes_above_zero() const {
  const int zero_point = plan_.spec.has_zero_point() ? plan_.spec.q_min() : 0;
  return static_cast<float>(plan_.spec.q_max() - zero_point);
}

InputGrid InputQuantizer::grid() const {
  const ScaleType type = plan_.spec.fields().scale_dtype;
  switch (plan_.method) {
    case InputMethod::fixed:
      return {known(value(scale_)), zero_point_.defined() ? value(zero_point_) : 0.0F};
    case InputMethod::lsq:
      return {scale_of_log(known(value(parameters_.log_scale)), type),
              zero_point_.defined() ? value(zero_point_) : 0.0F};
    case InputMethod::lsq_plus: {
      const float scale = scale_of_log(known(value(parameters_.log_scale)), type);
      return {scale, zero_point_of(known(value(parameters_.offset)), scale, plan_.spec)};
    }
    case InputMethod::pact:
      break;
  }
  const float alpha = std::max(known(value(parameters_.alpha)), 0.0F);
  return {storable_scale(alpha / codes_above_zero(), type),
          plan_.spec.has_zero_point() ? static_cast<float>(plan_.spec.q_min()) : 0.0F};
}

at::Tensor InputQuantizer::forward(const at::Tensor& x) {
  if (observer_) {
    observer_(x);
    return x;
  }
  if (!is_static()) {
    return fake_quantise_tokens(x, plan_.spec);
  }
  return fake_quantise_input(x, plan_.spec, grid(), plan_.method, parameters_);
}

void InputQuantizer::adopt(const std::string& name, const Statistics& seen) {
  const at::NoGradGuard no_grad;
  const StaticScale found = static_scale(plan_.observer, name, seen, observed_spec(plan_.spec));
  if (clips_at_zero(plan_) && saw_negative(name, seen)) {
    throw data::InputError(
        "quant.activations.method: pact with symmetric: false: the input of " + name + " has negative values",
        "PACT clips to 0 ... alpha, and they would all become 0",
        "set symmetric: true, or use method: lsq_plus");
  }
  take({found.scale, static_cast<float>(found.zero_point)});
}

void InputQuantizer::adopt(const PackedInput& packed) {
  const at::NoGradGuard no_grad;
  if (!(packed.spec == plan_.spec)) {
    throw data::InputError(
        "inputs of " + packed.spec.to_string() + ", the configuration wants " + plan_.spec.to_string(),
        "the codes were made for them", "give quant.activations as the codes were made");
  }
  if (!is_static()) {
    return;
  }
  check_packed(packed);
  const InputGrid found{*packed.scale, packed.zero_point.value_or(0.0F)};
  if (clips_at_zero(plan_) && found.zero_point != static_cast<float>(plan_.spec.q_min())) {
    throw data::InputError("inputs with zero point " + std::to_string(found.zero_point) +
                               ", the configuration has method: pact with symmetric: false",
                           "PACT clips to 0 ... alpha, whose zero point is the lowest code",
                           "use quant.activations.method: fixed, lsq or lsq_plus");
  }
  take(found);
}

void InputQuantizer::take(const InputGrid& found) {
  const auto fill = [](at::Tensor& into, float x) {
    if (into.defined()) {
      into.fill_(x);
    }
  };
  fill(scale_, found.scale);
  fill(zero_point_, found.zero_point);
  fill(parameters_.log_scale, log_of_scale(found.scale));
  fill(parameters_.offset, -found.zero_point * found.scale);
  fill(parameters_.alpha, found.scale * codes_above_zero());
}

bool InputQuantizer::is_known() const {
  const auto known = [](const at::Tensor& state) { return !state.defined() || !std::isnan(value(state)); };
  return known(scale_) && known(parameters_.log_scale) && known(parameters_.offset) &&
         known(parameters_.alpha);
}

PackedInput InputQuantizer::pack() const {
  if (!is_static()) {
    return {plan_.spec};
  }
  const InputGrid found = grid();
  const bool asymmetric = plan_.spec.has_zero_point();
  PackedInput packed{plan_.spec, found.scale, asymmetric ? std::optional(found.zero_point) : std::nullopt};
  check_packed(packed);
  return packed;
}

}  // namespace bitlaw::quant
