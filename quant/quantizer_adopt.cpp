// What a Quantizer has from post-training methods: their scales, groups in the order of rounding, and the
// transform of the input.
#include <ATen/ATen.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "data/formats/input_error.h"

#include "quant/quantizer.h"

namespace bitlaw::quant {

namespace {

template <class T>
void copy_all(const at::Tensor& into, const std::vector<T>& from) {
  into.copy_(at::tensor(at::ArrayRef<T>(from), at::CppTypeToScalarType<T>::value).view(into.sizes()));
}

}  // namespace

void Quantizer::check_fits(const LayerCodes& found) const {
  const auto fits = [](const at::Tensor& into, const at::Tensor& from) {
    return !from.defined() || (into.defined() && into.sizes() == from.sizes());
  };
  if (has_learned_scales(method_) || !fits(scale_state_, found.scale) ||
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
  const at::Tensor master = dequantise(found, spec_);
  if (!at::isfinite(master).all().item<bool>() || !at::equal(codes(master), found.codes)) {
    throw data::InputError("codes of " + spec_.to_string() + " whose weights have other codes",
                           "their scales are so small or so large that float32 cannot hold level times scale",
                           "scale the layer's weights, or use scale_dtype: float16");
  }
  return master;
}

void Quantizer::freeze(const PackedTensor& found) {
  const at::NoGradGuard no_grad;
  TORCH_CHECK(has_frozen_codes(), "only e2e_qp freezes codes");
  check_same(found);
  check_packed(found);
  const std::vector<std::uint8_t> codes = unpack(found);
  copy_all(codes_, codes);
  if (global_scale_.defined()) {
    global_scale_.fill_(*found.global_scale);
  }
  at::Tensor scale = at::empty_like(scale_state_);
  copy_all(scale, found.scale);
  set_scale(scale_state_, scale);
  if (negative_state_.defined()) {
    copy_all(scale, found.scale_negative);
    set_scale(negative_state_, scale);
  }
  if (zero_point_.defined() && zero_point_.scalar_type() == at::kChar) {
    copy_all(zero_point_, found.zero_point);
  } else if (zero_point_.defined()) {
    copy_all(zero_point_, found.zero_point_real);
  }
  if (!found.group_index.empty()) {
    copy_all(group_index_, found.group_index);
  }
  if (!found.input_multiplier.empty()) {
    copy_all(input_multiplier_, found.input_multiplier);
  }
}

void Quantizer::check_same(const PackedTensor& found) const {
  const auto text = [](const QuantSpec& spec, std::int64_t out, std::int64_t in, std::int64_t block) {
    return spec.to_string() + " [" + std::to_string(out) + ", " + std::to_string(in) + "]" +
           (block > 0 ? " rotated in blocks of " + std::to_string(block) : "");
  };
  const std::string theirs = text(found.spec, found.out_features, found.in_features, found.hadamard_block);
  const std::string ours = text(spec_, out_features_, in_features_, hadamard_block_);
  if (theirs != ours) {
    throw data::InputError("codes of " + theirs + ", the configuration wants " + ours,
                           "frozen codes keep their format",
                           "give quant.weights, overrides and transforms as the codes were made");
  }
}

InputTransform Quantizer::input_transform() const {
  const bool multiplied = input_multiplier_.defined() && !input_multiplier_.eq(1.0).all().item<bool>();
  return {multiplied ? input_multiplier_ : at::Tensor(), hadamard_block_};
}

at::Tensor Quantizer::neighbouring_groups() const {
  return at::arange(in_features_, at::kInt).div(spec_.group_width(in_features_), "floor").to(at::kInt);
}

bool Quantizer::has_scattered_groups() const {
  return group_index_.defined() && !(has_frozen_codes() && at::equal(group_index_, neighbouring_groups()));
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
