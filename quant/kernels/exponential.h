// Many learned scales at once: exp in float32, and rounded to a storage type. Vector instructions are chosen
// at run time; every choice gives the bits of exponential_math.h. Torch-free.
#pragma once

#include <cstdint>

#include "quant/spec.h"

namespace bitlaw::quant {

// into[i] = unrounded_scale(log_scale[i]); see quant/learned_scale.h.
void unrounded_scales(const float* log_scale, std::int64_t count, float* into);
// into[i] = scale_of_log(log_scale[i], type)
void scales_of_logs(const float* log_scale, std::int64_t count, ScaleType type, float* into);

}  // namespace bitlaw::quant
