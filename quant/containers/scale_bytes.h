// Scales between the float32 of memory and the bytes of their storage type. Torch-free.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "data/formats/tensor_file.h"
#include "quant/spec.h"

namespace bitlaw::quant {

data::DType dtype_of(ScaleType type);

// std::invalid_argument when a value is not exact in `type`.
std::vector<std::byte> encode_scales(std::span<const float> scales, ScaleType type);
std::vector<float> decode_scales(std::span<const std::byte> bytes, ScaleType type);

}  // namespace bitlaw::quant
