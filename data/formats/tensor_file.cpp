// Named tensors and attributes in one HDF5 file.
//
// Opening reads the whole directory and closes HDF5 again; afterwards only bytes are read, without any lock.
// Writing sends bytes to the temporary file at once and keeps metadata in memory until seal().
#include "data/formats/tensor_file.h"

#include <unistd.h>

#include <functional>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "data/formats/checksum.h"
#include "data/formats/hdf5/directory.h"
#include "data/formats/hdf5/writer.h"

namespace bitlaw::data {

namespace {

// Misuse by the caller, not by the user.
void check_name(const std::string& name, const char* what) {
  const bool edge = name.empty() || name.front() == '/' || name.back() == '/';
  const std::string slashed = "/" + name + "/";
  if (edge || slashed.find("//") != std::string::npos || slashed.find("/./") != std::string::npos ||
      name.find('\0') != std::string::npos) {
    throw std::invalid_argument(std::string(what) + " '" + name + "' is not a path of HDF5");
  }
}

void check_size(const TensorInfo& info, std::size_t bytes) {
  if (!hdf5::stored_as(info.dtype)) {
    throw std::invalid_argument("tensor " + info.name + " is " + std::string(name_of(info.dtype)) +
                                ", which a tensor file does not hold");
  }
  if (data::byte_count(info.dtype, info.shape) != bytes) {
    throw std::invalid_argument("tensor " + info.name + " has " + std::to_string(bytes) +
                                " bytes, its shape needs another number");
  }
}

}  // namespace

std::int64_t TensorInfo::element_count() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::size_t TensorInfo::byte_count() const {
  return static_cast<std::size_t>(element_count()) * size_of(dtype);
}

std::uint64_t tensor_checksum(std::span<const std::byte> bytes) {
  return xxh64(bytes);
}

struct TensorFile::Impl {
  std::filesystem::path path;
  std::filesystem::path temporary;  // empty when reading or committed
  FileHandle file;
  std::optional<hdf5::Writer> writer;  // until sealed
  hdf5::Directory directory;

  ~Impl() {
    if (!temporary.empty()) {
      ::unlink(temporary.c_str());
    }
  }

  hdf5::Writer& open_writer() {
    if (!writer) {
      throw std::logic_error(path.string() + " is not open for writing");
    }
    return *writer;
  }

  void put_attribute(const std::string& group, const std::string& key, const hdf5::Attribute& value) {
    if (!group.empty()) {
      check_name(group, "group");
    }
    directory.check_group(group);
    if (directory.find(group, key) != nullptr) {
      throw std::invalid_argument("attribute " + key + " of group '" + group + "' is there already");
    }
    open_writer().add_attribute(group, key, value);
    directory.add_group(group);
    directory.attributes[group].emplace(key, value);
  }

  const hdf5::StoredTensor& tensor(const std::string& name) const {
    const auto found = directory.tensors.find(name);
    if (found == directory.tensors.end()) {
      throw InputError(path.string() + " holds no tensor " + name, "it is needed",
                       "check that this is the right file");
    }
    return found->second;
  }

  template <class Value>
  const Value& need_attribute(const std::string& group, const std::string& key, const char* kind) const {
    const hdf5::Attribute* value = directory.find(group, key);
    if (value == nullptr || !std::holds_alternative<Value>(*value)) {
      throw InputError(path.string() + ": " + (group.empty() ? "the file" : "group " + group) + " has no " +
                           kind + " '" + key + "'",
                       "it is needed", "check that this is the right file");
    }
    return std::get<Value>(*value);
  }

