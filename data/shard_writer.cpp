#include "data/shard_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <stdexcept>

#include "data/formats/checksum.h"
#include "data/formats/input_error.h"
#include "data/shard_check.h"
#include "data/shard_store.h"

namespace bitlaw::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDefaultSamples = 2048;
constexpr std::int64_t kDefaultBytes = std::int64_t{1} << 26;
constexpr const char* kLockName = "owner.lock";

fs::path without_trailing_slash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

fs::path temporary_folder(const fs::path& out, std::int64_t tag) {
  return out.string() + ".tmp-" + std::to_string(tag);
}

std::string shard_name(std::int64_t shard) {
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "shard-%05lld.h5", static_cast<long long>(shard));
  return name.data();
}

// The lock of a temporary folder, when nobody holds it.
FileHandle try_lock(const fs::path& folder) {
  FileHandle file(::open((folder / kLockName).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!file.is_open() || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return {};
  return file;
}

// Temporary folders of the same OUT whose owner was killed.
void remove_abandoned(const fs::path& out) {
  const std::string prefix = out.filename().string() + ".tmp-";
  std::error_code ignored;
  const fs::path parent = out.has_parent_path() ? out.parent_path() : fs::path(".");
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, ignored)) {
    if (entry.path().filename().string().rfind(prefix, 0) != 0 || !entry.is_directory(ignored)) continue;
    if (try_lock(entry.path()).is_open()) fs::remove_all(entry.path(), ignored);
  }
}

FileHandle make_temporary_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw file_error(folder, "create this folder", error.value());
  FileHandle lock = try_lock(folder);
  if (!lock.is_open()) throw file_error(folder, "lock this folder", errno);
  return lock;
}

bool is_absent_or_empty(const fs::path& out) {
  std::error_code error;
  return !fs::exists(out, error) || (fs::is_directory(out, error) && fs::is_empty(out, error));
}

// A data set's folder holds its own files alone: whoever moves or removes it means just these.
void refuse_inside_data_set(const fs::path& out) {
  std::error_code error;
  fs::path inside = fs::absolute(out, error).lexically_normal();
  while (inside.has_relative_path()) {
    inside = inside.parent_path();
    if (fs::exists(inside / shard_name(0), error) && fs::exists(inside / ShardManifest::kFileName, error)) {
      throw InputError(out.string() + " lies inside the data set " + inside.string(),
                       "its folder would no longer be that data set alone", "name a folder beside it");
    }
  }
}

void rename_folder(const fs::path& from, const fs::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    throw file_error(to, "give the finished data set this name", errno);
  }
  sync_folder(to.parent_path());
}

}  // namespace

std::int64_t default_samples_per_shard(const ShardManifest& description) {
  const auto bytes = static_cast<std::int64_t>(sample_bytes(description));
  return std::clamp<std::int64_t>(kDefaultBytes / bytes, 1, kDefaultSamples);
}

bool already_made(const fs::path& out, const std::string& source_hash) {
  refuse_inside_data_set(out);
  if (is_absent_or_empty(out)) return false;
  const fs::path manifest_path = out / ShardManifest::kFileName;
  std::error_code error;
  if (!fs::exists(manifest_path, error)) {
    throw InputError(out.string() + " exists and is not a data set", "it is not ours to overwrite",
                     "name another folder, or remove it first");
  }
  const ShardManifest manifest = read_manifest(out);
  if (manifest.source_hash != source_hash) {
    throw InputError(out.string() + " holds another data set (" + manifest.source + ")",
                     "runs may depend on it", "name another folder, or remove it first");
  }
  const ShardStore whole(out);  // throws when it is damaged
  return true;
}

ShardWriter::ShardWriter(const fs::path& out, const ShardManifest& description,
                         std::int64_t samples_per_shard)
    : ShardWriter(out, description, samples_per_shard, ::getpid()) {
  if (!is_absent_or_empty(out_)) {
    throw InputError(out_.string() + " exists", "it is not ours to overwrite",
                     "name another folder, or remove it first");
  }
  remove_abandoned(out_);
  lock_ = make_temporary_folder(temporary_);
}

