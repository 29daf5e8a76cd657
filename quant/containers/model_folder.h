// A model of others as a folder: tensors in safetensors files, configurations as JSON beside them.
// Torch-free.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "data/formats/json.h"
#include "data/formats/safetensors.h"
#include "quant/containers/members.h"
#include "quant/containers/native.h"

namespace bitlaw::quant {

inline constexpr const char* kTensorsFile = "model.safetensors";
inline constexpr const char* kConfigFile = "config.json";
inline constexpr std::uintmax_t kLargestConfig = 1U << 24;  // bytes

struct ModelFolder {
  data::SafetensorsFile file;
  std::map<std::string, std::string> configs;  // name of the file -> its text
};

// `configs`: names of the JSON files to be read, those that are there. Without model.safetensors all
// *.safetensors of the folder together. InputError naming what is missing, too large or twice there.
ModelFolder read_folder(const std::filesystem::path& folder, const std::vector<std::string>& configs);

// Writes every file under a temporary name, reads it back with `read` and compares the model; then the files
// get their names, the tensors first. Errors leave nothing new: InputError of the disk, std::runtime_error
// when what was read back differs.
void write_folder(const std::filesystem::path& folder, const ModelFolder& contents, const PackedModel& model,
                  const std::function<PackedModel(const ModelFolder&)>& read);

// The object "quantization_config" of config.json; InputError when there is none.
data::Json quantization_config(const ModelFolder& contents, const std::string& origin);

// Modules whose two-dimensional weight stays as it is, for configurations that list them.
std::vector<std::string> unquantised_modules(const PackedModel& model);

// tensors["<module>.<member>"] = each member. InputError when a name is taken.
void put_members(const std::string& module, const Members& members, data::SafetensorsFile& file);
// Takes the tensors of each module out of `tensors`: the modules are those that have a tensor
// "<module>.<mark>" for one of `marks`, their members those in `names`.
std::map<std::string, Members> take_members(std::map<std::string, data::RawTensor>& tensors,
                                            const std::vector<std::string>& marks,
                                            const std::vector<std::string>& names);

}  // namespace bitlaw::quant