  template <class Value>
  std::vector<std::string> attribute_keys(const std::string& group) const {
    std::vector<std::string> keys;
    const auto entries = directory.attributes.find(group);
    if (entries != directory.attributes.end()) {
      for (const auto& [key, value] : entries->second) {
        if (std::holds_alternative<Value>(value)) {
          keys.push_back(key);
        }
      }
    }
    return keys;
  }
};

TensorFile::TensorFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TensorFile::TensorFile(TensorFile&&) noexcept = default;
TensorFile& TensorFile::operator=(TensorFile&&) noexcept = default;
TensorFile::~TensorFile() = default;

TensorFile TensorFile::create(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  const std::filesystem::path temporary = temporary_name(path);
  impl->file = create_for_writing(temporary);
  impl->temporary = temporary;
  impl->writer.emplace();
  impl->directory.attributes[""];
  return TensorFile(std::move(impl));
}

TensorFile TensorFile::open(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  hdf5::OpenedFile opened = hdf5::open_file(path);
  impl->file = std::move(opened.file);
  impl->directory = std::move(opened.directory);
  return TensorFile(std::move(impl));
}

const std::filesystem::path& TensorFile::path() const {
  return impl_->path;
}

void TensorFile::put(const std::string& name, DType dtype, std::span<const std::int64_t> shape,
                     std::span<const std::byte> bytes) {
  check_name(name, "tensor");
  const TensorInfo info{name, dtype, {shape.begin(), shape.end()}, tensor_checksum(bytes)};
  check_size(info, bytes.size());
  impl_->directory.check_free(name);
  const std::uint64_t offset = impl_->open_writer().add_tensor(info);
  try {
    write_fully(impl_->file, bytes, offset, impl_->path);
  } catch (const InputError& error) {
    throw InputError("tensor " + name + ": " + error.what());
  }
  impl_->directory.add_group(hdf5::group_of(name));
  impl_->directory.tensors.emplace(name, hdf5::StoredTensor{info, offset});
}

void TensorFile::put_group(const std::string& group) {
  check_name(group, "group");
  impl_->directory.check_group(group);
  impl_->open_writer().add_group(group);
  impl_->directory.add_group(group);
}

void TensorFile::put_text(const std::string& group, const std::string& key, const std::string& value) {
  if (value.find('\0') != std::string::npos) {
    throw std::invalid_argument("attribute " + key + " holds a zero byte");
  }
  impl_->put_attribute(group, key, value);
}

void TensorFile::put_integer(const std::string& group, const std::string& key, std::int64_t value) {
  impl_->put_attribute(group, key, value);
}

void TensorFile::put_integers(const std::string& group, const std::string& key,
                              std::span<const std::int64_t> values) {
  impl_->put_attribute(group, key, std::vector<std::int64_t>(values.begin(), values.end()));
}

std::filesystem::path TensorFile::seal() {
  hdf5::Writer& writer = impl_->open_writer();
  writer.finish(impl_->directory, impl_->file, impl_->path);
  impl_->writer.reset();
  return impl_->temporary;
}

void TensorFile::commit() {
  if (impl_->writer) {
    seal();
  }
  if (impl_->temporary.empty()) {
    throw std::logic_error(impl_->path.string() + " is not open for writing");
  }
  publish_file(impl_->file, impl_->temporary, impl_->path);
  impl_->temporary.clear();
}

std::vector<std::string> TensorFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : impl_->directory.tensors) {
    names.push_back(name);
  }
  return names;
}

std::vector<std::string> TensorFile::groups(const std::string& group) const {
  const std::string prefix = group.empty() ? "" : group + "/";
  std::vector<std::string> names;
  for (const auto& [path, attributes] : impl_->directory.attributes) {
    if (path.size() > prefix.size() && path.starts_with(prefix) &&
        path.find('/', prefix.size()) == std::string::npos) {
      names.push_back(path.substr(prefix.size()));
    }
  }
  return names;
}

bool TensorFile::contains(const std::string& name) const {
  return impl_->directory.tensors.count(name) != 0;
}

const TensorInfo& TensorFile::info(const std::string& name) const {
  return impl_->tensor(name).info;
}

std::uint64_t TensorFile::byte_offset(const std::string& name) const {
  return impl_->tensor(name).offset;
}

void TensorFile::read(const std::string& name, std::span<std::byte> into) const {
  const TensorInfo& wanted = info(name);
  if (into.size() != wanted.byte_count()) {
    throw std::invalid_argument("tensor " + name + " has " + std::to_string(wanted.byte_count()) +
                                " bytes, not " + std::to_string(into.size()));
  }
  read_range(name, 0, into);
  const std::uint64_t found = tensor_checksum(into);
  if (found != wanted.checksum) {
    throw InputError(impl_->path.string() + ": tensor " + name + " is damaged (checksum " + to_hex(found) +
                         " instead of " + to_hex(wanted.checksum) + ")",
                     "its values have changed since it was written", "copy or make the file again");
  }
}

void TensorFile::read_range(const std::string& name, std::int64_t first, std::span<std::byte> into) const {
  const hdf5::StoredTensor& tensor = impl_->tensor(name);
  const std::size_t size = size_of(tensor.info.dtype);
  const auto total = static_cast<std::size_t>(tensor.info.element_count());
  if (first < 0 || into.size() % size != 0 || static_cast<std::size_t>(first) > total ||
      into.size() / size > total - static_cast<std::size_t>(first)) {
    throw std::invalid_argument("elements " + std::to_string(first) + " to +" +
                                std::to_string(into.size() / size) + " lie outside tensor " + name);
  }
  read_fully(impl_->file, into, tensor.offset + static_cast<std::uint64_t>(first) * size, impl_->path);
}

bool TensorFile::has_text(const std::string& group, const std::string& key) const {
  const hdf5::Attribute* value = impl_->directory.find(group, key);
  return value != nullptr && std::holds_alternative<std::string>(*value);
}

std::string TensorFile::text(const std::string& group, const std::string& key) const {
  return impl_->need_attribute<std::string>(group, key, "text");
}

std::vector<std::string> TensorFile::text_keys(const std::string& group) const {
  return impl_->attribute_keys<std::string>(group);
}

std::int64_t TensorFile::integer(const std::string& group, const std::string& key) const {
  return impl_->need_attribute<std::int64_t>(group, key, "integer");
}

std::vector<std::int64_t> TensorFile::integers(const std::string& group, const std::string& key) const {
  return impl_->need_attribute<std::vector<std::int64_t>>(group, key, "list of integers");
}

std::vector<std::string> TensorFile::attribute_keys(const std::string& group) const {
  std::vector<std::string> keys = impl_->attribute_keys<std::string>(group);
  for (const auto& more : {impl_->attribute_keys<std::int64_t>(group),
                           impl_->attribute_keys<std::vector<std::int64_t>>(group)}) {
    keys.insert(keys.end(), more.begin(), more.end());
  }
  return keys;
}

}  // namespace bitlaw::data
