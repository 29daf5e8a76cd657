// Which convolution phi a scale uses, and how many tokens a list of scales has.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {

namespace {

// Published assignments for four convolutions. Some scales (2 and 7 of ten, the middle of an odd number) lie
// half-way between two ticks, where the last bit of double arithmetic decided: they are a table here so that
// no compiler decides again.
const std::map<std::int64_t, std::vector<std::int64_t>>& published_maps() {
  static const std::map<std::int64_t, std::vector<std::int64_t>> maps = {
      {3, {0, 2, 3}},
      {4, {0, 1, 2, 3}},
      {5, {0, 1, 2, 2, 3}},
      {6, {0, 0, 1, 2, 3, 3}},
      {7, {0, 0, 1, 2, 2, 3, 3}},
      {8, {0, 0, 1, 1, 2, 2, 3, 3}},
      {9, {0, 0, 1, 1, 2, 2, 2, 3, 3}},
      {10, {0, 0, 1, 1, 1, 2, 2, 3, 3, 3}},
      {14, {0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3}}};
  return maps;
}

// The tick nearest to scale / (scales - 1), the lower one of two equally near.
std::int64_t nearest_tick(std::int64_t scale, std::int64_t scales, std::int64_t convolutions) {
  const double n = static_cast<double>(convolutions);
  const double margin = convolutions == 4 ? 1.0 / (3.0 * n) : 1.0 / (2.0 * n);
  const double place = scales > 1 ? static_cast<double>(scale) / static_cast<double>(scales - 1) : 0.0;
  const double step = convolutions > 1 ? (1.0 - 2.0 * margin) / (n - 1.0) : 0.0;
  std::int64_t nearest = 0;
  double distance = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < convolutions; ++i) {
    const double d = std::abs(margin + static_cast<double>(i) * step - place);
    if (d < distance) {
      distance = d;
      nearest = i;
    }
  }
  return nearest;
}

}  // namespace

std::int64_t token_count(const std::vector<std::int64_t>& patch_nums) {
  std::int64_t count = 0;
  for (const std::int64_t side : patch_nums) count += side * side;
  return count;
}

std::vector<std::int64_t> phi_of_scale(std::int64_t scales, std::int64_t convolutions) {
  std::vector<std::int64_t> map(static_cast<std::size_t>(scales));
  if (convolutions == 4 && published_maps().count(scales) != 0) return published_maps().at(scales);
  for (std::int64_t k = 0; k < scales; ++k)
    map[static_cast<std::size_t>(k)] = convolutions == scales ? k : nearest_tick(k, scales, convolutions);
  return map;
}

}  // namespace bitlaw::distill
