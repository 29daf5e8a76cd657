#include "quant/containers/container_files.h"

#include <algorithm>
#include <system_error>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"
#include "quant/containers/gguf.h"
#include "quant/containers/gptq.h"
#include "quant/containers/model_folder.h"

namespace bitlaw::quant {

namespace fs = std::filesystem;

namespace {

bool is_tensors(const fs::path& name) {
  return name == kNativeFile || name == kGgufFile || name.extension() == ".safetensors";
}

}  // namespace

std::vector<std::string> file_names(Container container) {
  switch (container) {
    case Container::native:
      return {kNativeFile};
    case Container::gguf:
      return {kGgufFile};
    case Container::gptq:
    case Container::gptq_v2:
      return {kTensorsFile, kConfigFile, kGptqConfigFile};
    case Container::compressed_tensors:
    case Container::compressed_tensors_0_17:
    case Container::awq:
      break;
  }
  return {kTensorsFile, kConfigFile};
}

std::vector<std::string> model_files(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const fs::path name = entry.path().filename();
    if (is_tensors(name) || name == kConfigFile || name == kGptqConfigFile) {
      names.push_back(name.string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

void require_one_container(const fs::path& folder) {
  std::vector<std::string> tensors;  // the first file of each kind
  for (const std::string& name : model_files(folder)) {
    const auto same_kind = [&](const std::string& other) {
      return fs::path(other).extension() == fs::path(name).extension();
    };
    if (is_tensors(name) && std::none_of(tensors.begin(), tensors.end(), same_kind)) {
      tensors.push_back(name);
    }
  }
  if (tensors.size() > 1) {
    throw data::InputError(
        folder.string() + " holds " + data::printable(tensors[0]) + " and " + data::printable(tensors[1]),
        "nothing says which of the models is meant",
        "name the file, say --from, or remove the one that does not belong there");
  }
}

}  // namespace bitlaw::quant
