// Whole models as GPTQ's tools read them: model.safetensors, quantize_config.json, and config.json with the
// same as quantization_config. Torch-free.
//
// One width and group size for the model; layers that differ are listed under "dynamic", as GPTQModel does.
#pragma once

#include <string>

#include "quant/containers/gptq_layer.h"
#include "quant/containers/model_folder.h"
#include "quant/containers/refusals.h"

namespace bitlaw::quant {

inline constexpr const char* kGptqConfigFile = "quantize_config.json";

// Layers that have no exact form are added to `refusals`; the result is then of no use.
ModelFolder make_gptq(const PackedModel& model, const GptqOptions& options, Refusals& refusals);

// `origin` names the folder in errors, which are InputErrors.
PackedModel read_gptq(const ModelFolder& contents, const std::string& origin);

}  // namespace bitlaw::quant
