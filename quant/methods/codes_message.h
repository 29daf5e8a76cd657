// The codes of a layer as bytes, for ranks that send them to each other. Not a file format: both ends are one
// program.
#pragma once

#include "quant/methods/layer_codes.h"

namespace bitlaw::quant {

at::Tensor to_message(const LayerCodes& codes);  // uint8 [n]
// The same codes to the bit. std::invalid_argument for bytes that to_message does not write.
LayerCodes from_message(const at::Tensor& message);

}  // namespace bitlaw::quant