ShardWriter::ShardWriter(const fs::path& out, const ShardManifest& description,
                         std::int64_t samples_per_shard, std::int64_t owner_tag)
    : out_(without_trailing_slash(out)),
      description_(description),
      samples_per_shard_(samples_per_shard),
      tag_(owner_tag),
      temporary_(temporary_folder(out_, owner_tag)) {
  if (description_.samples < 1) {
    throw InputError(description_.source + " holds no samples", "an empty data set trains nothing",
                     "check the source");
  }
  if (samples_per_shard_ < 1) {
    throw InputError("samples per shard: " + std::to_string(samples_per_shard_), "a shard holds samples",
                     "name a positive number");
  }
}

ShardWriter::~ShardWriter() {
  if (!lock_.is_open()) return;
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

std::int64_t ShardWriter::shard_count() const {
  return (description_.samples + samples_per_shard_ - 1) / samples_per_shard_;
}

std::int64_t ShardWriter::first_of(std::int64_t shard) const {
  return shard * samples_per_shard_;
}

std::int64_t ShardWriter::samples_of(std::int64_t shard) const {
  return std::min(samples_per_shard_, description_.samples - first_of(shard));
}

fs::path ShardWriter::shard_path(std::int64_t shard) const {
  return temporary_ / shard_name(shard);
}

void ShardWriter::write(std::int64_t shard, std::span<const std::byte> samples,
                        std::span<const std::int32_t> labels) const {
  const std::size_t size = sample_bytes(description_);
  if (shard < 0 || shard >= shard_count() || labels.size() != static_cast<std::size_t>(samples_of(shard)) ||
      samples.size() != labels.size() * size) {
    throw std::invalid_argument("ShardWriter::write: shard " + std::to_string(shard) +
                                " gets another number of samples than it holds");
  }
  std::vector<std::uint64_t> checksums(labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= description_.num_classes) {
      throw std::invalid_argument("ShardWriter::write: label " + std::to_string(labels[i]));
    }
    checksums[i] = sample_checksum(samples.subspan(i * size, size), labels[i]);
  }
  const std::int64_t count = samples_of(shard);
  std::vector<std::int64_t> shape = description_.shape;
  shape.insert(shape.begin(), count);
  TensorFile file = TensorFile::create(shard_path(shard));
  file.put_text("", "format", "bitlaw-shard");
  file.put_text("", "version", std::to_string(ShardManifest::kVersion));
  file.put_text("", "first_sample", std::to_string(first_of(shard)));
  file.put(description_.kind, sample_dtype(description_), shape, samples);
  file.put("labels", DType::int32, std::span(&count, 1), std::as_bytes(labels));
  file.put("checksums", DType::uint64, std::span(&count, 1), std::as_bytes(std::span(checksums)));
  file.commit();
}

ShardManifest ShardWriter::commit() {
  if (!lock_.is_open()) throw std::logic_error("ShardWriter::commit: only the owner, and once");
  ShardManifest manifest = description_;
  TensorHash content = metadata_hash(manifest);
  for (std::int64_t shard = 0; shard < shard_count(); ++shard) {
    const fs::path path = shard_path(shard);
    ShardEntry entry{shard_name(shard), samples_of(shard), 0, to_hex(file_checksum(path)), ""};
    entry.bytes = static_cast<std::int64_t>(fs::file_size(path));
    const TensorFile file = TensorFile::open(path);
    std::vector<std::uint64_t> checksums(static_cast<std::size_t>(entry.samples));
    file.read("checksums", std::as_writable_bytes(std::span(checksums)));
    const TensorHash part = samples_hash(checksums, first_of(shard));
    entry.content_hash = part.hex();
    content.merge(part);
    manifest.shards.push_back(entry);
  }
  manifest.content_hash = content.hex();
  write_text_file(temporary_ / ShardManifest::kFileName, manifest_text(manifest));
  rename_folder(temporary_, out_);
  fs::remove(out_ / kLockName);  // only now: until it has its name, the folder must be seen to be owned
  lock_ = FileHandle();
  return manifest;
}

}  // namespace bitlaw::data
