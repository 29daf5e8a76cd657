#include "launch/mixed_precision.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/formats/input_error.h"
#include "distill/tasks/var_task.h"
#include "launch/calibration_samples.h"
#include "quant/prepare.h"
#include "quant/statistics.h"
#include "trainer/statistics_reduction.h"

namespace bitlaw::launch {

namespace {

const std::vector<std::int64_t> kWidths = {2, 3, 4, 8};

// A layer as it is tried.
struct Candidate {
  quant::PreparedLayer layer;
  quant::Linear* linear = nullptr;
  std::vector<quant::QuantSpec> specs;  // of each width
};

// What differs from quant.weights for a layer of this width: the override that it will get.
quant::SpecConfig override_of(std::int64_t width) {
  quant::SpecConfig config;
  config.num_bits = width;
  return config;
}

quant::QuantSpec spec_of_width(const quant::QuantConfig& config, std::int64_t width) {
  const quant::QuantSpec spec = quant::weight_spec(config.weights);
  if (spec.fields().type != quant::NumberType::integer) {
    throw data::InputError("--budget-bits with quant.weights " + spec.to_string(),
                           "widths are those of integers: another type has one width",
                           "use type: int, or give overrides by hand");
  }
  return quant::weight_spec(override_of(width), config.weights);
}

std::vector<Candidate> candidates_of(const distill::MadeTask& made, const quant::QuantConfig& config) {
  std::vector<Candidate> candidates;
  std::size_t i = 0;
  for (const auto& [name, linear] : quant::linear_layers(made.task->model())) {
    const quant::PreparedLayer& layer = made.report.layers.at(i++);
    linear->attach(nullptr, std::nullopt);
    if (layer.spec) {
      Candidate candidate{layer, linear, {}};
      for (const std::int64_t width : kWidths) {
        candidate.specs.push_back(spec_of_width(config, width));
      }
      candidates.push_back(std::move(candidate));
    }
  }
  return candidates;
}

// Sum over tokens of KL(p, q) from logits [B, L, V].
double divergence_sum(const at::Tensor& p_logits, const at::Tensor& q_logits) {
  const at::Tensor p = p_logits.to(at::kDouble).log_softmax(-1);
  return (p.exp() * (p - q_logits.to(at::kDouble).log_softmax(-1))).sum().item<double>();
}

// "tokens", and "kl" [layers, widths] of one batch.
void measure_batch(distill::VarTask& task, const std::vector<Candidate>& candidates,
                   quant::ScaleSearch search, const data::Batch& batch, quant::Statistics& sums) {
  const at::Tensor full = task.student_logits(batch);
  at::Tensor losses = at::zeros(
      {static_cast<std::int64_t>(candidates.size()), static_cast<std::int64_t>(kWidths.size())}, at::kDouble);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    for (std::size_t j = 0; j < kWidths.size(); ++j) {
      auto quantizer = std::make_shared<quant::Quantizer>(
          candidate.specs[j], quant::Method::rtn, candidate.layer.out_features, candidate.layer.in_features);
      quantizer->initialise(candidate.linear->weight, search);
      candidate.linear->attach(quantizer, std::nullopt);
      losses[static_cast<std::int64_t>(i)][static_cast<std::int64_t>(j)] =
          divergence_sum(full, task.student_logits(batch));
    }
    candidate.linear->attach(nullptr, std::nullopt);
  }
  sums.add("kl", losses);
  sums.add("tokens", static_cast<double>(full.numel() / full.size(-1)));
}

std::vector<LayerSensitivity> sensitivities(const std::vector<Candidate>& candidates,
                                            const quant::Statistics& sums) {
  const at::Tensor kl = sums.at("kl") / sums.scalar("tokens");
  std::vector<LayerSensitivity> layers;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const quant::PreparedLayer& layer = candidates[i].layer;
    LayerSensitivity found{layer.name, layer.out_features * layer.in_features, {}};
    for (std::size_t j = 0; j < kWidths.size(); ++j) {
      const double per_weight = candidates[i].specs[j].bits_per_weight(layer.out_features, layer.in_features);
      found.choices.push_back(
          {std::llround(per_weight * static_cast<double>(found.weights)),
           kl[static_cast<std::int64_t>(i)][static_cast<std::int64_t>(j)].item<double>()});
    }
    layers.push_back(std::move(found));
  }
  return layers;
}

