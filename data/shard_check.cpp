#include "data/shard_check.h"

#include "data/formats/checksum.h"
#include "data/formats/file_io.h"
#include "data/shard_store.h"

namespace bitlaw::data {
namespace {

InputError damaged(const std::filesystem::path& path, const std::string& what) {
  return InputError("shard " + path.string() + " " + what, "training on damaged samples would go unnoticed",
                    "restore the file from a copy, or remove the folder and import again; 'bitlaw data "
                    "verify' lists all damage");
}

template <class T>
std::vector<T> read_column(const TensorFile& file, const std::string& name, DType dtype,
                           std::int64_t samples) {
  if (!file.contains(name)) throw damaged(file.path(), "holds no tensor '" + name + "'");
  const TensorInfo& info = file.info(name);
  if (info.dtype != dtype || info.shape != std::vector<std::int64_t>{samples}) {
    throw damaged(file.path(), "holds a tensor '" + name + "' of another type or shape");
  }
  std::vector<T> values(static_cast<std::size_t>(samples));
  file.read(name, std::as_writable_bytes(std::span(values)));
  return values;
}

std::uint64_t offset_of_samples(const TensorFile& file, const ShardManifest& manifest, std::int64_t samples) {
  if (!file.contains(manifest.kind)) throw damaged(file.path(), "holds no tensor '" + manifest.kind + "'");
  const TensorInfo& info = file.info(manifest.kind);
  std::vector<std::int64_t> shape = manifest.shape;
  shape.insert(shape.begin(), samples);
  if (info.dtype != sample_dtype(manifest) || info.shape != shape) {
    throw damaged(file.path(), "holds '" + manifest.kind + "' of another type or shape");
  }
  return file.byte_offset(manifest.kind);
}

void check_labels(const std::filesystem::path& path, std::span<const std::int32_t> labels,
                  std::int64_t num_classes) {
  for (const std::int32_t label : labels) {
    if (label < 0 || label >= num_classes) {
      throw damaged(
          path, "holds label " + std::to_string(label) + " of " + std::to_string(num_classes) + " classes");
    }
  }
}

// The samples themselves, once the index is known to be right.
void check_samples(const std::filesystem::path& path, const ShardManifest& manifest, const ShardIndex& index,
                   std::int64_t first) {
  const TensorFile file = TensorFile::open(path);
  std::vector<std::byte> bytes(file.info(manifest.kind).byte_count());
  file.read(manifest.kind, bytes);
  const std::size_t size = sample_bytes(manifest);
  for (std::size_t i = 0; i < index.labels.size(); ++i) {
    const std::uint64_t found = sample_checksum(std::span(bytes).subspan(i * size, size), index.labels[i]);
    if (found != index.checksums[i]) {
      throw damaged_sample(path, first + static_cast<std::int64_t>(i), found, index.checksums[i]);
    }
  }
}

}  // namespace

InputError damaged_sample(const std::filesystem::path& path, std::int64_t sample, std::uint64_t found,
                          std::uint64_t expected) {
  return damaged(path, "is damaged: sample " + std::to_string(sample) + " has checksum " + to_hex(found) +
                           " instead of " + to_hex(expected));
}

void check_shard_size(const std::filesystem::path& path, const ShardEntry& shard) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error == std::errc::no_such_file_or_directory) {
    throw InputError("shard " + path.string() + " is missing",
                     "its " + std::to_string(shard.samples) + " samples would silently be left out",
                     "restore the file from a copy, or remove the folder and import again");
  }
  if (error) throw file_error(path, "read its size", error.value());
  const std::string sizes = std::to_string(size) + " of " + std::to_string(shard.bytes) + " bytes";
  if (size < static_cast<std::uintmax_t>(shard.bytes)) {
    throw InputError("shard " + path.string() + " is truncated (" + sizes + ")",
                     "a short shard would silently shrink the data set",
                     "re-run 'bitlaw data verify' to see all damage, and import it again");
  }
  if (size > static_cast<std::uintmax_t>(shard.bytes)) {
    throw damaged(path, "is too long (" + sizes + ")");
  }
}

std::uint64_t file_checksum(const std::filesystem::path& path) {
  const FileHandle file = open_for_reading(path);
  std::vector<std::byte> bytes(file_size(file, path));
  read_fully(file, bytes, 0, path);
  return tensor_checksum(bytes);
}

void check_shard_bytes(const std::filesystem::path& path, const ShardEntry& shard) {
  const std::string found = to_hex(file_checksum(path));
  if (found != shard.checksum) {
    throw damaged(path, "is damaged: the file has checksum " + found + " instead of " + shard.checksum);
  }
}

ShardIndex read_shard_index(const std::filesystem::path& path, const ShardManifest& manifest,
                            std::size_t shard_number, std::int64_t first_sample) {
  const ShardEntry& entry = manifest.shards[shard_number];
  const TensorFile file = TensorFile::open(path);
  ShardIndex index;
  index.data_offset = offset_of_samples(file, manifest, entry.samples);
  index.labels = read_column<std::int32_t>(file, "labels", DType::int32, entry.samples);
  index.checksums = read_column<std::uint64_t>(file, "checksums", DType::uint64, entry.samples);
  check_labels(path, index.labels, manifest.num_classes);
  const std::string hash = samples_hash(index.checksums, first_sample).hex();
  if (hash != entry.content_hash) {
    throw damaged(path, "holds other samples: content hash " + hash + " instead of " + entry.content_hash);
  }
  return index;
}

std::vector<std::string> shard_problems(const std::filesystem::path& folder) {
  const ShardManifest manifest = read_manifest(folder);
  std::vector<std::string> problems;
  TensorHash content = metadata_hash(manifest);
  std::int64_t first = 0;
  for (std::size_t i = 0; i < manifest.shards.size(); ++i) {
    const ShardEntry& shard = manifest.shards[i];
    const std::filesystem::path path = folder / shard.file;
    try {
      check_shard_size(path, shard);
      check_shard_bytes(path, shard);  // first: HDF5 need not read a file that is known to be damaged
      const ShardIndex index = read_shard_index(path, manifest, i, first);
      check_samples(path, manifest, index, first);
      content.merge(samples_hash(index.checksums, first));
    } catch (const InputError& error) {
      problems.emplace_back(error.what());
    }
    first += shard.samples;
  }
  if (problems.empty() && content.hex() != manifest.content_hash) {
    problems.push_back(folder.string() + ": content hash " + content.hex() + " instead of " +
                       manifest.content_hash);
  }
  return problems;
}

}  // namespace bitlaw::data
