#include "quant/quantizer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/formats/input_error.h"
#include "quant/fake_quant_function.h"
#include "quant/frozen_codes.h"
#include "quant/kernels/exponential.h"
#include "quant/learned_scale.h"
#include "quant/scale_search.h"
#include "quant/weight_scales.h"

namespace bitlaw::quant {

namespace {

template <class T>
std::span<const T> span_of(const at::Tensor& x) {
  return {x.const_data_ptr<T>(), static_cast<std::size_t>(x.numel())};
}

template <class T>
std::vector<T> vector_of(const at::Tensor& x) {
  if (!x.defined()) {
    return {};
  }
  const std::span<const T> values = span_of<T>(x);
  return {values.begin(), values.end()};
}

// A zero point as its buffer holds it.
at::ScalarType zero_point_type(const QuantSpec& spec) {
  return spec.has_real_zero_point() ? at::kHalf : at::kChar;
}

}  // namespace

Quantizer::Quantizer(const QuantSpec& spec, Method method, std::int64_t out_features,
                     std::int64_t in_features, const LayerPlan& plan)
    : spec_(spec),
      method_(method),
      out_features_(out_features),
      in_features_(in_features),
      hadamard_block_(plan.hadamard_block) {
  TORCH_CHECK(method != Method::none, "a quantizer needs a method");
  if (spec.fields().strategy == Strategy::token) {
    throw data::InputError("strategy: token", "a weight has no tokens",
                           "use tensor, channel, group or block");
  }
  const std::vector<std::int64_t> shape = {spec.scale_rows(out_features), spec.groups(in_features)};
  const bool learned = has_learned_scales(method);
  const auto register_scale = [&](const std::string& name) {
    return learned ? register_parameter("log_" + name, at::zeros(shape))
                   : register_buffer(name, at::ones(shape));
  };
  scale_state_ = register_scale("scale");
  if (spec.has_negative_scale()) {
    negative_state_ = register_scale("scale_negative");
  }
  if (spec.has_zero_point() && plan.zero_points == ZeroPointTraining::learned) {
    learned_zero_point_ = register_parameter("learned_zero_point", at::zeros(shape));
  } else if (spec.has_zero_point()) {
    zero_point_ = register_buffer("zero_point", at::zeros(shape, zero_point_type(spec)));
  }
  if (spec.has_global_scale()) {
    global_scale_ = register_buffer("global_scale", at::ones({1}));
  }
  if (plan.group_index) {
    group_index_ = register_buffer("group_index", neighbouring_groups());
  }
  if (has_frozen_codes()) {
    codes_ = register_buffer("codes", at::zeros({out_features, in_features}, at::kByte));
  }
  if (plan.input_multiplier) {
    input_multiplier_ = register_buffer("input_multiplier", at::ones({in_features}));
  }
}

void Quantizer::check_weight(const at::Tensor& weight) const {
  TORCH_CHECK(weight.is_cpu() && weight.scalar_type() == at::kFloat && weight.dim() == 2 &&
                  weight.size(0) == out_features_ && weight.size(1) == in_features_,
              "a quantizer of a float32 CPU weight [", out_features_, ", ", in_features_, "] got ",
              weight.toString(), " ", weight.sizes());
}

void Quantizer::initialise(const at::Tensor& weight, ScaleSearch search) {
  const at::NoGradGuard no_grad;
  check_weight(weight);
  const WeightScales found = find_weight_scales(spec_, weight.detach().contiguous(), search);
  if (global_scale_.defined()) {
    global_scale_.fill_(*found.global_scale);
  }
  set_scale(scale_state_, found.scale);
  if (negative_state_.defined()) {
    set_scale(negative_state_, found.scale_negative);
  }
  if (zero_point_.defined()) {
    zero_point_.copy_(found.zero_point);
  }
  if (learned_zero_point_.defined()) {
    learned_zero_point_.copy_(found.zero_point);
  }
}

void Quantizer::restart(const QuantSpec& spec, const at::Tensor& weight, ScaleSearch search) {
  QuantSpecFields fields = spec.fields();
  fields.num_bits = spec_.fields().num_bits;
  fields.grid = spec_.fields().grid;
  fields.format = spec_.fields().format;
  TORCH_CHECK(QuantSpec(fields) == spec_, "a quantizer of ", spec_.to_string(), " cannot become one of ",
              spec.to_string());
  spec_ = spec;
  initialise(weight, search);
}

at::Tensor Quantizer::zero_point() const {
  if (!learned_zero_point_.defined()) {
    return zero_point_;
  }
  const at::Tensor inside = learned_zero_point_.detach().clamp(spec_.q_min(), spec_.q_max());
  const at::ScalarType type = zero_point_type(spec_);
  return (type == at::kChar ? inside.round() : inside).to(type);
}

float Quantizer::global_factor() const {
  return global_scale_.defined() ? *global_scale_.const_data_ptr<float>() : 1.0F;
}

// From a scale as it is stored, without the global one.
void Quantizer::set_scale(at::Tensor& state, const at::Tensor& scale) const {
  state.copy_(scale);
  if (has_learned_scales(method_)) {
    auto* log = state.mutable_data_ptr<float>();
    const float factor = global_factor();
    std::transform(log, log + state.numel(), log, [factor](float x) { return log_of_scale(x * factor); });
  }
}

at::Tensor Quantizer::stored_scale(const at::Tensor& state) const {
  const at::NoGradGuard no_grad;
  if (!has_learned_scales(method_)) {
    return state.detach();
  }
  at::Tensor scale = at::empty_like(state);
  auto* into = scale.mutable_data_ptr<float>();
  const ScaleType type = spec_.fields().scale_dtype;
  if (!global_scale_.defined()) {
    scales_of_logs(state.const_data_ptr<float>(), state.numel(), type, into);
    return scale;
  }
  const float factor = global_factor();
  unrounded_scales(state.const_data_ptr<float>(), state.numel(), into);
  std::transform(into, into + scale.numel(), into,
                 [factor, type](float x) { return storable_scale(x / factor, type); });
  return scale;
}

at::Tensor Quantizer::scale() const {
  return stored_scale(scale_state_);
}

at::Tensor Quantizer::scale_negative() const {
  return negative_state_.defined() ? stored_scale(negative_state_) : at::Tensor();
}

std::optional<float> Quantizer::global_scale() const {
  return global_scale_.defined() ? std::optional(global_factor()) : std::nullopt;
}

FakeQuantInputs Quantizer::inputs_of(const at::Tensor& weight) const {
  const bool learned = has_learned_scales(method_);
  const at::Tensor zero_point = this->zero_point();
  const bool real = zero_point.defined() && zero_point.scalar_type() != at::kChar;
  FakeQuantInputs inputs;
  inputs.weight = weight;
  inputs.log_scale = learned ? scale_state_ : at::Tensor();
  inputs.scale = global_scale_.defined() ? scale() * global_factor() : scale();
  inputs.zero_point = real ? zero_point.to(at::kFloat) : zero_point;
  inputs.learned_zero_point = learned_zero_point_;
  inputs.log_scale_negative = learned ? negative_state_ : at::Tensor();
  inputs.scale_negative = scale_negative();
  return inputs;
}

at::Tensor Quantizer::forward(const at::Tensor& weight, at::ScalarType type) {
  check_weight(weight);
  if (has_frozen_codes()) {
    return dequantise_frozen(spec_, {codes_, group_index_}, inputs_of(weight), type);
  }
  const at::ScalarType kernel_type = type == at::kBFloat16 ? type : at::kFloat;
  return by_input(fake_quantise(spec_, method_, inputs_of(by_group(weight)), kernel_type).to(type));
}

at::Tensor Quantizer::codes(const at::Tensor& weight) {
  const at::NoGradGuard no_grad;
  check_weight(weight);
  if (has_frozen_codes()) {
    return codes_;
  }
  return by_input(make_codes(spec_, inputs_of(by_group(weight.detach()))));
}

PackedTensor Quantizer::pack(const at::Tensor& weight) {
  const at::NoGradGuard no_grad;
  check_weight(weight);
  PackedTensor packed;
  packed.spec = spec_;
  packed.out_features = out_features_;
  packed.in_features = in_features_;
  packed.scale = vector_of<float>(scale());
  packed.scale_negative = vector_of<float>(scale_negative());
  packed.global_scale = global_scale();
  const at::Tensor zero_point = this->zero_point();
  if (zero_point.defined() && zero_point.scalar_type() == at::kChar) {
    packed.zero_point = vector_of<std::int8_t>(zero_point);
  } else if (zero_point.defined()) {
    packed.zero_point_real = vector_of<float>(zero_point.to(at::kFloat));
  }
  if (has_scattered_groups()) {
    packed.group_index = vector_of<std::int32_t>(group_index_);
  }
  packed.input_multiplier = vector_of<float>(input_transform().multiplier);
  packed.hadamard_block = hadamard_block_;
  if (group_index_.defined() || has_frozen_codes()) {  // columns of codes move, or codes are there
    return quant::pack(std::move(packed), span_of<std::uint8_t>(codes(weight)));
  }
  packed.codes = make_packed_codes(spec_, inputs_of(weight.detach().contiguous()));
  check_packed(packed);
  return packed;
}

at::Tensor fake_quantise_tokens(const at::Tensor& x, const QuantSpec& spec) {
  return fake_quantise_rows(x, spec);
}

}  // namespace bitlaw::quant
