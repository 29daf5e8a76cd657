#include "trainer/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bitlaw::trainer {

double lr_factor(const ScheduleConfig& schedule, std::int64_t max_steps, std::int64_t step) {
  const std::int64_t update = step + 1;
  const std::int64_t warmup = schedule.warmup_steps;
  if (update < warmup) {
    return static_cast<double>(update) / static_cast<double>(warmup);
  }
  if (schedule.kind == ScheduleKind::constant || update == warmup) {
    return 1.0;
  }
  const double progress =
      std::min(1.0, static_cast<double>(update - warmup) /
                        static_cast<double>(std::max(max_steps - warmup, std::int64_t{1})));
  const double ratio = schedule.final_lr_ratio;
  return ratio + (1.0 - ratio) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

bool same_until(const ScheduleConfig& schedule, std::int64_t max_steps_a, std::int64_t max_steps_b,
                std::int64_t step) {
  return schedule.kind == ScheduleKind::constant || max_steps_a == max_steps_b ||
         step <= schedule.warmup_steps;
}

}  // namespace bitlaw::trainer
