#include "quant/state_check.h"

#include <ATen/ATen.h>

#include <span>

#include "data/formats/input_error.h"
#include "quant/layer_errors.h"
#include "quant/pack_check.h"

namespace bitlaw::quant {

namespace {

constexpr const char* kRepair = "the file is damaged: use another checkpoint";

template <class T>
std::span<const T> span_of(const at::Tensor& x) {
  return {x.const_data_ptr<T>(), static_cast<std::size_t>(x.numel())};
}

void check_finite(const at::Tensor& x) {
  if (!at::isfinite(x).all().item<bool>()) {
    throw data::InputError("NaN or infinity", "it has no codes and no values", kRepair);
  }
}

void check_positive(const at::Tensor& x) {
  check_finite(x);
  if (!x.gt(0.0).all().item<bool>()) {
    throw data::InputError("a scale of " + std::to_string(x.min().item<float>()), "scales are positive",
                           kRepair);
  }
}

void check_multipliers(const at::Tensor& x) {
  check_finite(x);
  if (x.eq(0.0).any().item<bool>()) {
    throw data::InputError("a multiplier of 0", "the input would be lost", kRepair);
  }
}

void check_zero_points(const at::Tensor& x, const QuantSpec& spec) {
  if (x.is_floating_point()) {
    check_finite(x);
  } else if (x.lt(spec.q_min()).logical_or(x.gt(spec.q_max())).any().item<bool>()) {
    throw data::InputError("zero points from " + std::to_string(x.min().item<int>()) + " to " +
                               std::to_string(x.max().item<int>()),
                           "those of " + spec.to_string() + " are its codes, " +
                               std::to_string(spec.q_min()) + " to " + std::to_string(spec.q_max()),
                           kRepair);
  }
}

// `name`: of the tensor in the quantizer.
void check_tensor(const std::string& name, const at::Tensor& tensor, const QuantSpec& spec) {
  if (name == "codes") {
    check_codes(spec, span_of<std::uint8_t>(tensor));
  } else if (name == "group_index") {
    check_group_index(spec, tensor.numel(), span_of<std::int32_t>(tensor));
  } else if (name == "zero_point") {
    check_zero_points(tensor, spec);
  } else if (name == "input_multiplier") {
    check_multipliers(tensor);
  } else if (name == "scale" || name == "scale_negative" || name == "global_scale") {
    check_positive(tensor);
  } else {  // learned: logarithms and offsets
    check_finite(tensor);
  }
}

void check_tensors(const std::string& prefix, const torch::nn::Module& quantizer, const QuantSpec& spec) {
  for (const auto& item : quantizer.named_parameters()) {
    naming(prefix + item.key(), [&] { check_tensor(item.key(), item.value().detach(), spec); });
  }
  for (const auto& item : quantizer.named_buffers()) {
    naming(prefix + item.key(), [&] { check_tensor(item.key(), item.value(), spec); });
  }
}

}  // namespace

void check_quantizer_state(const std::string& name, const Linear& linear) {
  const at::NoGradGuard no_grad;
  const std::string prefix = name.empty() ? "" : name + ".";
  if (const auto& weights = linear.weight_quantizer()) {
    check_tensors(prefix + "weight_quantizer.", *weights, weights->spec());
  }
  if (const auto& inputs = linear.input_quantizer()) {
    check_tensors(prefix + "input_quantizer.", *inputs, inputs->spec());
  }
}

}  // namespace bitlaw::quant
