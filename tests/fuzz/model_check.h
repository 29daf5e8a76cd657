// What a reader of whole models may do: refuse by an InputError, or give weights that can be used.
#pragma once

#include "quant/containers/native.h"
#include "tests/fuzz/fuzz.h"

namespace bitlaw::fuzz {

template <typename Read>
void check_model(Read read) {
  try {
    const quant::PackedModel model = read();
    for (const auto& [name, weight] : model.weights) {
      const auto count =
          static_cast<std::uint64_t>(weight.out_features) * static_cast<std::uint64_t>(weight.in_features);
      require(quant::dequantise(weight).size() == count);
    }
    for (const auto& [name, tensor] : model.tensors) {
      require(tensor.bytes.size() == data::byte_count(tensor.dtype, tensor.shape));
    }
  } catch (const data::InputError&) {
    return;  // refused, as it may be
  }
}

}  // namespace bitlaw::fuzz
