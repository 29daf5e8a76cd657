// The one place where a learned logarithm becomes the scale that is used, stored and packed. Torch-free.
#pragma once

#include <cstdint>

#include "quant/spec.h"

namespace bitlaw::quant {

// Rounded to `type`; the smallest normal number of `type` instead of zero, the largest finite one instead of
// infinity.
float storable_scale(float scale, ScaleType type);
// exp(log_scale), before it is rounded to a storage type.
float unrounded_scale(float log_scale);
float scale_of_log(float log_scale, ScaleType type);  // the two together
float log_of_scale(float scale);  // scale > 0; scale_of_log(log_of_scale(s)) == s for 16-bit types

// n scales, element by element.
void scales_of_logs(const float* log_scale, std::int64_t count, ScaleType type, float* scale);

}  // namespace bitlaw::quant
