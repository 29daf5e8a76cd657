// Models in other containers than ours, and published weights: recognised, so that a message can say which
// command reads them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace bitlaw::launch {

struct ForeignModel {
  std::string container;       // "gptq", "gguf", ...; empty: weights that say nothing of a quantisation
  std::filesystem::path path;  // what the command takes: a file or the folder of the model

  std::string noun() const;    // "a model in gptq", "published weights"
  std::string remedy() const;  // "make an export of it: bitlaw convert q/awq --to native --out DIR"
};

// By names, configurations and first bytes, without reading a tensor. Nothing for a path at which there is
// neither, or a native export.
std::optional<ForeignModel> foreign_model(const std::filesystem::path& path);

// Whether a tensor of this name holds codes, or what belongs to them.
bool is_name_of_codes(const std::string& tensor);

}  // namespace bitlaw::launch
