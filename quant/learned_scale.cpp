#include "quant/learned_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/affine.h"

namespace bitlaw::quant {

namespace {

float smallest_normal(ScaleType type) {
  return type == ScaleType::float16 ? 0x1p-14F : std::numeric_limits<float>::min();
}

float largest_finite(ScaleType type) {
  switch (type) {
    case ScaleType::float16:
      return 65504.0F;
    case ScaleType::bfloat16:
      return 0x1.fep127F;
    case ScaleType::float32:
      break;
  }
  return std::numeric_limits<float>::max();
}

}  // namespace

// In double: the float that results does not depend on which of its variants the C library picks.
float unrounded_scale(float log_scale) {
  return static_cast<float>(std::exp(static_cast<double>(log_scale)));
}

float storable_scale(float scale, ScaleType type) {
  const float rounded = round_to(std::min(scale, largest_finite(type)), type);
  return rounded == 0.0F ? smallest_normal(type) : rounded;
}

float scale_of_log(float log_scale, ScaleType type) {
  return storable_scale(unrounded_scale(log_scale), type);
}

float log_of_scale(float scale) {
  return static_cast<float>(std::log(static_cast<double>(scale)));
}

void scales_of_logs(const float* log_scale, std::int64_t count, ScaleType type, float* scale) {
  for (std::int64_t i = 0; i < count; ++i) {
    scale[i] = scale_of_log(log_scale[i], type);
  }
}

}  // namespace bitlaw::quant
