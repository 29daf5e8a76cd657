#include "launch/foreign_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "quant/containers/container_files.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

constexpr std::uintmax_t kLargestConfig = 1U << 24;  // bytes

bool begins_with(const fs::path& file, std::string_view bytes) {
  std::ifstream in(file, std::ios::binary);
  std::string found(bytes.size(), '\0');
  in.read(found.data(), static_cast<std::streamsize>(found.size()));
  return in && found == bytes;
}

// The quant_method that the configurations of a folder state; "": none.
std::string stated_method(const fs::path& folder) {
  const fs::path config = folder / "config.json";
  std::error_code error;
  if (const auto size = fs::file_size(config, error); !error && size <= kLargestConfig) {
    std::ifstream in(config);
    const auto json = nlohmann::json::parse(in, nullptr, false);
    const auto section = json.is_object() ? json.find("quantization_config") : json.end();
    if (json.is_object() && section != json.end() && section->is_object()) {
      const auto method = section->find("quant_method");
      return method != section->end() && method->is_string() ? method->get<std::string>() : "unknown";
    }
  }
  return fs::is_regular_file(folder / "quantize_config.json") ? "gptq" : "";
}

ForeignModel of_safetensors(const fs::path& file) {
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  const std::string method = stated_method(folder);
  return {method, method.empty() ? file : folder};
}

std::optional<ForeignModel> of_file(const fs::path& file) {
  if (file.extension() == ".gguf" || begins_with(file, "GGUF")) {
    return ForeignModel{"gguf", file};
  }
  if (file.extension() == ".safetensors") {
    return of_safetensors(file);
  }
  if (begins_with(file, "PK")) {  // torch.save
    return ForeignModel{"", file};
  }
  return std::nullopt;
}

std::optional<ForeignModel> of_folder(const fs::path& folder) {
  for (const std::string& name : quant::model_files(folder)) {
    const fs::path file = folder / name;
    if (file.extension() == ".gguf") {
      return ForeignModel{"gguf", folder};
    }
    if (file.extension() == ".safetensors") {
      return of_safetensors(file);
    }
  }
  return std::nullopt;
}

}  // namespace

std::string ForeignModel::noun() const {
  return container.empty() ? "published weights" : fmt::format("a model in {}", container);
}

std::string ForeignModel::remedy() const {
  return container.empty()
             ? fmt::format("import them: bitlaw import {} --model NAME --out DIR (docs/import.md)",
                           path.string())
             : fmt::format("make an export of it: bitlaw convert {} --to native --out DIR", path.string());
}

std::optional<ForeignModel> foreign_model(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    return fs::exists(path / quant::kNativeFile, ignored) ? std::nullopt : of_folder(path);
  }
  return fs::is_regular_file(path, ignored) ? of_file(path) : std::nullopt;
}

bool is_name_of_codes(const std::string& tensor) {
  constexpr std::array kMembers = {".qweight", ".qzeros", ".weight_packed", ".weight_scale"};
  return std::any_of(kMembers.begin(), kMembers.end(),
                     [&](const char* member) { return tensor.ends_with(member); });
}

}  // namespace bitlaw::launch
