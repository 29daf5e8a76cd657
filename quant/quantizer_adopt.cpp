// What a Quantizer has from post-training methods: their scales, groups in the order of rounding, and the
// transform of the input.
#include <ATen/ATen.h>

#include <stdexcept>

#include "quant/quantizer.h"

namespace bitlaw::quant {

void Quantizer::check_fits(const LayerCodes& found) const {
  const auto fits = [](const at::Tensor& into, const at::Tensor& from) {
    return !from.defined() || (into.defined() && into.sizes() == from.sizes());
  };
  if (method_ == Method::lsq || !fits(scale_state_, found.scale) ||
      !fits(negative_state_, found.scale_negative) || !fits(zero_point_, found.zero_point) ||
      zero_point_.defined() != found.zero_point.defined() || !fits(group_index_, found.group_index) ||
      global_scale_.defined() != found.global_scale.has_value() ||
      !fits(input_multiplier_, found.input_multiplier) || hadamard_block_ != found.hadamard_block) {
    throw std::invalid_argument("codes of another plan than the quantizer's (" + spec_.to_string() + ")");
  }
}

at::Tensor Quantizer::adopt(const LayerCodes& found) {
  const at::NoGradGuard no_grad;
  check_fits(found);
  const auto take = [](at::Tensor& into, const at::Tensor& from) {
    if (from.defined()) {
      into.copy_(from);
    }
  };
  take(scale_state_, found.scale);
  take(negative_state_, found.scale_negative);
  take(zero_point_, found.zero_point);
  take(group_index_, found.group_index);
  take(input_multiplier_, found.input_multiplier);
  if (found.global_scale) {
    global_scale_.fill_(*found.global_scale);
  }
  return dequantise(found, spec_);
}

InputTransform Quantizer::input_transform() const {
  return {input_multiplier_, hadamard_block_};
}

void Quantizer::clear_input_multiplier() {
  const at::NoGradGuard no_grad;
  if (input_multiplier_.defined()) {
    input_multiplier_.fill_(1.0);
  }
}

at::Tensor Quantizer::by_group(const at::Tensor& weight) const {
  return group_index_.defined() ? weight.index_select(1, at::argsort(group_index_, /*stable=*/true))
                                : weight.contiguous();
}

at::Tensor Quantizer::by_input(const at::Tensor& weight) const {
  return group_index_.defined()
             ? weight.index_select(1, at::argsort(at::argsort(group_index_, /*stable=*/true)))
             : weight;
}

}  // namespace bitlaw::quant
