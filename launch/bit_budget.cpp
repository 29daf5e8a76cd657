#include "launch/bit_budget.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "data/formats/input_error.h"

namespace bitlaw::launch {

namespace {

constexpr double kShown = 1e4;  // decimals: a figure that is shown is one that can be typed

std::string least_text(double bits) {
  return fmt::format("{}", std::ceil(bits * kShown * (1.0 - kBudgetSlack)) / kShown);
}

std::string most_text(double bits) {
  return fmt::format("{}", std::floor(bits * kShown * (1.0 + kBudgetSlack)) / kShown);
}

// The range if no override decided anything; nothing where quant.weights do not fit all layers.
std::optional<BudgetRange> without_overrides(const quant::PrepareReport& report, quant::QuantConfig config) {
  config.overrides.clear();
  try {
    return budget_range(layer_choices(report, config));
  } catch (const data::InputError&) {
    return std::nullopt;
  }
}

[[noreturn]] void refuse_low(double bits, double least, const std::optional<BudgetRange>& freed) {
  const bool overrides = freed && least_text(freed->least) != least_text(least);
  const std::string remedy =
      overrides ? fmt::format(
                      "give --budget-bits {} or more, or leave every layer to the search by "
                      "quant.overrides=[], which goes down to {}",
                      least_text(least), least_text(freed->least))
                : fmt::format("give --budget-bits {} or more, or let groups be larger", least_text(least));
  throw data::InputError(
      fmt::format("--budget-bits {}", bits),
      fmt::format("with widths {}{} the least is {} bits a weight, scales included",
                  fmt::join(kTriedWidths, ", "),
                  overrides ? " and the layers whose num_bits quant.overrides says," : "", least_text(least)),
      remedy);
}

[[noreturn]] void refuse_high(double bits, double most, const std::optional<BudgetRange>& freed) {
  const bool overrides = freed && most_text(freed->most) != most_text(most);
  throw data::InputError(
      fmt::format("--budget-bits {}", bits),
      fmt::format("with widths {}{} the most is {} bits a weight, scales included: nothing would be left to "
                  "choose",
                  fmt::join(kTriedWidths, ", "),
                  overrides ? " and the layers whose num_bits quant.overrides says," : "", most_text(most)),
      fmt::format("give --budget-bits {} or less{}", most_text(most),
                  overrides ? ", or leave every layer to the search by quant.overrides=[]"
                            : ", or quantise with num_bits: 8 and without it"));
}

}  // namespace

BudgetRange budget_range(const std::vector<LayerSensitivity>& layers) {
  BudgetRange range;
  std::int64_t weights = 0;
  for (const LayerSensitivity& layer : layers) {
    const auto fewer = [](const quant::BitChoice& a, const quant::BitChoice& b) { return a.bits < b.bits; };
    const auto [narrow, wide] = std::minmax_element(layer.choices.begin(), layer.choices.end(), fewer);
    range.least += static_cast<double>(narrow->bits);
    range.most += static_cast<double>(wide->bits);
    weights += layer.weights;
  }
  range.least /= static_cast<double>(std::max<std::int64_t>(weights, 1));
  range.most /= static_cast<double>(std::max<std::int64_t>(weights, 1));
  return range;
}

void check_budget(double bits, const quant::PrepareReport& report, const quant::QuantConfig& config) {
  const BudgetRange range = budget_range(layer_choices(report, config));
  if (bits < range.least * (1.0 - kBudgetSlack)) {
    refuse_low(bits, range.least, without_overrides(report, config));
  }
  if (bits > range.most * (1.0 + kBudgetSlack)) {
    refuse_high(bits, range.most, without_overrides(report, config));
  }
}

}  // namespace bitlaw::launch
