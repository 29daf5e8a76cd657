// Weights of published checkpoints into our models: files of torch.save (.pth, .pt, .ckpt) and safetensors.
//
// A file of torch.save may hold several state dicts, {"model": ..., "ema": ...}: its sections, which are the
// keys on the way to them, joined by '/'. A bare state dict, and every safetensors file, has the one section
// "".
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace bitlaw::distill {

// Sorted. InputError: the file cannot be read.
std::vector<std::string> weight_sections(const std::filesystem::path& path);

// name -> tensor of one section, as stored. InputError that lists the sections when there is no such.
std::map<std::string, at::Tensor> read_weights(const std::filesystem::path& path, const std::string& section);

// The same into a full-precision model, names as published (weights.h), converted to the model's element
// type. All missing, unused and mis-shaped names at once in one InputError with the path. Buffers that the
// model makes by itself (masks, levels, positions) may be absent; a file's must be the same, to the precision
// in which it stores them. Usage counts may be absent. After an error the model's values are unspecified.
void load_weights(torch::nn::Module& model, const std::filesystem::path& path, const std::string& section);

}  // namespace bitlaw::distill
