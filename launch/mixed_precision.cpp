#include "launch/mixed_precision.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "data/formats/input_error.h"
#include "distill/tasks/var_task.h"
#include "launch/bit_budget.h"
#include "launch/calibration_samples.h"
#include "quant/statistics.h"
#include "trainer/statistics_reduction.h"

namespace bitlaw::launch {

namespace {

std::int64_t total_weights(const MixedPrecision& found) {
  return std::accumulate(found.layers.begin(), found.layers.end(), std::int64_t{0},
                         [](std::int64_t sum, const LayerSensitivity& layer) { return sum + layer.weights; });
}

// Loss per bit that the narrowest width saves against the widest.
double loss_per_bit(const LayerSensitivity& layer) {
  if (layer.choices.size() == 1) {
    return 0.0;
  }
  const quant::BitChoice &narrow = layer.choices.front(), &wide = layer.choices.back();
  return (narrow.loss - wide.loss) / static_cast<double>(wide.bits - narrow.bits);
}

}  // namespace

MixedPrecision choose_widths(std::vector<LayerSensitivity> layers, double bits_per_weight) {
  MixedPrecision found;
  found.budget_bits = bits_per_weight;
  found.layers = std::move(layers);
  std::vector<std::vector<quant::BitChoice>> choices;
  for (const LayerSensitivity& layer : found.layers) {
    choices.push_back(layer.choices);
  }
  found.frontier = quant::bit_frontier(choices);
  const double budget = bits_per_weight * (1.0 + kBudgetSlack) * static_cast<double>(total_weights(found));
  found.chosen = quant::within_budget(found.frontier, static_cast<std::int64_t>(budget));
  return found;
}

MixedPrecision find_mixed_precision(const trainer::RunConfig& config, const TrainingSources& sources,
                                    trainer::Collective& collective, double bits_per_weight) {
  const CalibrationSamples samples(config, *sources.train, collective);
  const distill::MadeTask made = distill::make_task(task_inputs(config, sources));
  auto* task = dynamic_cast<distill::VarTask*>(made.task.get());
  if (task == nullptr) {
    throw data::InputError("--budget-bits with task.kind: tokenizer", "it has no layers to quantise",
                           "name a run of kind pretrain or distill");
  }
  check_budget(bits_per_weight, made.report, config.quant);
  const SensitivityRun run{
      [&](const std::function<void(const data::Batch&)>& body) { samples.for_each_batch(body); },
      [&](const quant::Statistics& mine) { return trainer::reduce_statistics(mine, collective); }};
  return choose_widths(measure_sensitivity(*task, made.report, config.quant, run), bits_per_weight);
}

std::vector<LayerWidth> chosen_widths(const MixedPrecision& found) {
  std::vector<LayerWidth> widths;
  for (std::size_t i = 0; i < found.layers.size(); ++i) {
    const LayerSensitivity& layer = found.layers[i];
    if (!layer.is_decided) {
      widths.push_back({layer.name, layer.widths[found.chosen.choices[i]]});
    }
  }
  return widths;
}

void apply_widths(const std::vector<LayerWidth>& widths, quant::QuantConfig& config) {
  const quant::QuantConfig asked = config;
  for (const LayerWidth& layer : widths) {
    const quant::OverrideConfig* rule = quant::override_of_layer(asked, layer.name);
    config.overrides.push_back({layer.name, rule == nullptr ? quant::SpecConfig() : rule->weights});
    config.overrides.back().weights.num_bits = layer.num_bits;
  }
}

std::string MixedPrecision::to_json() const {
  const auto count = static_cast<double>(total_weights(*this));
  nlohmann::ordered_json json;
  json["budget_bits"] = budget_bits;
  json["widths"] = kTriedWidths;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    nlohmann::ordered_json layer{
        {"name", layers[i].name}, {"weights", layers[i].weights}, {"widths", layers[i].widths}};
    for (const quant::BitChoice& choice : layers[i].choices) {
      layer["bits"].push_back(choice.bits);
      layer["kl"].push_back(choice.loss);
    }
    layer["chosen"] = layers[i].widths[chosen.choices[i]];
    layer["decided"] = layers[i].is_decided;
    json["layers"].push_back(layer);
  }
  for (const quant::BitAllocation& point : frontier) {
    json["frontier"].push_back(
        {{"bits_per_weight", static_cast<double>(point.bits) / count}, {"kl", point.loss}});
  }
  json["chosen"] = {{"bits_per_weight", static_cast<double>(chosen.bits) / count}, {"kl", chosen.loss}};
  return json.dump(2) + "\n";
}

Plot MixedPrecision::frontier_plot() const {
  const auto count = static_cast<double>(total_weights(*this));
  const auto point = [count](std::int64_t bits, double loss) {
    return std::pair(static_cast<double>(bits) / count, loss);
  };
  PlotSeries best{"best widths for each number of bits", PlotMark::line, {}};
  for (const quant::BitAllocation& allocation : frontier) {
    best.points.push_back(point(allocation.bits, allocation.loss));
  }
  PlotSeries alike{"all layers alike", PlotMark::points, {}};
  for (std::size_t j = 0; j < kTriedWidths.size(); ++j) {
    std::int64_t bits = 0;
    double loss = 0.0;
    for (const LayerSensitivity& layer : layers) {
      const quant::BitChoice& choice = layer.choices[layer.is_decided ? 0 : j];
      bits += choice.bits;
      loss += choice.loss;
    }
    alike.points.push_back(point(bits, loss));
  }
  const PlotSeries taken{"chosen", PlotMark::points, {point(chosen.bits, chosen.loss)}};
  return {"Mixed precision: bits against loss",
          "bits a weight, scales included",
          "sum over layers of KL(full precision, layer alone rounded), nats a token",
          PlotScale::logarithmic,
          {best, alike, taken}};
}

std::string MixedPrecision::to_string() const {
  std::vector<std::size_t> order(layers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return loss_per_bit(layers[a]) > loss_per_bit(layers[b]);
  });
  std::string text = fmt::format("{:<32} {:>10} {:>14} {:>6}\n", "layer", "weights", "KL per Mbit", "bits");
  for (const std::size_t i : order) {
    text += fmt::format("{:<32} {:>10} {:>14.4g} {:>6}\n", layers[i].name, layers[i].weights,
                        loss_per_bit(layers[i]) * 1e6, layers[i].widths[chosen.choices[i]]);
  }
  return text + fmt::format("{:.4g} bits a weight, sum of KL {:.4g}\n",
                            static_cast<double>(chosen.bits) / static_cast<double>(total_weights(*this)),
                            chosen.loss);
}

}  // namespace bitlaw::launch
