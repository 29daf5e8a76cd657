#include "distill/models/load_weights.h"

#include <ATen/ATen.h>

#include <set>

#include "data/formats/input_error.h"
#include "data/formats/safetensors.h"
#include "data/formats/tensor_io.h"
#include "data/formats/torch_archive.h"
#include "quant/containers/model_state.h"
#include "quant/layers.h"

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

// By how much a table may differ from the one computed here, whose elements are at most 1: an ulp of the type
// in which the file stores it.
double tolerance_of(at::ScalarType type) {
  switch (type) {
    case at::kHalf:
      return 1e-3;
    case at::kBFloat16:
      return 8e-3;
    default:
      return 1e-6;
  }
}

// What is wrong with a table of the file that the network computes by itself; empty: nothing.
std::string constant_problem(const at::Tensor& own, const at::Tensor& given) {
  if (own.sizes() != given.sizes()) {
    return "shape " + c10::str(given.sizes()) + ", the model computes " + c10::str(own.sizes());
  }
  const double tolerance = tolerance_of(given.scalar_type());
  const bool close = at::allclose(given.to(at::kDouble), own.to(at::kDouble), tolerance, tolerance);
  return close ? "" : "other values than the model computes";
}

// Masks and tables of positions in the file that are not those of this model: a network trained with others
// would give other outputs.
std::string constant_problems(const torch::nn::Module& model,
                              const std::map<std::string, at::Tensor>& weights) {
  std::string problems;
  const auto add = [&](const std::string& prefix, const torch::nn::Module& module) {
    const auto* layer = dynamic_cast<const quant::Layer*>(&module);
    for (const auto& item : module.named_buffers(/*recurse=*/false)) {
      const std::string name = prefix + item.key();
      const auto given = weights.find(name);
      if (layer == nullptr || layer->buffer_role(item.key()) != quant::BufferRole::constant ||
          given == weights.end()) {
        continue;
      }
      const std::string problem = constant_problem(item.value().cpu(), given->second);
      problems += problem.empty() ? "" : "\n  " + name + ": " + problem;
    }
  };
  add("", model);
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    add(item.key() + ".", *item.value());
  }
  return problems;
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
  const std::string constants = constant_problems(model, weights);
  try {
    quant::load_state(model, weights);
  } catch (const data::InputError& error) {
    throw data::InputError(path.string() + ": " + error.what() + constants);
  }
  if (!constants.empty()) {
    throw data::InputError(path.string() + ": tables that the model computes differ:" + constants,
                           "a network trained with others would give other outputs",
                           "use the geometry that the file was made with");
  }
}

}  // namespace bitlaw::distill
