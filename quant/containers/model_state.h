// A live model <-> a PackedModel.
#pragma once

#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "quant/config.h"
#include "quant/containers/native.h"

namespace bitlaw::quant {

// Codes of quantised layers, everything else (parameters, and buffers that shape the forward and that a
// configuration does not rebuild) rounded to rest_dtype. Integer buffers keep their type.
PackedModel pack_model(torch::nn::Module& model, RestType rest_dtype);

// Sets a full-precision model (no quantizers attached) to the values of the file: weights dequantised, the
// rest as stored. All missing, unused and mis-shaped names at once in one InputError.
void load_packed(torch::nn::Module& model, const PackedModel& packed);

// name -> tensor, by published name: parameters, quantiser state and buffers. `deployed`: what the forward
// depends on (parameter_hash is over it); `checkpoint`: buffers of BufferRole::training as well. The tensors
// share the model's memory. Constant buffers are in neither.
enum class StateScope { deployed, checkpoint };
std::map<std::string, at::Tensor> state_of(torch::nn::Module& model, StateScope scope);
// data::TensorHash of state_of(model, deployed), as 32 hexadecimal digits.
std::string parameter_hash(torch::nn::Module& model);
// What a state says of a tensor before it is read.
struct TensorKind {
  std::vector<std::int64_t> shape;
  bool is_floating_point = true;
};
// The InputError of load_state, found without the values. It names the first kMostDifferencesShown of each
// kind, and how many more there are.
inline constexpr std::size_t kMostDifferencesShown = 64;
void check_state(torch::nn::Module& model, const std::map<std::string, TensorKind>& state);
// Copies by name into the model; all missing, unused and mis-shaped names at once in one InputError, which is
// thrown before the model is changed. Names of constant buffers in `state` are skipped; buffers of
// BufferRole::training may be absent. InputError of quant/state_check.h when quantisers cannot have their
// state.
void load_state(torch::nn::Module& model, const std::map<std::string, at::Tensor>& state);

}  // namespace bitlaw::quant
