// Learning rate as a pure function of the step. Torch-free.
#pragma once

#include <cstdint>

#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

// Factor of the peak learning rate for the update that makes step `step` + 1 out of `step`, of max_steps.
// Warm-up of w steps: (step + 1) / w. Afterwards constant: 1; cosine: r + (1 - r) (1 + cos(pi p)) / 2 with
// p = (step + 1 - w) / (max_steps - w), so that the last update has the factor r = final_lr_ratio.
double lr_factor(const ScheduleConfig& schedule, std::int64_t max_steps, std::int64_t step);

// Whether the updates before `step` have the same learning rates under both: what a longer run must satisfy
// to continue a shorter one.
bool same_until(const ScheduleConfig& schedule, std::int64_t max_steps_a, std::int64_t max_steps_b,
                std::int64_t step);

}  // namespace bitlaw::trainer
