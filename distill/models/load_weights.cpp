#include "distill/models/load_weights.h"

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <utility>

#include "data/formats/input_error.h"
#include "data/formats/safetensors.h"
#include "data/formats/tensor_io.h"
#include "data/formats/torch_archive.h"
#include "quant/containers/model_state.h"
#include "quant/layers.h"

namespace bitlaw::distill {

namespace {

constexpr std::size_t kMostSectionsShown = 12;

std::string section_name(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

[[noreturn]] void refuse_section(const std::filesystem::path& path, const std::string& section,
                                 const std::map<std::string, WeightShapes>& sections) {
  std::string names;
  std::size_t count = 0;
  for (const auto& [name, shapes] : sections) {
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

std::map<std::string, WeightShapes> sections_of(const data::SafetensorsReader& reader) {
  std::map<std::string, WeightShapes> sections{{"", {}}};
  for (const auto& [name, entry] : reader.tensors()) {
    sections[""].emplace(name, entry.shape);
  }
  return sections;
}

std::map<std::string, WeightShapes> sections_of(const data::TorchArchive& archive) {
  std::map<std::string, WeightShapes> sections;
  for (const auto& [name, entry] : archive.tensors()) {
    const std::string section = section_name(name);
    sections[section].emplace(section.empty() ? name : name.substr(section.size() + 1), entry.shape);
  }
  return sections;
}

// What a file says of the tensors of one section, and each of them when it is asked for.
struct Section {
  std::map<std::string, quant::TensorKind> kinds;
  std::function<at::Tensor(const std::string& name)> read;
};

template <class Reader>
Section section_of(std::shared_ptr<const Reader> reader, const std::string& section) {
  const std::map<std::string, WeightShapes> sections = sections_of(*reader);
  const auto found = sections.find(section);
  if (found == sections.end()) {
    refuse_section(reader->path(), section, sections);
  }
  const std::string prefix = section.empty() ? "" : section + "/";
  Section result;
  for (const auto& [name, shape] : found->second) {
    const at::ScalarType type = data::scalar_type_of(reader->entry(prefix + name).dtype);
    result.kinds.emplace(name, quant::TensorKind{shape, at::isFloatingType(type)});
  }
  result.read = [reader = std::move(reader), prefix](const std::string& name) {
    return data::tensor_of(reader->read(prefix + name));
  };
  return result;
}

Section open_section(const std::filesystem::path& path, const std::string& section) {
  return is_safetensors(path) ? section_of(std::make_shared<const data::SafetensorsReader>(path), section)
                              : section_of(std::make_shared<const data::TorchArchive>(path), section);
}

void check_values(const std::string& name, const at::Tensor& tensor) {
  if (!tensor.is_floating_point()) {
    return;
  }
  const at::Tensor wide = tensor.to(at::kFloat);
  if (!at::isfinite(wide).all().item<bool>()) {
    throw data::InputError(name + ": NaN or infinity as a weight", "every output would be NaN",
                           "get the file again, or one of an earlier step");
  }
  if (tensor.scalar_type() == at::kDouble && !at::equal(wide.to(at::kDouble), tensor)) {
    throw data::InputError(name + ": float64 that float32 does not hold",
                           "the weights would be rounded on the way in", "save them as float32");
  }
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

// What is wrong with a table of the file that the network computes by itself; empty: nothing. One of another
// shape is not read.
std::string constant_problem(const at::Tensor& own, const std::string& name, const Section& section) {
  const at::IntArrayRef shape = section.kinds.at(name).shape;
  if (own.sizes() != shape) {
    return "shape " + c10::str(shape) + ", the model computes " + c10::str(own.sizes());
  }
  const at::Tensor given = section.read(name);
  const double tolerance = tolerance_of(given.scalar_type());
  const bool close = at::allclose(given.to(at::kDouble), own.to(at::kDouble), tolerance, tolerance);
  return close ? "" : "other values than the model computes";
}

// Masks and tables of positions in the file that are not those of this model: a network trained with others
// would give other outputs.
std::string constant_problems(const torch::nn::Module& model, const Section& section) {
  std::string problems;
  const auto add = [&](const std::string& prefix, const torch::nn::Module& module) {
    const auto* layer = dynamic_cast<const quant::Layer*>(&module);
    for (const auto& item : module.named_buffers(/*recurse=*/false)) {
      const std::string name = prefix + item.key();
      if (layer == nullptr || layer->buffer_role(item.key()) != quant::BufferRole::constant ||
          section.kinds.count(name) == 0) {
        continue;
      }
      const std::string problem = constant_problem(item.value().cpu(), name, section);
      problems += problem.empty() ? "" : "\n  " + name + ": " + problem;
    }
  };
  add("", model);
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    add(item.key() + ".", *item.value());
  }
  return problems;
}

void check_constants(const std::string& problems) {
  if (!problems.empty()) {
    throw data::InputError("tables that the model computes differ:" + problems,
                           "a network trained with others would give other outputs",
                           "use the geometry that the file was made with");
  }
}

// Nothing that the model has not got, or has in another shape, is read: of a file that is not its own, or
// that shows few bytes as many tensors, a model is never larger than itself.
void check_tensors(torch::nn::Module& model, const Section& section) {
  const std::string constants = constant_problems(model, section);
  try {
    quant::check_state(model, section.kinds);
  } catch (const data::InputError& error) {
    throw data::InputError(error.what() + constants);
  }
  check_constants(constants);
}

LoadedWeights take(torch::nn::Module& model, const Section& section) {
  const at::NoGradGuard no_grad;
  check_tensors(model, section);
  const auto deployed = quant::state_of(model, quant::StateScope::deployed);
  auto own = quant::state_of(model, quant::StateScope::checkpoint);
  LoadedWeights loaded;
  for (const auto& [name, kind] : section.kinds) {
    const bool is_weight = deployed.count(name) != 0;
    if (!is_weight) {
      loaded.skipped.push_back(name);
    }
    const auto into = own.find(name);
    if (into == own.end()) {
      continue;
    }
    const at::Tensor tensor = section.read(name);
    if (is_weight) {
      check_values(name, tensor);
      loaded.dtypes.emplace(data::name_of(data::dtype_of(tensor)));
    }
    into->second.copy_(tensor);
  }
  return loaded;
}

}  // namespace

std::map<std::string, WeightShapes> weight_sections(const std::filesystem::path& path) {
  if (is_safetensors(path)) {
    return sections_of(data::SafetensorsReader(path));
  }
  return sections_of(data::TorchArchive(path));
}

std::map<std::string, at::Tensor> read_weights(const std::filesystem::path& path,
                                               const std::string& section) {
  const Section opened = open_section(path, section);
  std::map<std::string, at::Tensor> weights;
  for (const auto& [name, kind] : opened.kinds) {
    weights.emplace(name, opened.read(name));
  }
  return weights;
}

LoadedWeights load_weights(torch::nn::Module& model, const std::filesystem::path& path,
                           const std::string& section) {
  const Section opened = open_section(path, section);
  try {
    return take(model, opened);
  } catch (const data::InputError& error) {
    throw data::InputError(path.string() + ": " + error.what());
  }
}

}  // namespace bitlaw::distill
