#include "quant/progressive.h"

#include <algorithm>
#include <string>

#include "data/formats/input_errors.h"

namespace bitlaw::quant {

namespace {

using data::InputError;

void raise_width(SpecConfig& weights, std::int64_t num_bits) {
  if (weights.num_bits) {
    weights.num_bits = std::max(*weights.num_bits, num_bits);
  }
}

bool has_one_width(const SpecConfig& weights) {
  return weights.format || weights.type == NumberType::quantile || weights.type == NumberType::ternary;
}

// `own`: the width of quant.weights in the end.
void raise_override(SpecConfig& weights, const std::optional<std::int64_t>& own, std::int64_t num_bits) {
  if (!has_one_width(weights)) {
    raise_width(weights, num_bits);
  } else if (!weights.num_bits && weights.type == NumberType::quantile) {
    weights.num_bits = own;  // it inherits this one, not the width of the step
  }
}

template <class Check>
void check_width(std::int64_t step, const std::string& key, const Check& check) {
  try {
    check();
  } catch (const InputError& error) {
    throw InputError("progressive: " + key + " before step " + std::to_string(step) + ": " + error.what());
  }
}

std::string text_of(const std::vector<std::int64_t>& numbers) {
  std::string text;
  for (const std::int64_t number : numbers) {
    text.append(text.empty() ? "[" : ", ").append(std::to_string(number));
  }
  return text.append(text.empty() ? "[]" : "]");
}

void check_lengths(const ProgressiveConfig& progressive) {
  if (progressive.num_bits.size() != progressive.steps.size()) {
    throw InputError("progressive: num_bits " + text_of(progressive.num_bits) + " with steps " +
                         text_of(progressive.steps),
                     "each width has the step at which it ends", "give two lists of the same length");
  }
}

void check_widths(const ProgressiveConfig& progressive, std::int64_t last_width) {
  std::vector<std::int64_t> widths = progressive.num_bits;
  widths.push_back(last_width);
  if (std::adjacent_find(widths.begin(), widths.end(), std::less_equal<>()) != widths.end()) {
    throw InputError("progressive.num_bits: " + text_of(progressive.num_bits) + " before num_bits " +
                         std::to_string(last_width),
                     "widths are lowered step by step",
                     "give falling widths, all above quant.weights.num_bits");
  }
}

void check_steps(const ProgressiveConfig& progressive, std::int64_t max_steps) {
  const auto& steps = progressive.steps;
  if (std::adjacent_find(steps.begin(), steps.end(), std::greater_equal<>()) != steps.end()) {
    throw InputError("progressive.steps: " + text_of(steps), "each width ends after the one before it",
                     "give rising steps");
  }
  if (!steps.empty() && steps.back() >= max_steps) {
    throw InputError(
        "progressive.steps: " + text_of(steps) + " with train.max_steps: " + std::to_string(max_steps),
        "quant.weights.num_bits would never be trained", "end the last width earlier");
  }
}

}  // namespace

QuantConfig config_at(const QuantConfig& config, std::int64_t step) {
  QuantConfig result = config;
  result.progressive = {};
  const auto& steps = config.progressive.steps;
  const auto end = std::upper_bound(steps.begin(), steps.end(), step);
  if (end != steps.end()) {
    const std::int64_t width = config.progressive.num_bits.at(static_cast<std::size_t>(end - steps.begin()));
    raise_width(result.weights, width);
    for (OverrideConfig& rule : result.overrides) {
      raise_override(rule.weights, config.weights.num_bits, width);
    }
  }
  return result;
}

bool changes_at(const QuantConfig& config, std::int64_t step) {
  const auto& steps = config.progressive.steps;
  return std::find(steps.begin(), steps.end(), step) != steps.end();
}

void check_progressive(const QuantConfig& config, std::int64_t max_steps) {
  const ProgressiveConfig& progressive = config.progressive;
  if (progressive.num_bits.empty() && progressive.steps.empty()) {
    return;
  }
  if (config.method != Method::lsq && config.method != Method::ste) {
    throw InputError("progressive with method: " + std::string(data::enum_name(config.method)),
                     config.method == Method::e2e_qp
                         ? "its codes are frozen, and so is their width"
                         : "the width changes between the steps of a training through codes",
                     "remove quant.progressive, or use method: lsq or ste");
  }
  if (!config.weights.num_bits || config.weights.format) {
    throw InputError("progressive without weights.num_bits",
                     "a format or ternary numbers have one width, which cannot be lowered to",
                     "give num_bits (with type: float it chooses the format), or remove quant.progressive");
  }
  data::ErrorCollector problems;
  problems.collect([&] { check_lengths(progressive); });
  problems.collect([&] { check_widths(progressive, *config.weights.num_bits); });
  problems.collect([&] { check_steps(progressive, max_steps); });
  problems.throw_if_any();
  for (const std::int64_t step : progressive.steps) {
    const QuantConfig wide = config_at(config, step - 1);
    check_width(step, "weights", [&] { weight_spec(wide.weights); });
    for (std::size_t i = 0; i < wide.overrides.size(); ++i) {
      check_width(step, "overrides." + std::to_string(i),
                  [&] { weight_spec(wide.overrides[i].weights, wide.weights); });
    }
  }
}

}  // namespace bitlaw::quant
