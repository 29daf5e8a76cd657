#include "trainer/config/check.h"

#include "trainer/config/check_parts.h"

namespace bitlaw::trainer {

namespace {

Problems all_problems(const RunConfig& config, int world_size, Use use) {
  Problems problems(config.places);
  if (use == Use::weights_alone) {
    check_weights_alone(config, problems);
  } else {
    check_sources(config, use, problems);
  }
  check_model(config, problems);
  check_quant(config, problems);
  check_calibration(config, use, problems);
  if (use != Use::weights_alone) {
    check_distill(config, problems);
    check_schedule(config, world_size, problems);
  }
  return problems;
}

}  // namespace

std::vector<std::string> config_problems(const RunConfig& config, int world_size, Use use) {
  return all_problems(config, world_size, use).messages();
}

void check_config(const RunConfig& config, int world_size, Use use) {
  all_problems(config, world_size, use).throw_if_any();
}

}  // namespace bitlaw::trainer
