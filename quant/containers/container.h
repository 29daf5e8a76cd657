// Every container there is, under one name each: reading and writing whole models. Torch-free.
//
//   name                     files in the folder
//   native                   model.h5
//   compressed-tensors       model.safetensors, config.json (dense bitstream, as the package since 0.18)
//   compressed-tensors-0.17  the same in the layout before 0.18
//   gptq, gptq-v2            model.safetensors, quantize_config.json, config.json
//   awq                      model.safetensors, config.json
//   gguf                     model.gguf
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/field.h"
#include "quant/containers/native.h"

namespace bitlaw::quant {

enum class Container { native, compressed_tensors, compressed_tensors_0_17, gptq, gptq_v2, awq, gguf };

struct WriteOptions {
  Container container = Container::native;
  bool widen = false;  // more bits than the spec has, where only that is exact
};

std::string container_list();  // "native, compressed-tensors, ..."
// InputError that lists the names.
Container container_named(std::string_view name);

// Writes the files of the container into the folder, which is there; each is read back and compared before
// any gets its name, and files of the same names are replaced. InputError when a layer has no exact form
// there, with the reason and the nearest container that holds it; std::runtime_error when what was read back
// differs. Returns the files.
std::vector<std::filesystem::path> write_model(const std::filesystem::path& folder, const PackedModel& model,
                                               const WriteOptions& options);

// `path`: a file (*.h5, *.gguf) or the folder of one model. `from`: what it is; by the files and their
// configuration when not given, and a folder with files of several containers is then refused. InputErrors.
PackedModel read_model(const std::filesystem::path& path, std::optional<Container> from = std::nullopt);

// The options that hold the layer and differ least from `wanted`: "format gptq with --widen". Native always
// does.
std::string nearest_form(const PackedModel& model, const std::string& module, const WriteOptions& wanted);

}  // namespace bitlaw::quant

template <>
struct bitlaw::data::EnumNames<bitlaw::quant::Container> {
  static constexpr std::string_view names[] = {
      "native", "compressed-tensors", "compressed-tensors-0.17", "gptq", "gptq-v2", "awq", "gguf"};
};
