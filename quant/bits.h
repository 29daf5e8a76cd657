// What a model really stores: codes, scales, zero points and the rest, in bits.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>

#include "quant/config.h"
#include "quant/containers/native.h"

namespace bitlaw::quant {

struct BitCount {
  std::int64_t quantised_weights = 0;  // number of weights that have codes
  std::int64_t code_bits = 0;          // dense: n * b (row padding to 32 bits is in file size, not here)
  std::int64_t scale_bits = 0;
  std::int64_t zero_point_bits = 0;
  // Of quantised weights: groups of scattered inputs, multipliers of inputs; static scales and zero points.
  std::int64_t input_bits = 0;
  std::int64_t rest_values = 0;  // everything else that the forward needs and training changes
  std::int64_t rest_bits = 0;

  std::int64_t model_bits() const {
    return code_bits + scale_bits + zero_point_bits + input_bits + rest_bits;
  }
  double bits_per_weight()
      const;  // of the quantised weights, all but rest_bits; rest width when there are none
};

// model_bits = sum over quantised tensors of n (b + scale bits / g + zero point bits / g) + 32 bits for the
// group of each scattered input and for each input multiplier, as files store them + the rest: floats in the
// width of `rest_dtype`, integers in their own. Constant buffers (masks, position tables) that a
// configuration rebuilds are not counted.
BitCount count_bits(torch::nn::Module& model, RestType rest_dtype);
// The same of what a file holds: count_bits(pack_model(model, rest_dtype)) is count_bits(model, rest_dtype).
BitCount count_bits(const PackedModel& packed);

}  // namespace bitlaw::quant
