#include "distill/models/load_weights.h"

#include <functional>
#include <set>

#include "data/formats/input_error.h"
#include "data/formats/safetensors.h"
#include "data/formats/tensor_io.h"
#include "data/formats/torch_archive.h"
#include "quant/containers/model_state.h"

namespace bitlaw::distill {

namespace {

constexpr std::size_t kMostSectionsShown = 12;

std::string section_of(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

std::set<std::string> sections_of(const data::TorchArchive& archive) {
  std::set<std::string> sections;
  for (const auto& [name, entry] : archive.tensors()) {
    sections.insert(section_of(name));
  }
  return sections;
}

[[noreturn]] void refuse_section(const std::filesystem::path& path, const std::string& section,
                                 const std::set<std::string>& sections) {
  std::string names;
  std::size_t count = 0;
  for (const std::string& name : sections) {
    if (++count > kMostSectionsShown) {
      names += ", ...";
      break;
    }
    names.append(names.empty() ? "" : ", ").append(name.empty() ? "(the file itself)" : name);
  }
  throw data::InputError(path.string() + ": no tensors in " + (section.empty() ? "the file itself" : section),
                         "it holds tensors in: " + names, "name one of these sections");
}

bool is_safetensors(const std::filesystem::path& path) {
  return path.extension() == ".safetensors";
}

std::map<std::string, at::Tensor> read_safetensors_weights(const std::filesystem::path& path,
                                                           const std::string& section) {
  if (!section.empty()) {
    refuse_section(path, section, {""});
  }
  const data::SafetensorsReader reader(path);
  std::map<std::string, at::Tensor> weights;
  for (const auto& [name, entry] : reader.tensors()) {
    weights.emplace(name, data::tensor_of(reader.read(name)));
  }
  return weights;
}

}  // namespace

std::vector<std::string> weight_sections(const std::filesystem::path& path) {
  if (is_safetensors(path)) {
    const data::SafetensorsReader reader(path);
    return {""};
  }
  const std::set<std::string> sections = sections_of(data::TorchArchive(path));
  return {sections.begin(), sections.end()};
}

std::map<std::string, at::Tensor> read_weights(const std::filesystem::path& path,
                                               const std::string& section) {
  if (is_safetensors(path)) {
    return read_safetensors_weights(path, section);
  }
  const data::TorchArchive archive(path);
  std::map<std::string, at::Tensor> weights;
  for (const auto& [name, entry] : archive.tensors()) {
    if (section_of(name) == section) {
      const std::string own = section.empty() ? name : name.substr(section.size() + 1);
      weights.emplace(own, data::tensor_of(archive.read(name)));
    }
  }
  if (weights.empty()) {
    refuse_section(path, section, sections_of(archive));
  }
  return weights;
}

void load_weights(torch::nn::Module& model, const std::filesystem::path& path, const std::string& section) {
  const std::map<std::string, at::Tensor> weights = read_weights(path, section);
  try {
    quant::load_state(model, weights);
  } catch (const data::InputError& error) {
    throw data::InputError(path.string() + ": " + error.what());
  }
}

}  // namespace bitlaw::distill
