#include "quant/containers/container.h"

#include <array>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"
#include "quant/containers/awq.h"
#include "quant/containers/awq_layer.h"
#include "quant/containers/compressed_tensors.h"
#include "quant/containers/compressed_tensors_inputs.h"
#include "quant/containers/container_files.h"
#include "quant/containers/gguf.h"
#include "quant/containers/gguf_weight.h"
#include "quant/containers/gptq.h"
#include "quant/containers/restate.h"
#include "quant/containers/travelling_texts.h"

namespace bitlaw::quant {

namespace fs = std::filesystem;

namespace {

using data::InputError;

WordLayout layout_of(Container container) {
  return container == Container::compressed_tensors_0_17 ? WordLayout::words : WordLayout::dense;
}
GptqVersion version_of(Container container) {
  return container == Container::gptq ? GptqVersion::v1 : GptqVersion::v2;
}

void check_input(const PackedModel& model, const std::string& module, Container container) {
  const auto found = model.activations.find(module);
  const bool compressed =
      container == Container::compressed_tensors || container == Container::compressed_tensors_0_17;
  if (compressed && found != model.activations.end()) {
    check_compressed_inputs(found->second.spec);
  } else if (container != Container::native) {
    refuse_static_input(model, module);
  }
}

bool can_hold(const PackedModel& model, const std::string& module, const WriteOptions& options) {
  const PackedTensor& packed = model.weights.at(module);
  try {
    check_input(model, module, options.container);
    switch (options.container) {
      case Container::native:
        break;
      case Container::compressed_tensors:
      case Container::compressed_tensors_0_17:
        to_compressed_tensors(packed, {layout_of(options.container), options.widen, false});
        break;
      case Container::gptq:
      case Container::gptq_v2:
        to_gptq(packed, {version_of(options.container), options.widen});
        break;
      case Container::awq: {
        const std::int64_t width = packed.spec.group_width(packed.in_features);
        to_awq(packed, {width == packed.in_features ? -1 : width, options.widen});
        break;
      }
      case Container::gguf:
        to_gguf(packed, options.widen);
        break;
    }
    return true;
  } catch (const NoExactForm&) {
    return false;
  }
}

ModelFolder make_folder(const PackedModel& model, const WriteOptions& options, Refusals& refusals) {
  switch (options.container) {
    case Container::gptq:
    case Container::gptq_v2:
      return make_gptq(model, {version_of(options.container), options.widen}, refusals);
    case Container::awq:
      return make_awq(model, options.widen, refusals);
    default:
      return make_compressed_tensors(model, layout_of(options.container), options.widen, refusals);
  }
}

PackedModel read_contents(const ModelFolder& contents, const std::string& origin, Container container,
                          bool stated) {
  switch (container) {
    case Container::gptq:
    case Container::gptq_v2:
      return read_gptq(contents, origin);
    case Container::awq:
      return read_awq(contents, origin);
    default:
      return read_compressed_tensors(contents, origin,
                                     stated ? std::optional(layout_of(container)) : std::nullopt);
  }
}

void raise(const Refusals& refusals, const PackedModel& model, const WriteOptions& options) {
  if (refusals.empty()) {
    return;
  }
  const Refusal& first = refusals.front();
  std::string others;
  if (refusals.size() > 1) {
    others = " (and " + std::to_string(refusals.size() - 1) + " more layers)";
  }
  throw InputError("layer " + first.module + " (" + first.spec + ") has no exact form in " +
                       std::string(data::enum_name(options.container)) + others + ": " + first.reason,
                   "codes and scales are stored as they were trained, and none is derived again",
                   "use " + nearest_form(model, first.module, options) + ", which holds it exactly");
}

void check_name(const std::string& name, Container container) {
  std::string problem = data::name_problem(name);
  if (problem.empty() && container == Container::native && name.find('/') != std::string::npos) {
    problem = "holds a '/', which makes groups of a native file";
  }
  if (!problem.empty()) {
    throw InputError("'" + data::printable(name) + "' " + problem,
                     "files of others may hold such names, this one cannot",
                     "rename it in the file that is converted");
  }
}

// What a file of others may claim, and the writers of ours take for granted.
void check_contents(const PackedModel& model, Container container) {
  for (const auto& [module, packed] : model.weights) {
    check_name(module, container);
  }
  for (const auto& [module, input] : model.activations) {
    check_name(module, container);
  }
  for (const auto& [name, tensor] : model.tensors) {
    check_name(name, container);
    if (container == Container::native &&
        (data::bits_of(tensor.dtype) < 8 || tensor.dtype == data::DType::complex64)) {
      throw InputError("tensor " + name + " is " + std::string(data::name_of(tensor.dtype)),
                       "the native file holds no such type", "use another --to");
    }
  }
  for (const auto& [key, text] : model.attributes) {
    const bool digits =
        !text.empty() && text.size() < 19 && text.find_first_not_of("0123456789") == std::string::npos;
    if ((key == "model_bits" && !digits) || text.find('\0') != std::string::npos) {
      throw InputError(
          std::string("text ").append(key).append(" is '").append(data::printable(text)).append("'"),
          "it travels with the model", "write the file again with bitlaw");
    }
  }
}

// By quant_method of the configuration; quantize_config.json alone is that of GPTQ's older tools.
Container container_of(const ModelFolder& contents, const std::string& origin) {
  const bool has_gptq_config = contents.configs.count(kGptqConfigFile) > 0;
  const auto general = contents.configs.find(kConfigFile);
  if (has_gptq_config &&
      (general == contents.configs.end() ||
       data::Json::parse(general->second, origin + "/config.json").find("quantization_config") == nullptr)) {
    return Container::gptq;
  }
  const data::Json config = quantization_config(contents, origin);
  const data::Json* method = config.find("quant_method");
  const std::string name = method == nullptr || method->text() == nullptr ? "" : *method->text();
  if (has_gptq_config && name != "gptq") {
    throw InputError(origin + ": quantize_config.json beside a config.json with quant_method '" +
                         data::printable(name) + "'",
                     "the first belongs to a model in gptq, the second does not: one of them is stale",
                     "remove the file that does not belong to the model, or say --from");
  }
  if (name == "compressed-tensors") {
    return Container::compressed_tensors;
  }
  if (name == "gptq") {
    return Container::gptq;
  }
  if (name == "awq") {
    return Container::awq;
  }
  throw InputError(origin + "/config.json: quant_method '" + data::printable(name) + "'",
                   "compressed-tensors, gptq and awq are read", "name a folder that holds such a model");
}

PackedModel read_folder_model(const fs::path& path, std::optional<Container> from) {
  const ModelFolder contents = read_folder(path, {kConfigFile, kGptqConfigFile});
  const Container container = from ? *from : container_of(contents, path.string());
  return read_contents(contents, path.string(), container, from.has_value());
}

}  // namespace

std::string container_list() {
  std::string list;
  for (const std::string_view name : data::EnumNames<Container>::names) {
    list.append(list.empty() ? "" : ", ").append(name);
  }
  return list;
}

Container container_named(std::string_view name) {
  int value = 0;
  for (const std::string_view candidate : data::EnumNames<Container>::names) {
    if (candidate == name) {
      return static_cast<Container>(value);
    }
    ++value;
  }
  throw InputError("format '" + std::string(name) + "' is unknown",
                   "models are written as " + container_list(), "choose one of these");
}

std::string nearest_form(const PackedModel& model, const std::string& module, const WriteOptions& wanted) {
  std::vector<WriteOptions> forms = {{wanted.container, true}};
  if (wanted.container == Container::gptq) {
    forms.push_back({Container::gptq_v2, wanted.widen});
    forms.push_back({Container::gptq_v2, true});
  }
  for (const Container other : {Container::compressed_tensors, Container::gptq_v2, Container::gguf,
                                Container::compressed_tensors_0_17}) {
    forms.push_back({other, false});
    forms.push_back({other, true});
  }
  for (const WriteOptions& form : forms) {
    if (can_hold(model, module, form)) {
      return "format " + std::string(data::enum_name(form.container)) + (form.widen ? " with --widen" : "");
    }
  }
  return "format native";
}

std::vector<fs::path> write_model(const fs::path& folder, const PackedModel& model,
                                  const WriteOptions& options) {
  check_contents(model, options.container);
  if (options.container == Container::native) {
    write_native(folder / kNativeFile, model);
    return {folder / kNativeFile};
  }
  Refusals refusals;
  if (options.container == Container::gguf) {
    const GgufContents contents = make_gguf(model, options.widen, refusals);
    raise(refusals, model, options);
    write_gguf_model(folder, contents, model);
    return {folder / kGgufFile};
  }
  const ModelFolder contents = make_folder(model, options, refusals);
  raise(refusals, model, options);
  write_folder(folder, contents, model, [&](const ModelFolder& back) {
    return read_contents(back, folder.string(), options.container, false);
  });
  std::vector<fs::path> files = {folder / kTensorsFile};
  for (const auto& [name, text] : contents.configs) {
    files.push_back(folder / name);
  }
  return files;
}

PackedModel read_model(const fs::path& path, std::optional<Container> from) {
  const bool is_folder = fs::is_directory(path);
  if (is_folder && !from) {
    require_one_container(path);
  }
  const bool gguf =
      from ? *from == Container::gguf : path.extension() == ".gguf" || fs::exists(path / kGgufFile);
  const bool native =
      from ? *from == Container::native : path.extension() == ".h5" || fs::exists(path / kNativeFile);
  if (native) {
    return read_native(is_folder ? path / kNativeFile : path);
  }
  if (gguf) {
    const fs::path file = is_folder ? path / kGgufFile : path;
    return read_gguf(load_gguf(file), file.string());
  }
  if (!is_folder) {
    throw InputError(path.string() + (fs::exists(path) ? ": neither a folder nor a file called *.h5 or *.gguf"
                                                       : ": no such file or folder"),
                     "models are read from these", "name the folder of a model");
  }
  return read_folder_model(path, from);
}

}  // namespace bitlaw::quant
