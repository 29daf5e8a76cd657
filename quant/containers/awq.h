// Whole models as AutoAWQ reads them: model.safetensors, and config.json with quantization_config.
// Torch-free.
//
// One group size for the model: the largest that divides the groups of every layer; scales are repeated.
#pragma once

#include <string>

#include "quant/containers/model_folder.h"
#include "quant/containers/refusals.h"

namespace bitlaw::quant {

// Layers that have no exact form are added to `refusals`; the result is then of no use.
ModelFolder make_awq(const PackedModel& model, bool widen, Refusals& refusals);

// `origin` names the folder in errors, which are InputErrors.
PackedModel read_awq(const ModelFolder& contents, const std::string& origin);

}  // namespace bitlaw::quant
