// A live model <-> a PackedModel.
#pragma once

#include <torch/nn/module.h>

#include "quant/config.h"
#include "quant/containers/native.h"

namespace bitlaw::quant {

// Codes of quantised layers, everything else (parameters, and buffers that shape the forward and that a
// configuration does not rebuild) rounded to rest_dtype. Integer buffers keep their type.
PackedModel pack_model(torch::nn::Module& model, RestType rest_dtype);

// Sets a full-precision model (no quantizers attached) to the values of the file: weights dequantised, the
// rest as stored. All missing, unused and mis-shaped names at once in one InputError.
void load_packed(torch::nn::Module& model, const PackedModel& packed);

// name -> tensor of everything that is saved: parameters, buffers, quantiser state, by published name.
std::map<std::string, at::Tensor> state_of(torch::nn::Module& model);
// Copies by name into the model; all missing, unused and mis-shaped names at once in one InputError.
void load_state(torch::nn::Module& model, const std::map<std::string, at::Tensor>& state);

}  // namespace bitlaw::quant
