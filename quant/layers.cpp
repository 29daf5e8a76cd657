#include "quant/layers.h"

#include <ATen/autocast_mode.h>

#include "quant/ste.h"

namespace bitlaw::quant {

namespace {

// The type in which matrix products run: the autocast type when it is switched on, else float32.
at::ScalarType compute_type(at::DeviceType device) {
  return at::autocast::is_autocast_enabled(device) ? at::autocast::get_autocast_dtype(device) : at::kFloat;
}

}  // namespace

BufferRole Layer::buffer_role(std::string_view /*name*/) const {
  return BufferRole::forward;
}

at::Tensor Layer::rest(const at::Tensor& x) const {
  return round_straight_through(x, rest_dtype_);
}

Linear::Linear(std::int64_t in_features, std::int64_t out_features, Bias bias_option) {
  weight = register_parameter("weight", at::zeros({out_features, in_features}));
  if (bias_option == Bias::yes) {
    bias = register_parameter("bias", at::zeros({out_features}));
  }
}

at::Tensor Linear::effective_weight() {
  return weight_quantizer_ ? weight_quantizer_->forward(weight) : rest(weight);
}

at::Tensor Linear::weight_as(at::ScalarType type) {
  return weight_quantizer_ ? weight_quantizer_->forward(weight, type)
                           : round_straight_through(weight, rest_dtype(), type);
}

at::Tensor Linear::effective_bias() const {
  return rest(bias);
}

at::Tensor Linear::forward(const at::Tensor& x) {
  const at::ScalarType type = compute_type(x.device().type());
  return product(x, round_straight_through(bias, rest_dtype(), type), type);
}

at::Tensor Linear::forward_with_bias(const at::Tensor& x, const at::Tensor& with_bias) {
  const at::ScalarType type = compute_type(x.device().type());
  return product(x, with_bias.to(type), type);
}

at::Tensor Linear::prepared_input(const at::Tensor& x, at::ScalarType type) const {
  if (observer_) {
    observer_(x);
  }
  const at::Tensor input = input_transform().apply(x).to(type);
  return input_quantizer_ ? input_quantizer_->forward(input) : input;
}

at::Tensor Linear::product(const at::Tensor& x, const at::Tensor& with_bias, at::ScalarType type) {
  return at::linear(prepared_input(x, type), weight_as(type), with_bias);
}

InputTransform Linear::input_transform() const {
  return weight_quantizer_ ? weight_quantizer_->input_transform() : input_transform_;
}

void Linear::attach(std::shared_ptr<Quantizer> weights, std::optional<QuantSpec> activations) {
  if (weight_quantizer_) {
    unregister_module("weight_quantizer");
  }
  weight_quantizer_ = std::move(weights);
  if (weight_quantizer_) {
    register_module("weight_quantizer", weight_quantizer_);
  }
  if (weight_quantizer_ && weight_quantizer_->has_frozen_codes() && parameters_.contains("weight")) {
    parameters_.erase("weight");  // the codes are all there is; the member keeps the shape, not the memory
    weight = at::zeros({1, 1}).expand(weight.sizes());
  }
  attach_inputs(activations ? std::make_shared<InputQuantizer>(PackedInput(*activations)) : nullptr);
}

void Linear::attach_inputs(std::shared_ptr<InputQuantizer> inputs) {
  if (input_quantizer_) {
    unregister_module("input_quantizer");
  }
  input_quantizer_ = std::move(inputs);
  if (input_quantizer_) {
    register_module("input_quantizer", input_quantizer_);
  }
}

std::optional<QuantSpec> Linear::activation_spec() const {
  return input_quantizer_ ? std::optional(input_quantizer_->spec()) : std::nullopt;
}

Embedding::Embedding(std::int64_t count, std::int64_t dim) {
  weight = register_parameter("weight", at::zeros({count, dim}));
}

at::Tensor Embedding::forward(const at::Tensor& indices) {
  return rest(at::embedding(weight, indices));  // rounding after the look-up: fewer values, the same ones
}

Conv2d::Conv2d(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel_size,
               Conv2dOptions options)
    : options_(options) {
  weight = register_parameter("weight", at::zeros({out_channels, in_channels, kernel_size, kernel_size}));
  bias = register_parameter("bias", at::zeros({out_channels}));
}

at::Tensor Conv2d::forward(const at::Tensor& x) {
  return at::conv2d(x, rest(weight), rest(bias), {options_.stride, options_.stride},
                    {options_.padding, options_.padding});
}

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, double eps) : groups_(groups), eps_(eps) {
  weight = register_parameter("weight", at::ones({channels}));
  bias = register_parameter("bias", at::zeros({channels}));
}

at::Tensor GroupNorm::forward(const at::Tensor& x) {
  return at::group_norm(x, groups_, rest(weight), rest(bias), eps_);
}

}  // namespace bitlaw::quant
