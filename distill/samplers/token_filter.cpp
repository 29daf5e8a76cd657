// Filters of VAR's sampler, one row at a time.
#include "distill/samplers/token_filter.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace bitlaw::distill {

namespace {

// The k-th largest logit, or -infinity when all stay.
float threshold_of(std::span<const float> logits, std::int64_t top_k) {
  const auto count = static_cast<std::int64_t>(logits.size());
  if (top_k <= 0 || top_k >= count) return -std::numeric_limits<float>::infinity();
  std::vector<float> values(logits.begin(), logits.end());
  const auto kth = values.begin() + (top_k - 1);
  std::nth_element(values.begin(), kth, values.end(), std::greater<>());
  return *kth;
}

// Divides by the sum.
void normalise(std::span<float> weights, double sum) {
  for (float& weight : weights) weight = static_cast<float>(weight / sum);
}

// Sets to 0 what top-p drops; `order` holds the indices of positive probability.
void drop_tail(std::span<float> probabilities, double top_p, std::vector<std::int32_t>& order) {
  const auto value = [&](std::int32_t i) { return probabilities[static_cast<std::size_t>(i)]; };
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return value(a) != value(b) ? value(a) < value(b) : a < b;
  });
  double cumulative = 0, dropped = 0;
  for (std::size_t n = 0; n + 1 < order.size(); ++n) {
    float& probability = probabilities[static_cast<std::size_t>(order[n])];
    cumulative += probability;
    if (cumulative > 1.0 - top_p) break;
    dropped = cumulative;
    probability = 0;
  }
  if (dropped > 0) normalise(probabilities, 1.0 - dropped);
}

}  // namespace

void filter_row(std::span<const float> logits, const TokenFilter& filter, std::span<float> probabilities,
                std::vector<std::int32_t>& scratch) {
  const float threshold = threshold_of(logits, filter.top_k);
  const float largest = *std::max_element(logits.begin(), logits.end());
  scratch.clear();
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    probabilities[i] = logits[i] >= threshold ? std::exp(logits[i] - largest) : 0.0F;
    sum += probabilities[i];
    if (probabilities[i] > 0) scratch.push_back(static_cast<std::int32_t>(i));
  }
  normalise(probabilities, sum);
  if (filter.top_p > 0) drop_tail(probabilities, filter.top_p, scratch);
}

std::int64_t draw(std::span<const float> probabilities, double uniform) {
  double sum = 0;
  for (const float probability : probabilities) sum += probability;
  const double target = uniform * sum;
  double cumulative = 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    if (probabilities[i] <= 0) continue;
    cumulative += probabilities[i];
    last = i;
    if (cumulative > target) break;
  }
  return static_cast<std::int64_t>(last);
}

}  // namespace bitlaw::distill
