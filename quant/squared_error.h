// The error of a group seen through candidate parameters, for searches. Torch-free.
#pragma once

#include <span>

#include "quant/scale_search.h"
#include "quant/spec.h"

namespace bitlaw::quant {

// Multiplies by 1 / scale, where coding divides: where that turns a code, two codes are equally far. Floating
// and quantile: `scale` for all elements. `parameters.scale` includes the global scale here.
double squared_error(std::span<const float> w, const GroupParameters& parameters, const QuantSpec& spec);

// The same with |error|^power, 1 <= power <= 3, for integers and ternary numbers; a term within 1e-6 of
// exact.
double power_error(std::span<const float> w, const GroupParameters& parameters, const QuantSpec& spec,
                   double power);

}  // namespace bitlaw::quant
