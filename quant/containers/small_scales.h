// Scales of one byte, and the two ways in which others write the scale of scales. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "quant/spec.h"

namespace bitlaw::quant {

// A positive, finite number that the type holds (e4m3: as the scale itself, without the global one).
bool is_exact_scale(float scale, ScaleType type);

// Bytes of e8m0 (exponent + 127) and of e4m3 (sign bit 0). Values are exact in the type. The other way,
// 0xFF of e8m0 and what e4m3 has no finite positive value for give NaN.
std::vector<std::uint8_t> e8m0_bytes(std::span<const float> scales);
std::vector<float> e8m0_scales(std::span<const std::uint8_t> bytes);
std::vector<std::uint8_t> e4m3_bytes(std::span<const float> scales);
std::vector<float> e4m3_scales(std::span<const std::uint8_t> bytes);

// compressed-tensors divides scales by a number G, bitlaw multiplies them by a number g; both round to
// float32. For one in five g there is a G that gives the same bits for every scale of e4m3, and the other way
// round; none elsewhere. (Eight mantissas decide: a power of two changes no rounding, and bitlaw's own global
// scales are powers of two.)
std::optional<float> divisor_for(float multiplier);
std::optional<float> multiplier_for(float divisor);

}  // namespace bitlaw::quant
