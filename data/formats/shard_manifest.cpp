#include "data/formats/shard_manifest.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/formats/checksum.h"
#include "data/formats/file_io.h"
#include "data/formats/input_error.h"

namespace bitlaw::data {
namespace {

using ManifestJson = nlohmann::json;

constexpr const char* kFormat = "bitlaw-shards";
constexpr const char* kChecksumKey = "manifest_checksum";
constexpr std::int64_t kMostElements = std::int64_t{1} << 31;  // of one sample

std::string checksum_of_text(const std::string& text) {
  return to_hex(tensor_checksum(std::as_bytes(std::span(text))));
}

[[noreturn]] void throw_bad(const std::string& origin, const std::string& what) {
  throw InputError(origin + ": " + what, "the manifest says what the shards hold",
                   "restore the folder from a copy, or import the data set again");
}

// Names of folders need not be UTF-8; JSON must be.
std::string compact(const ManifestJson& json) {
  return json.dump(-1, ' ', false, ManifestJson::error_handler_t::replace);
}

ManifestJson metadata_json(const ShardManifest& manifest) {
  return {{"kind", manifest.kind},
          {"num_classes", manifest.num_classes},
          {"shape", manifest.shape},
          {"tokenizer_hash", manifest.tokenizer_hash},
          {"vocab_size", manifest.vocab_size},
          {"patch_nums", manifest.patch_nums}};
}

ManifestJson shard_json(const ShardEntry& shard) {
  return {{"file", shard.file},
          {"samples", shard.samples},
          {"bytes", shard.bytes},
          {"checksum", shard.checksum},
          {"content_hash", shard.content_hash}};
}

ManifestJson manifest_json(const ShardManifest& manifest) {
  ManifestJson json = metadata_json(manifest);
  json["format"] = kFormat;
  json["version"] = ShardManifest::kVersion;
  json["samples"] = manifest.samples;
  json["class_names"] = manifest.class_names;
  json["source"] = manifest.source;
  json["source_hash"] = manifest.source_hash;
  json["content_hash"] = manifest.content_hash;
  json["shards"] = ManifestJson::array();
  for (const ShardEntry& shard : manifest.shards) json["shards"].push_back(shard_json(shard));
  return json;
}

// nlohmann converts 1.5 to 1 silently; a manifest must mean what it says.
std::int64_t integer_at(const ManifestJson& json, const char* key) {
  const ManifestJson& value = json.at(key);
  if (!value.is_number_integer()) throw std::invalid_argument(std::string(key) + " is not an integer");
  return value.get<std::int64_t>();
}

std::vector<std::int64_t> integers_at(const ManifestJson& json, const char* key) {
  std::vector<std::int64_t> values;
  for (const ManifestJson& value : json.at(key)) {
    if (!value.is_number_integer()) throw std::invalid_argument(std::string(key) + " holds a non-integer");
    values.push_back(value.get<std::int64_t>());
  }
  return values;
}

ShardManifest from_json(const ManifestJson& json) {
  ShardManifest manifest;
  manifest.kind = json.at("kind").get<std::string>();
  manifest.samples = integer_at(json, "samples");
  manifest.num_classes = integer_at(json, "num_classes");
  manifest.class_names = json.at("class_names").get<std::vector<std::string>>();
  manifest.shape = integers_at(json, "shape");
  manifest.source = json.at("source").get<std::string>();
  manifest.source_hash = json.at("source_hash").get<std::string>();
  manifest.content_hash = json.at("content_hash").get<std::string>();
  manifest.tokenizer_hash = json.at("tokenizer_hash").get<std::string>();
  manifest.vocab_size = integer_at(json, "vocab_size");
  manifest.patch_nums = integers_at(json, "patch_nums");
  for (const ManifestJson& shard : json.at("shards")) {
    manifest.shards.push_back({shard.at("file").get<std::string>(), integer_at(shard, "samples"),
                               integer_at(shard, "bytes"), shard.at("checksum").get<std::string>(),
                               shard.at("content_hash").get<std::string>()});
  }
  return manifest;
}

void check_version(const ManifestJson& json, const std::string& origin) {
  if (!json.is_object() || json.value("format", "") != kFormat) {
    throw_bad(origin, std::string("not a manifest of format ") + kFormat);
  }
  const ManifestJson version = json.value("version", ManifestJson());
  if (version != ShardManifest::kVersion) {
    throw InputError(origin + ": version " + version.dump() + " of the shard format",
                     "this program reads version " + std::to_string(ShardManifest::kVersion),
                     "use a newer bitlaw, or import the data set again");
  }
}

void check_checksum(ManifestJson json, const std::string& origin) {
  const std::string stated = json.at(kChecksumKey).get<std::string>();
  json.erase(kChecksumKey);
  const std::string found = checksum_of_text(compact(json));
  if (stated != found) {
    throw_bad(origin, "the text has checksum " + found + ", " + kChecksumKey + " says " + stated +
                          ": it was edited or is damaged");
  }
}

void check_shape(const ShardManifest& manifest, const std::string& origin) {
  const bool images = manifest.kind == "images";
  if (!images && manifest.kind != "tokens") throw_bad(origin, "unknown kind \"" + manifest.kind + "\"");
  if (manifest.shape.size() != (images ? 3U : 1U)) {
    throw_bad(origin, "shape has " + std::to_string(manifest.shape.size()) + " dimensions");
  }
  std::int64_t elements = 1;
  for (const std::int64_t side : manifest.shape) {
    if (side < 1 || side > kMostElements / elements) throw_bad(origin, "shape is out of range");
    elements *= side;
  }
  if (manifest.num_classes < 1 || manifest.num_classes > std::numeric_limits<std::int32_t>::max()) {
    throw_bad(origin, "num_classes is " + std::to_string(manifest.num_classes));
  }
  if (!manifest.class_names.empty() &&
      static_cast<std::int64_t>(manifest.class_names.size()) != manifest.num_classes) {
    throw_bad(origin, std::to_string(manifest.class_names.size()) + " class_names for " +
                          std::to_string(manifest.num_classes) + " classes");
  }
  if (!images && (manifest.vocab_size < 2 || manifest.vocab_size > kMostElements)) {
    throw_bad(origin, "vocab_size is " + std::to_string(manifest.vocab_size));
  }
}

void check_shards(const ShardManifest& manifest, const std::string& origin) {
  std::int64_t samples = 0;
  for (const ShardEntry& shard : manifest.shards) {
    const bool plain_name = !shard.file.empty() && shard.file.find('/') == std::string::npos &&
                            shard.file.find('\0') == std::string::npos && shard.file.front() != '.';
    if (!plain_name) throw_bad(origin, "\"" + shard.file + "\" is not a name of a shard");
    if (shard.samples < 1 || shard.samples > manifest.samples - samples || shard.bytes < 1) {
      throw_bad(origin, shard.file + " has " + std::to_string(shard.samples) + " samples in " +
                            std::to_string(shard.bytes) + " bytes, which does not fit the data set");
    }
    samples += shard.samples;
  }
  if (samples != manifest.samples) {
    throw_bad(origin, "the shards have " + std::to_string(samples) + " samples, the data set " +
                          std::to_string(manifest.samples));
  }
}

}  // namespace

DType sample_dtype(const ShardManifest& manifest) {
  if (manifest.kind == "images" || manifest.vocab_size <= 256) return DType::uint8;
  return manifest.vocab_size <= 65536 ? DType::uint16 : DType::int32;
}

std::int64_t sample_elements(const ShardManifest& manifest) {
  std::int64_t elements = 1;
  for (const std::int64_t side : manifest.shape) elements *= side;
  return elements;
}

std::size_t sample_bytes(const ShardManifest& manifest) {
  return static_cast<std::size_t>(sample_elements(manifest)) * size_of(sample_dtype(manifest));
}

TensorHash metadata_hash(const ShardManifest& manifest) {
  const std::string text = compact(metadata_json(manifest));
  TensorHash hash;
  hash.add("metadata", std::as_bytes(std::span(text)), 1);
  return hash;
}

TensorHash samples_hash(std::span<const std::uint64_t> checksums, std::int64_t first) {
  TensorHash hash;
  hash.add("samples", std::as_bytes(checksums), sizeof(std::uint64_t), first);
  return hash;
}

std::uint64_t sample_checksum(std::span<const std::byte> sample, std::int32_t label) {
  // an odd factor: different labels always give different checksums
  return tensor_checksum(sample) + 0x9E3779B97F4A7C15ULL * (static_cast<std::uint64_t>(label) + 1);
}

std::string manifest_text(const ShardManifest& manifest) {
  ManifestJson json = manifest_json(manifest);
  json[kChecksumKey] = checksum_of_text(compact(json));
  return json.dump(1, ' ', false, ManifestJson::error_handler_t::replace) + "\n";
}

ShardManifest parse_manifest(const std::string& text, const std::string& origin) {
  ManifestJson json = ManifestJson::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) throw_bad(origin, "not valid JSON");
  ShardManifest manifest;
  try {
    check_version(json, origin);
    check_checksum(json, origin);
    manifest = from_json(json);
  } catch (const ManifestJson::exception& error) {
    throw_bad(origin, error.what());
  } catch (const std::invalid_argument& error) {
    throw_bad(origin, error.what());
  }
  check_shape(manifest, origin);
  check_shards(manifest, origin);
  return manifest;
}

ShardManifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / ShardManifest::kFileName;
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    throw InputError("data set " + folder.string() + " does not exist", "it should be a folder of shards",
                     "check the path, or make it with 'bitlaw data import'");
  }
  if (!std::filesystem::exists(path, ignored)) {
    throw InputError("data set " + folder.string() + " has no " + ShardManifest::kFileName,
                     "it is written last, so without it the data set is not whole",
                     "name a folder that 'bitlaw data import' or 'bitlaw data tokenize' finished");
  }
  return parse_manifest(read_text_file(path), path.string());
}

}  // namespace bitlaw::data
