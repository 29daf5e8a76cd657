#include "launch/layer_sensitivity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "data/formats/input_error.h"
#include "distill/not_finite_error.h"

namespace bitlaw::launch {

namespace {

// A layer as it is tried: a quantizer of each width.
struct Candidate {
  LayerSensitivity layer;
  quant::Linear* linear = nullptr;
  std::vector<std::shared_ptr<quant::Quantizer>> quantizers;
};

// An override that says how wide a layer's codes are leaves nothing to choose.
bool decides_width(const quant::SpecConfig& rule) {
  return rule.num_bits || rule.format || (rule.type && *rule.type != quant::NumberType::integer);
}

std::vector<quant::QuantSpec> specs_of(const LayerSensitivity& layer, const quant::QuantConfig& config) {
  const quant::QuantSpec own = quant::weight_spec(layer.rule, config.weights);
  if (layer.is_decided) {
    return {own};
  }
  if (own.fields().type != quant::NumberType::integer) {
    throw data::InputError("--budget-bits with spec " + own.to_string() + " of " + layer.name,
                           "widths are those of integers: another type has one width",
                           "use type: int, or give the layer's num_bits in quant.overrides");
  }
  std::vector<quant::QuantSpec> specs;
  for (const std::int64_t width : kTriedWidths) {
    quant::SpecConfig rule = layer.rule;
    rule.num_bits = width;
    specs.push_back(quant::weight_spec(rule, config.weights));
  }
  return specs;
}

Candidate candidate_of(const LayerSensitivity& layer, const quant::PreparedLayer& prepared,
                       quant::Linear& linear, const quant::QuantConfig& config) {
  Candidate candidate{layer, &linear, {}};
  for (const quant::QuantSpec& spec : specs_of(layer, config)) {
    auto quantizer = std::make_shared<quant::Quantizer>(spec, quant::Method::rtn, prepared.out_features,
                                                        prepared.in_features);
    quantizer->initialise(linear.weight, config.scale_search);
    candidate.quantizers.push_back(std::move(quantizer));
  }
  return candidate;
}

std::vector<Candidate> candidates_of(torch::nn::Module& model, const quant::PrepareReport& report,
                                     const quant::QuantConfig& config) {
  const std::vector<LayerSensitivity> layers = layer_choices(report, config);
  std::vector<Candidate> candidates;
  std::size_t i = 0;
  for (const auto& [name, linear] : quant::linear_layers(model)) {
    const quant::PreparedLayer& prepared = report.layers.at(i++);
    linear->attach(nullptr, std::nullopt);
    if (candidates.size() < layers.size() && layers[candidates.size()].name == name) {
      candidates.push_back(candidate_of(layers[candidates.size()], prepared, *linear, config));
    }
  }
  return candidates;
}

// Sum over tokens of KL(p, q) from logits [B, L, V].
double divergence_sum(const at::Tensor& p_logits, const at::Tensor& q_logits) {
  const at::Tensor p = p_logits.to(at::kDouble).log_softmax(-1);
  return (p.exp() * (p - q_logits.to(at::kDouble).log_softmax(-1))).sum().item<double>();
}

// "tokens", "infinite": logits in full precision that are not finite, and "kl" [layers, most choices] of one
// batch.
void measure_batch(distill::VarTask& task, const std::vector<Candidate>& candidates, const data::Batch& batch,
                   quant::Statistics& sums) {
  const at::Tensor full = task.student_logits(batch);
  at::Tensor losses = at::zeros(
      {static_cast<std::int64_t>(candidates.size()), static_cast<std::int64_t>(kTriedWidths.size())},
      at::kDouble);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    for (std::size_t j = 0; j < candidate.quantizers.size(); ++j) {
      candidate.linear->attach(candidate.quantizers[j], std::nullopt);
      losses[static_cast<std::int64_t>(i)][static_cast<std::int64_t>(j)] =
          divergence_sum(full, task.student_logits(batch));
    }
    candidate.linear->attach(nullptr, std::nullopt);
  }
  sums.add("kl", losses);
  sums.add("tokens", static_cast<double>(full.numel() / full.size(-1)));
  sums.add("infinite", full.isfinite().logical_not().sum(at::kDouble).item<double>());
}

[[noreturn]] void throw_not_finite(const std::string& whose) {
  throw distill::NotFiniteError(
      "--budget-bits: " + whose +
      " [a layer's width cannot be chosen by NaN or infinity]; set train.precision: fp32, and look at the "
      "weights of model.init");
}

// Mean over tokens of one layer's divergences.
void take_losses(LayerSensitivity& layer, const at::Tensor& kl) {
  for (std::size_t j = 0; j < layer.choices.size(); ++j) {
    layer.choices[j].loss = kl[static_cast<std::int64_t>(j)].item<double>();
    if (!std::isfinite(layer.choices[j].loss)) {
      throw_not_finite("the divergence of " + layer.name + " with " + std::to_string(layer.widths[j]) +
                       " bits is not finite");
    }
  }
}

}  // namespace

std::vector<LayerSensitivity> layer_choices(const quant::PrepareReport& report,
                                            const quant::QuantConfig& config) {
  std::vector<LayerSensitivity> layers;
  for (const quant::PreparedLayer& prepared : report.layers) {
    if (!quant::spec_of_layer(config, prepared.name)) {
      continue;
    }
    LayerSensitivity layer;
    layer.name = prepared.name;
    layer.weights = prepared.out_features * prepared.in_features;
    if (const quant::OverrideConfig* rule = quant::override_of_layer(config, layer.name)) {
      layer.rule = rule->weights;
    }
    layer.is_decided = decides_width(layer.rule);
    for (const quant::QuantSpec& spec : specs_of(layer, config)) {
      const double per_weight = spec.bits_per_weight(prepared.out_features, prepared.in_features);
      layer.widths.push_back(spec.bits());
      layer.choices.push_back({std::llround(per_weight * static_cast<double>(layer.weights)), 0.0});
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

std::vector<LayerSensitivity> measure_sensitivity(distill::VarTask& task, const quant::PrepareReport& report,
                                                  const quant::QuantConfig& config,
                                                  const SensitivityRun& run) {
  task.student().eval();
  const std::vector<Candidate> candidates = candidates_of(task.model(), report, config);
  quant::Statistics mine;
  run.for_each_batch([&](const data::Batch& batch) { measure_batch(task, candidates, batch, mine); });
  const quant::Statistics sums = run.reduce(mine);
  if (sums.scalar("infinite") > 0.0) {
    throw_not_finite("logits of the network in full precision are not finite");
  }
  const at::Tensor kl = sums.at("kl") / sums.scalar("tokens");
  std::vector<LayerSensitivity> layers;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    layers.push_back(candidates[i].layer);
    take_losses(layers[i], kl[static_cast<std::int64_t>(i)]);
  }
  return layers;
}

}  // namespace bitlaw::launch
