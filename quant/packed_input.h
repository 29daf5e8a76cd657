// The numbers of a quantised layer's input as they lie in files. Torch-free.
#pragma once

#include <optional>

#include "quant/spec.h"

namespace bitlaw::quant {

// Strategies token and group: scales are made at run time, the spec is all there is. Strategy tensor: one
// static scale,
//   x' = (level(code) - zero point) * scale        of the transformed input, as PackedTensor has it
struct PackedInput {
  QuantSpec spec;
  std::optional<float> scale;       // strategy tensor: positive, exact in scale_dtype
  std::optional<float> zero_point;  // its zero point, of asymmetric integers: exact in zero_point_dtype

  // NOLINTNEXTLINE(google-explicit-constructor): a spec is all that dynamic inputs have
  PackedInput(QuantSpec of) : spec(std::move(of)) {}
  PackedInput(QuantSpec of, std::optional<float> with_scale, std::optional<float> with_zero_point)
      : spec(std::move(of)), scale(with_scale), zero_point(with_zero_point) {}

  bool operator==(const PackedInput&) const = default;
};

// InputError when strategy, scale and zero point do not fit.
void check_packed(const PackedInput& packed);

}  // namespace bitlaw::quant
