#include "trainer/checkpoint/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/formats/checksum.h"
#include "data/formats/file_io.h"
#include "trainer/checkpoint/layout.h"

namespace bitlaw::trainer {

namespace {

constexpr std::size_t kPiece = std::size_t{4} << 20;
constexpr const char* kWhole = "a checkpoint is used whole or not at all";
constexpr const char* kGoBack = "resume from another checkpoint, or remove this one";

[[noreturn]] void throw_damaged(const std::filesystem::path& path, const std::string& what) {
  throw data::InputError(path.string() + ": " + what, kWhole, kGoBack);
}

std::uint64_t file_checksum(const data::FileHandle& file, std::uint64_t size,
                            const std::filesystem::path& path) {
  std::vector<std::byte> piece(kPiece);
  std::vector<std::uint64_t> sums;
  for (std::uint64_t offset = 0; offset < size; offset += kPiece) {
    const std::span<std::byte> part(piece.data(), std::min<std::uint64_t>(kPiece, size - offset));
    data::read_fully(file, part, offset, path);
    sums.push_back(data::xxh64(part));
  }
  return data::xxh64(std::as_bytes(std::span(sums)));
}

ManifestTensor parse_tensor(const nlohmann::json& json) {
  ManifestTensor tensor;
  tensor.dtype = data::dtype_from_name(json.at("dtype").get<std::string>());
  tensor.shape = json.at("shape").get<std::vector<std::int64_t>>();
  for (const std::int64_t extent : tensor.shape) {
    if (extent < 0) {
      throw std::out_of_range("a negative extent");
    }
  }
  return tensor;
}

Manifest parse_manifest(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text);
  if (json.at("format") != "bitlaw-checkpoint" || json.at("version") != 1) {
    throw std::invalid_argument("format " + json.at("format").dump() + " version " +
                                json.at("version").dump() + ", this program reads bitlaw-checkpoint 1");
  }
  Manifest manifest;
  manifest.step = json.at("step").get<std::int64_t>();
  manifest.incarnation = json.at("incarnation").get<std::int64_t>();
  manifest.texts = json.at("texts").get<std::map<std::string, std::string>>();
  for (const auto& [name, tensor] : json.at("tensors").items()) {
    manifest.tensors.emplace(name, parse_tensor(tensor));
  }
  const int size = json.at("world_size").get<int>();
  for (const auto& part : json.at("parts")) {
    manifest.parts.push_back({part.at("file").get<std::string>(), part.at("bytes").get<std::int64_t>(),
                              std::stoull(part.at("checksum").get<std::string>(), nullptr, 16)});
    if (manifest.parts.back().file != part_file_name(manifest.world_size() - 1, size)) {
      throw std::invalid_argument("part " + manifest.parts.back().file + " out of place");
    }
  }
  if (manifest.world_size() != size || size == 0) {
    throw std::invalid_argument(std::to_string(manifest.world_size()) + " parts for " + std::to_string(size) +
                                " ranks");
  }
  return manifest;
}

}  // namespace

std::string manifest_json(const Manifest& manifest) {
  nlohmann::ordered_json json;
  json["format"] = "bitlaw-checkpoint";
  json["version"] = 1;
  json["step"] = manifest.step;
  json["incarnation"] = manifest.incarnation;
  json["world_size"] = manifest.world_size();
  json["texts"] = manifest.texts;
  json["tensors"] = nlohmann::json::object();
  for (const auto& [name, tensor] : manifest.tensors) {
    json["tensors"][name] = {{"dtype", std::string(data::name_of(tensor.dtype))}, {"shape", tensor.shape}};
  }
  json["parts"] = nlohmann::json::array();
  for (const ManifestPart& part : manifest.parts) {
    json["parts"].push_back(
        {{"file", part.file}, {"bytes", part.bytes}, {"checksum", data::to_hex(part.checksum)}});
  }
  // Text that is no UTF-8 (a path of another encoding in the configuration) is not worth losing a save for.
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string marker_text(const std::string& manifest_json) {
  return data::to_hex(data::xxh64(std::as_bytes(std::span(manifest_json)))) + "\n";
}

Manifest read_manifest(const std::filesystem::path& checkpoint) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(checkpoint, ignored)) {
    throw_damaged(checkpoint, "is no checkpoint");
  }
  if (!std::filesystem::exists(checkpoint / kMarkerName, ignored)) {
    throw_damaged(checkpoint, "has no " + std::string(kMarkerName) + ": it was never finished");
  }
  const std::filesystem::path path = checkpoint / kManifestName;
  const std::string text = data::read_text_file(path);
  if (data::read_text_file(checkpoint / kMarkerName) != marker_text(text)) {
    throw_damaged(path, "is damaged (its checksum is not that in " + std::string(kMarkerName) + ")");
  }
  try {
    return parse_manifest(text);
  } catch (const data::InputError&) {
    throw;
  } catch (const std::exception& error) {
    throw_damaged(path, std::string("cannot be understood (") + error.what() + ")");
  }
}

void verify_part(const std::filesystem::path& checkpoint, const ManifestPart& part) {
  const std::filesystem::path path = checkpoint / part.file;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    throw_damaged(path, "is missing");
  }
  const data::FileHandle file = data::open_for_reading(path);
  const std::uint64_t size = data::file_size(file, path);
  if (size != static_cast<std::uint64_t>(part.bytes)) {
    throw_damaged(path, "is truncated or was changed (" + std::to_string(size) + " of " +
                            std::to_string(part.bytes) + " bytes)");
  }
  if (file_checksum(file, size, path) != part.checksum) {
    throw_damaged(path, "is damaged (its checksum is not that in the manifest)");
  }
}

ManifestPart describe_part(const std::filesystem::path& path) {
  const data::FileHandle file = data::open_for_reading(path);
  const std::uint64_t size = data::file_size(file, path);
  return {path.filename().string(), static_cast<std::int64_t>(size), file_checksum(file, size, path)};
}

}  // namespace bitlaw::trainer
