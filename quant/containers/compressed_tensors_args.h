// The numbers of one tensor in compressed-tensors' words ("QuantizationArgs"), both ways. Torch-free.
#pragma once

#include <string>

#include "data/formats/json.h"
#include "quant/containers/compressed_tensors_config.h"

namespace bitlaw::quant {

data::Json compressed_weight_args(const CompressedScheme& scheme);
data::Json compressed_input_args(const QuantSpec& inputs);

// InputError, with `origin` in front, for what has no spec. The type of scales is a guess: float32, or that
// of the format.
QuantSpec compressed_weight_spec(const data::Json& args, CompressedFormat format, const std::string& origin);
QuantSpec compressed_input_spec(const data::Json& args, const std::string& origin);  // of inputs
// Whether the groups are of scattered inputs.
bool compressed_scattered(const data::Json& args, const std::string& origin);

}  // namespace bitlaw::quant
