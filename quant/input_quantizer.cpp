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

bool has_real_zero_point(const QuantSpec& spec) {
  return spec.fields().zero_point_dtype == ZeroPointType::float16;
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
                                  at::zeros({1}, has_real_zero_point(plan_.spec) ? at::kHalf : at::kChar));
  }
}

float InputQuantizer::codes_above_zero() const {
  const int zero_point = plan_.spec.has_zero_point() ? plan_.spec.q_min() : 0;
  return static_cast<float>(plan_.spec.q_max() - zero_point);
}

float InputQuantizer::zero_point_of_offset(float scale) const {
  const float exact = -known(value(parameters_.offset)) / scale;
  if (has_real_zero_point(plan_.spec)) {
    const float largest = limits_of(ScaleType::float16).largest;
    return round_to(std::clamp(exact, -largest, largest), ScaleType::float16);
  }
  return std::clamp(std::nearbyint(exact), static_cast<float>(plan_.spec.q_min()),
                    static_cast<float>(plan_.spec.q_max())) +
         0.0F;  // no -0
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
      return {scale, zero_point_of_offset(scale)};
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
  const bool of_positive = plan_.method == InputMethod::pact && plan_.spec.has_zero_point();
  if (of_positive && found.zero_point != plan_.spec.q_min()) {
    throw data::InputError(
        "quant.activations.method: pact with symmetric: false: the input of " + name + " has negative values",
        "PACT clips to 0 ... alpha, and they would all become 0",
        "set symmetric: true, or use method: lsq_plus");
  }
  const auto take = [](at::Tensor& into, float x) {
    if (into.defined()) {
      into.fill_(x);
    }
  };
  take(scale_, found.scale);
  take(zero_point_, static_cast<float>(found.zero_point));
  take(parameters_.log_scale, log_of_scale(found.scale));
  take(parameters_.offset, -static_cast<float>(found.zero_point) * found.scale);
  take(parameters_.alpha, found.scale * codes_above_zero());
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
