#include "quant/learned_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/affine.h"
#include "quant/kernels/exponential_math.h"

namespace bitlaw::quant {

ScaleLimits limits_of(ScaleType type) {
  switch (type) {
    case ScaleType::float16:
      return {type, 0x1p-14F, 65504.0F};
    case ScaleType::bfloat16:
      return {type, std::numeric_limits<float>::min(), 0x1.fep127F};
    case ScaleType::e8m0:
      return {type, 0x1p-127F, 0x1p127F};
    case ScaleType::e4m3:
      return {type, 0x1p-9F, 448.0F};
    case ScaleType::float32:
      break;
  }
  return {type, std::numeric_limits<float>::min(), std::numeric_limits<float>::max()};
}

float storable_scale(float scale, const ScaleLimits& limits) {
  const float rounded = round_to(std::min(scale, limits.largest), limits.type);
  return rounded == 0.0F ? limits.smallest : rounded;
}

float storable_scale(float scale, ScaleType type) {
  return storable_scale(scale, limits_of(type));
}

float unrounded_scale(float log_scale) {
  return exponential(log_scale);
}

float scale_of_log(float log_scale, ScaleType type) {
  return storable_scale(unrounded_scale(log_scale), type);
}

float log_of_scale(float scale) {
  return static_cast<float>(std::log(static_cast<double>(scale)));
}

}  // namespace bitlaw::quant