std::int64_t total_weights(const MixedPrecision& found) {
  return std::accumulate(found.layers.begin(), found.layers.end(), std::int64_t{0},
                         [](std::int64_t sum, const LayerSensitivity& layer) { return sum + layer.weights; });
}

// Loss per bit that the narrowest width saves against the widest.
double loss_per_bit(const LayerSensitivity& layer) {
  const quant::BitChoice &narrow = layer.choices.front(), &wide = layer.choices.back();
  return (narrow.loss - wide.loss) / static_cast<double>(wide.bits - narrow.bits);
}

}  // namespace

MixedPrecision find_mixed_precision(const trainer::RunConfig& config, const TrainingSources& sources,
                                    trainer::Collective& collective, double bits_per_weight) {
  const CalibrationSamples samples(config, *sources.train, collective);
  const distill::MadeTask made = distill::make_task(task_inputs(config, sources));
  auto* task = dynamic_cast<distill::VarTask*>(made.task.get());
  if (task == nullptr) {
    throw data::InputError("--budget-bits with task.kind: tokenizer", "it has no layers to quantise",
                           "name a run of kind pretrain or distill");
  }
  task->student().eval();
  const std::vector<Candidate> candidates = candidates_of(made, config.quant);
  quant::Statistics mine;
  samples.for_each_batch([&](const data::Batch& batch) {
    measure_batch(*task, candidates, config.quant.scale_search, batch, mine);
  });
  MixedPrecision found;
  found.widths = kWidths;
  found.layers = sensitivities(candidates, trainer::reduce_statistics(mine, collective));
  std::vector<std::vector<quant::BitChoice>> choices;
  for (const LayerSensitivity& layer : found.layers) {
    choices.push_back(layer.choices);
  }
  found.frontier = quant::bit_frontier(choices);
  const double budget = bits_per_weight * static_cast<double>(total_weights(found));
  found.chosen = quant::within_budget(found.frontier, static_cast<std::int64_t>(budget));
  return found;
}

void apply(const MixedPrecision& found, quant::QuantConfig& config) {
  for (std::size_t i = 0; i < found.layers.size(); ++i) {
    quant::OverrideConfig rule;
    rule.match = found.layers[i].name;
    rule.weights = override_of(found.widths[found.chosen.choices[i]]);
    config.overrides.push_back(rule);
  }
}

std::string MixedPrecision::to_json() const {
  const auto count = static_cast<double>(total_weights(*this));
  nlohmann::ordered_json json;
  json["widths"] = widths;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    nlohmann::ordered_json layer{{"name", layers[i].name}, {"weights", layers[i].weights}};
    for (const quant::BitChoice& choice : layers[i].choices) {
      layer["bits"].push_back(choice.bits);
      layer["kl"].push_back(choice.loss);
    }
    layer["chosen"] = widths[chosen.choices[i]];
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
  for (std::size_t j = 0; j < widths.size(); ++j) {
    std::int64_t bits = 0;
    double loss = 0.0;
    for (const LayerSensitivity& layer : layers) {
      bits += layer.choices[j].bits;
      loss += layer.choices[j].loss;
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
                        loss_per_bit(layers[i]) * 1e6, widths[chosen.choices[i]]);
  }
  return text + fmt::format("{:.4g} bits a weight, sum of KL {:.4g}\n",
                            static_cast<double>(chosen.bits) / static_cast<double>(total_weights(*this)),
                            chosen.loss);
}

}  // namespace bitlaw::launch
