// Weights of published checkpoints into our models: files of torch.save (.pth, .pt, .ckpt) and safetensors.
//
// A file of torch.save may hold several state dicts, {"model": ..., "ema": ...}: its sections, which are the
// keys on the way to them, joined by '/'. A bare state dict, and every safetensors file, has the one section
// "".
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace bitlaw::distill {

using WeightShapes = std::map<std::string, std::vector<std::int64_t>>;  // by tensor name

// The tensors of each section, without reading them. InputError: the file cannot be read.
std::map<std::string, WeightShapes> weight_sections(const std::filesystem::path& path);

// name -> tensor of one section, as stored. InputError that lists the sections when there is no such.
std::map<std::string, at::Tensor> read_weights(const std::filesystem::path& path, const std::string& section);

// What a load found beside the weights.
struct LoadedWeights {
  std::set<std::string> dtypes;      // "float32", ...: element types of the weights in the file
  std::vector<std::string> skipped;  // buffers of the file that no forward needs from it
};

// The same into a full-precision model, names as published (weights.h), converted to the model's element
// type. Buffers that the model makes by itself (masks, levels, positions) may be absent; a file's must be the
// same, to the precision in which it stores them. Usage counts may be absent. InputError, with the path: all
// missing, unused and mis-shaped names and tables at once (of each kind the first
// quant::kMostDifferencesShown), before a tensor is read; a weight that is not finite or that float32 does
// not hold. After an error the model's values are unspecified.
LoadedWeights load_weights(torch::nn::Module& model, const std::filesystem::path& path,
                           const std::string& section);

}  // namespace bitlaw::distill
