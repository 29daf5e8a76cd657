// A loaded model as values for a task: states, codes and what they are of.
#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "launch/model_source.h"
#include "quant/containers/model_state.h"
#include "quant/prepare.h"

namespace bitlaw::launch {
namespace {

constexpr std::array<std::string_view, 2> kQuantizerMembers = {".weight_quantizer.", ".input_quantizer."};

std::map<std::string, quant::QuantSpec> specs_of(const LoadedModel& loaded) {
  std::map<std::string, quant::QuantSpec> specs;
  if (loaded.packed) {
    for (const auto& [name, weight] : loaded.packed->weights) {
      specs.emplace(name, weight.spec);
    }
  }
  for (const auto& [name, linear] : quant::linear_layers(*loaded.model)) {
    if (linear->weight_quantizer()) {
      specs.emplace(name, linear->weight_quantizer()->spec());
    }
  }
  return specs;
}

distill::State without_quantizers(const distill::State& state) {
  distill::State masters;
  for (const auto& [name, tensor] : state) {
    const bool is_state =
        std::any_of(kQuantizerMembers.begin(), kQuantizerMembers.end(),
                    [&](std::string_view member) { return name.find(member) != std::string::npos; });
    if (!is_state) {
      masters[name] = tensor;
    }
  }
  return masters;
}

distill::State masters_of(torch::nn::Module& model) {
  distill::State masters = without_quantizers(quant::state_of(model, quant::StateScope::deployed));
  for (const auto& [name, linear] : quant::linear_layers(model)) {
    if (linear->weight_quantizer() && linear->weight_quantizer()->has_frozen_codes()) {
      masters[name + ".weight"] = linear->effective_weight().detach();
    }
  }
  return masters;
}

void take_codes(const quant::PackedModel& packed, distill::SourceModel& source) {
  source.weights = packed.weights;
  source.activations = packed.activations;
}

// A layer without quantizer has no input transform either: its weight is for the input as it comes.
void undo_input_transforms(torch::nn::Module& model, distill::State& state) {
  for (const auto& [name, linear] : quant::linear_layers(model)) {
    const quant::InputTransform transform = linear->input_transform();
    if (!transform.is_identity()) {
      at::Tensor& weight = state.at(name + ".weight");
      weight = transform.undone(weight);
    }
  }
}

distill::State deployed_state(const LoadedModel& loaded) {
  if (loaded.origin.is_export || loaded.origin.config.quant.method == quant::Method::none) {
    return without_quantizers(quant::state_of(*loaded.model, quant::StateScope::deployed));
  }
  const ModelOrigin& origin = loaded.origin;
  const auto plain = distill::make_model(origin.config.model, origin.config.model.vq, origin.num_classes);
  quant::load_packed(*plain, quant::pack_model(*loaded.model, loaded.origin.config.quant.rest_dtype));
  return without_quantizers(quant::state_of(*plain, quant::StateScope::deployed));
}

}  // namespace

distill::SourceModel source_of(const LoadedModel& loaded, SourceUse use) {
  distill::SourceModel source;
  source.origin = loaded.origin.path.string();
  source.config = loaded.origin.config.model;
  source.parameter_hash = loaded.origin.parameter_hash;
  source.num_classes = loaded.origin.num_classes;
  source.tokenizer = loaded.origin.tokenizer;
  source.tokenizer_hash = loaded.origin.tokenizer_hash;
  source.specs = specs_of(loaded);
  source.state = use == SourceUse::deployed ? deployed_state(loaded) : masters_of(*loaded.model);
  if (use == SourceUse::codes) {
    const quant::RestType rest = loaded.origin.config.quant.rest_dtype;
    take_codes(loaded.packed ? *loaded.packed : quant::pack_model(*loaded.model, rest), source);
  }
  undo_input_transforms(*loaded.model, source.state);
  return source;
}

distill::SourceModel load_source(const std::filesystem::path& path, const WeightsWish& wish, SourceUse use) {
  distill::SourceModel source = source_of(load_model(path, wish), use);
  source.origin = path.string();
  return source;
}

}  // namespace bitlaw::launch
