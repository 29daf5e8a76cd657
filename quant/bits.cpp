#include "quant/bits.h"

#include "quant/containers/model_state.h"
#include "quant/input_plan.h"
#include "quant/layers.h"
#include "quant/prepare.h"

namespace bitlaw::quant {

namespace {

std::int64_t bits_of_rest(RestType type) {
  return type == RestType::float32 ? 32 : 16;
}

void add_weight(const QuantSpec& spec, std::int64_t weights, std::int64_t scales, BitCount& count) {
  count.quantised_weights += weights;
  count.code_bits += weights * spec.bits();
  count.scale_bits += scales * bits_of(spec.fields().scale_dtype) * (spec.has_negative_scale() ? 2 : 1);
  count.scale_bits += spec.has_global_scale() ? 32 : 0;
  count.zero_point_bits += spec.has_zero_point() ? scales * bits_of(spec.fields().zero_point_dtype) : 0;
}

// Groups of scattered inputs and multipliers of inputs.
void add_input_order(std::int64_t group_indices, std::int64_t multipliers, BitCount& count) {
  count.input_bits += 32 * (group_indices + multipliers);
}

void add_static_input(const QuantSpec& spec, BitCount& count) {
  if (is_static(spec)) {
    count.input_bits += bits_of(spec.fields().scale_dtype);
    count.input_bits += spec.has_zero_point() ? bits_of(spec.fields().zero_point_dtype) : 0;
  }
}

void add_rest(std::int64_t values, std::int64_t bits_of_value, BitCount& count) {
  count.rest_values += values;
  count.rest_bits += values * bits_of_value;
}

}  // namespace

double BitCount::bits_per_weight() const {
  if (quantised_weights == 0) {
    return rest_values == 0 ? 0.0 : static_cast<double>(rest_bits) / static_cast<double>(rest_values);
  }
  return static_cast<double>(code_bits + scale_bits + zero_point_bits + input_bits) /
         static_cast<double>(quantised_weights);
}

BitCount count_bits(torch::nn::Module& model, RestType rest_dtype) {
  BitCount count;
  std::map<std::string, at::Tensor> rest = state_of(model, StateScope::deployed);
  for (const auto& [name, linear] : linear_layers(model)) {
    const std::string prefix = name.empty() ? "" : name + ".";
    const auto erase_state = [&rest, &prefix](const char* module) {
      std::erase_if(rest, [&](const auto& item) { return item.first.starts_with(prefix + module); });
    };
    if (linear->input_quantizer()) {
      add_static_input(linear->input_quantizer()->spec(), count);
      erase_state("input_quantizer.");
    }
    if (linear->weight_quantizer()) {
      const Quantizer& quantizer = *linear->weight_quantizer();
      add_weight(quantizer.spec(), linear->weight.numel(), quantizer.scale().numel(), count);
      const at::Tensor multiplier = quantizer.input_transform().multiplier;
      add_input_order(quantizer.has_scattered_groups() ? linear->weight.size(1) : 0,
                      multiplier.defined() ? multiplier.numel() : 0, count);
      rest.erase(prefix + "weight");
      erase_state("weight_quantizer.");
    }
  }
  for (const auto& [name, tensor] : rest) {
    add_rest(tensor.numel(),
             tensor.is_floating_point() ? bits_of_rest(rest_dtype)
                                        : static_cast<std::int64_t>(tensor.element_size()) * 8,
             count);
  }
  return count;
}

BitCount count_bits(const PackedModel& packed) {
  BitCount count;
  for (const auto& [name, weight] : packed.weights) {
    add_weight(weight.spec, weight.out_features * weight.in_features,
               static_cast<std::int64_t>(weight.scale.size()), count);
    add_input_order(static_cast<std::int64_t>(weight.group_index.size()),
                    static_cast<std::int64_t>(weight.input_multiplier.size()), count);
  }
  for (const auto& [name, input] : packed.activations) {
    add_static_input(input.spec, count);
  }
  for (const auto& [name, tensor] : packed.tensors) {
    const auto width = static_cast<std::int64_t>(data::size_of(tensor.dtype));
    add_rest(static_cast<std::int64_t>(tensor.bytes.size()) / width, 8 * width, count);
  }
  return count;
}

}  // namespace bitlaw::quant
