// Whole models as compressed-tensors' package (0.20) reads them: model.safetensors and config.json with its
// quantization_config. Torch-free.
#pragma once

#include <optional>
#include <string>

#include "quant/containers/compressed_tensors_layer.h"
#include "quant/containers/model_folder.h"
#include "quant/containers/refusals.h"

namespace bitlaw::quant {

// Layers that have no exact form are added to `refusals`; the result is then of no use.
ModelFolder make_compressed_tensors(const PackedModel& model, WordLayout layout, bool widen,
                                    Refusals& refusals);

// `said`: the layout that the user states, believed where the file says nothing. `origin` names the folder in
// errors, which are InputErrors.
PackedModel read_compressed_tensors(const ModelFolder& contents, const std::string& origin,
                                    std::optional<WordLayout> said = std::nullopt);

}  // namespace bitlaw::quant
