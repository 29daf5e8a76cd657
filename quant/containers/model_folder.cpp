#include "quant/containers/model_folder.h"

#include <algorithm>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "data/formats/file_io.h"
#include "data/formats/input_error.h"
#include "quant/containers/unproved_files.h"

namespace bitlaw::quant {

namespace fs = std::filesystem;

namespace {

using data::InputError;

std::vector<fs::path> tensor_files(const fs::path& folder) {
  if (fs::exists(folder / kTensorsFile)) {
    return {folder / kTensorsFile};
  }
  std::vector<fs::path> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".safetensors") {
      files.push_back(entry.path());
    }
  }
  if (error || files.empty()) {
    throw InputError(folder.string() + ": no " + kTensorsFile + (error ? " (" + error.message() + ")" : ""),
                     "the weights of such a model lie in safetensors files",
                     "name a folder that holds a model");
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string read_config(const fs::path& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (!error && size > kLargestConfig) {
    throw InputError(path.string() + ": " + std::to_string(size) + " bytes",
                     "a configuration has at most " + std::to_string(kLargestConfig),
                     "name a folder that holds a model");
  }
  return data::read_text_file(path);
}

}  // namespace

ModelFolder read_folder(const fs::path& folder, const std::vector<std::string>& configs) {
  ModelFolder contents;
  for (const fs::path& path : tensor_files(folder)) {
    data::SafetensorsFile file = data::read_safetensors(path);
    contents.file.tensors.merge(file.tensors);
    if (!file.tensors.empty()) {
      throw InputError(path.string() + ": tensor " + file.tensors.begin()->first + " is in another file too",
                       "nothing says which one is meant",
                       "remove the file that does not belong to the model");
    }
    contents.file.metadata.merge(file.metadata);
  }
  for (const std::string& name : configs) {
    if (fs::exists(folder / name)) {
      contents.configs[name] = read_config(folder / name);
    }
  }
  return contents;
}

void write_folder(const fs::path& folder, const ModelFolder& contents, const PackedModel& model,
                  const std::function<PackedModel(const ModelFolder&)>& read) {
  UnprovedFiles files(folder);
  ModelFolder back;
  const fs::path tensors = files.add(kTensorsFile);
  data::write_safetensors(tensors, contents.file);
  back.file = data::read_safetensors(tensors);
  for (const auto& [name, text] : contents.configs) {
    const fs::path path = files.add(name);
    data::write_text_file(path, text);
    back.configs[name] = read_config(path);
  }
  if (read(back) != model) {
    throw std::runtime_error(folder.string() + ": what was read back differs from what was written");
  }
  files.publish();
}

data::Json quantization_config(const ModelFolder& contents, const std::string& origin) {
  const auto found = contents.configs.find(kConfigFile);
  if (found != contents.configs.end()) {
    const data::Json config = data::Json::parse(found->second, origin + "/config.json");
    if (const data::Json* quantization = config.find("quantization_config")) {
      return *quantization;
    }
  }
  throw InputError(origin + "/config.json: no quantization_config", "it says what the codes mean",
                   "name a folder that holds a quantised model");
}

std::vector<std::string> unquantised_modules(const PackedModel& model) {
  const std::string ending = ".weight";
  std::vector<std::string> modules;
  for (const auto& [name, tensor] : model.tensors) {
    if (tensor.shape.size() == 2 && name.size() > ending.size() && name.ends_with(ending)) {
      modules.push_back(name.substr(0, name.size() - ending.size()));
    }
  }
  return modules;
}

void put_members(const std::string& module, const Members& members, data::SafetensorsFile& file) {
  for (const auto& [name, tensor] : members) {
    if (!file.tensors.emplace(module + "." + name, tensor).second) {
      throw InputError("tensor " + module + "." + name + " is there twice", "the container needs the name",
                       "use another format");
    }
  }
}

std::map<std::string, Members> take_members(std::map<std::string, data::RawTensor>& tensors,
                                            const std::vector<std::string>& marks,
                                            const std::vector<std::string>& names) {
  std::map<std::string, Members> modules;
  for (const auto& [name, tensor] : tensors) {
    for (const std::string& mark : marks) {
      const std::string ending = "." + mark;
      if (name.size() > ending.size() && name.ends_with(ending)) {
        modules[name.substr(0, name.size() - ending.size())];
      }
    }
  }
  for (auto& [module, members] : modules) {
    for (const std::string& name : names) {
      if (auto node = tensors.extract(module + "." + name)) {
        members.emplace(name, std::move(node.mapped()));
      }
    }
  }
  return modules;
}

}  // namespace bitlaw::quant
