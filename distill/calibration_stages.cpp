#include "distill/calibration_stages.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "quant/prepare.h"

namespace bitlaw::distill {

namespace {

// Block i is stage i + 1; what all blocks share comes before, the head after them.
std::int64_t blocks_before(const std::string& name, std::int64_t depth) {
  constexpr std::string_view kBlocks = "blocks.";
  if (name.starts_with(kBlocks)) {
    return std::stoll(name.substr(kBlocks.size())) + 1;
  }
  return name.starts_with("head") ? depth + 1 : 0;
}

}  // namespace

std::vector<Stage> take_stages(Var& model) {
  std::map<std::int64_t, Stage> stages;
  for (const auto& [name, linear] : quant::linear_layers(model)) {
    if (linear->weight_quantizer()) {
      Stage& stage = stages[blocks_before(name, model.shape().depth)];
      stage.blocks = blocks_before(name, model.shape().depth);
      stage.layers.push_back({name, linear, linear->weight_quantizer(), linear->input_quantizer()});
      linear->attach(nullptr, std::nullopt);
    }
  }
  std::vector<Stage> ordered;
  for (auto& [blocks, stage] : stages) {
    ordered.push_back(std::move(stage));
  }
  return ordered;
}

std::vector<std::vector<StageLayer>> consumers_first(std::vector<StageLayer> layers,
                                                     const std::map<std::string, Fold>& folds) {
  std::vector<std::vector<StageLayer>> waves;
  const auto is_awaited = [&](const StageLayer& producer) {
    return std::any_of(layers.begin(), layers.end(), [&](const StageLayer& consumer) {
      const auto found = folds.find(consumer.name);
      return found != folds.end() && found->second.producer == producer.name;
    });
  };
  while (!layers.empty()) {
    std::vector<StageLayer> wave;
    std::vector<StageLayer> later;
    for (const StageLayer& layer : layers) {
      (is_awaited(layer) ? later : wave).push_back(layer);
    }
    waves.push_back(std::move(wave));
    layers = std::move(later);
  }
  return waves;
}

}  // namespace bitlaw::distill
