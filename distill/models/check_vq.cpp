// Checks of a tokenizer's configuration beyond the ranges of single keys.
#include "distill/models/check_vq.h"

#include <algorithm>
#include <string>
#include <vector>

#include "data/formats/input_error.h"

namespace bitlaw::distill {

namespace {

void check_lists(const VqConfig& config, std::vector<std::string>& problems) {
  if (config.channel_multipliers.empty()) problems.push_back("channel_multipliers is empty");
  if (config.patch_nums.empty()) problems.push_back("patch_nums is empty");
  const auto& sides = config.patch_nums;
  if (std::adjacent_find(sides.begin(), sides.end(), std::greater_equal<>()) != sides.end())
    problems.push_back("patch_nums does not rise");
  if (config.phi_convolutions > static_cast<std::int64_t>(sides.size())) {
    problems.push_back("phi_convolutions " + std::to_string(config.phi_convolutions) + " exceeds the " +
                       std::to_string(sides.size()) + " scales");
  }
}

void check_widths(const VqConfig& config, std::vector<std::string>& problems) {
  std::vector<std::int64_t> multipliers = config.channel_multipliers;
  multipliers.insert(multipliers.begin(), 1);  // conv_in
  for (const std::int64_t multiplier : multipliers) {
    const std::int64_t width = config.base_channels * multiplier;
    if (width % config.group_norm_groups != 0) {
      problems.push_back("group_norm_groups " + std::to_string(config.group_norm_groups) +
                         " does not divide the width " + std::to_string(width));
    }
    if (config.res_blocks == 0 && multiplier != 1) {
      problems.push_back("res_blocks 0 leaves no block that could change the width to " +
                         std::to_string(width));
    }
  }
}

}  // namespace

void check_geometry(const VqConfig& config) {
  std::vector<std::string> problems;
  check_lists(config, problems);
  check_widths(config, problems);
  problems.erase(std::unique(problems.begin(), problems.end()), problems.end());
  if (problems.empty()) return;
  std::string all;
  for (const std::string& problem : problems) all += (all.empty() ? "" : "; ") + problem;
  throw data::InputError("model.vq: " + all, "such a tokenizer cannot be built",
                         "change these keys of model.vq");
}

}  // namespace bitlaw::distill
