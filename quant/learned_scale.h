// Which scales can be stored, and the one function by which a learned logarithm becomes the scale that is
// used, stored and packed. Many at once: quant/kernels/exponential.h. Torch-free.
#pragma once

#include "quant/spec.h"

namespace bitlaw::quant {

struct ScaleLimits {
  ScaleType type = ScaleType::float32;
  float smallest = 0.0F;  // normal number; of the 8-bit types any number
  float largest = 0.0F;   // finite number
};
ScaleLimits limits_of(ScaleType type);

// Rounded to `type`; the smallest number of limits_of(type) instead of zero, the largest finite one instead
// of infinity.
float storable_scale(float scale, const ScaleLimits& limits);
float storable_scale(float scale, ScaleType type);
// exp(log_scale), at most the largest float32, before it is rounded to a storage type.
float unrounded_scale(float log_scale);
float scale_of_log(float log_scale, ScaleType type);  // the two together
float log_of_scale(float scale);  // scale > 0; scale_of_log(log_of_scale(s)) == s for 16-bit types

}  // namespace bitlaw::quant
