// Named tensors and attributes in one HDF5 file: shards, checkpoints and the native export are all this.
//
// Layout: a dataset per tensor, named by its path ("weights/blocks.0.attn.proj/codes" makes the groups),
// contiguous, allocated early, with a text attribute "checksum" (XXH64, 16 hexadecimal digits; see
// tensor_checksum). Types that HDF5 lacks lie in integers of their width, with the text attribute "dtype" =
// their name: bfloat16 in uint16; bool and the float8 types in uint8. Others (complex, narrower than a byte)
// are not held. Attributes of the root or of a group are UTF-8 strings, 64-bit integers or lists of those.
// Behind the HDF5 part lies a seal, which guards all that is not a tensor's bytes (hdf5/seal.h). Equal
// contents give equal files.
//
// Debian's HDF5 is not thread-safe: every HDF5 call happens under one mutex and moves metadata only; the
// bytes of a tensor go by pread/pwrite at the dataset's offset. All members may be called from several
// threads on different objects; one object belongs to one thread at a time, except that any number of threads
// may read from one that was opened.
//
// Errors: InputError naming path and tensor (missing, not HDF5, truncated, checksum differs, unwritable, disk
// full). Misuse (bad name, a size that does not fit the shape, an unknown range) is std::invalid_argument;
// writing to a file that is being read or is sealed, std::logic_error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/dtype.h"

namespace bitlaw::data {

// 64-bit checksum over bytes; the same on every machine.
std::uint64_t tensor_checksum(std::span<const std::byte> bytes);

struct TensorInfo {
  std::string name;
  DType dtype = DType::float32;
  std::vector<std::int64_t> shape;  // empty: a scalar
  std::uint64_t checksum = 0;

  std::int64_t element_count() const;
  std::size_t byte_count() const;
};

class TensorFile {
 public:
  // Writes PATH.tmp-<pid>; commit() makes it PATH. Destroyed without commit() it leaves nothing.
  static TensorFile create(const std::filesystem::path& path);
  static TensorFile open(const std::filesystem::path& path);

  TensorFile(TensorFile&&) noexcept;
  TensorFile& operator=(TensorFile&&) noexcept;
  ~TensorFile();

  const std::filesystem::path& path() const;

  // --- writing ---
  void put(const std::string& name, DType dtype, std::span<const std::int64_t> shape,
           std::span<const std::byte> bytes);
  // group "" is the root; a group that is not there yet is made, and so are its parents.
  void put_group(const std::string& group);
  void put_text(const std::string& group, const std::string& key, const std::string& value);
  void put_integer(const std::string& group, const std::string& key, std::int64_t value);
  void put_integers(const std::string& group, const std::string& key, std::span<const std::int64_t> values);
  // Completes the file under its temporary name, which is returned, so that it can be read back before
  // commit(); nothing can be put any more.
  std::filesystem::path seal();
  void commit();  // seal, fsync, rename, fsync of the folder

  // --- reading ---
  std::vector<std::string> names() const;                           // all tensors, sorted
  std::vector<std::string> groups(const std::string& group) const;  // direct sub-groups, sorted
  bool contains(const std::string& name) const;
  const TensorInfo& info(const std::string& name) const;
  std::uint64_t byte_offset(const std::string& name) const;  // of its first byte in the file
  // The whole tensor; its checksum is verified.
  void read(const std::string& name, std::span<std::byte> into) const;
  // Elements [first, first + into.size()/size_of) of the flattened tensor; not verified (random access into
  // shards).
  void read_range(const std::string& name, std::int64_t first, std::span<std::byte> into) const;
  bool has_text(const std::string& group, const std::string& key) const;
  std::string text(const std::string& group, const std::string& key) const;
  std::vector<std::string> text_keys(const std::string& group) const;
  std::int64_t integer(const std::string& group, const std::string& key) const;
  std::vector<std::int64_t> integers(const std::string& group, const std::string& key) const;
  std::vector<std::string> attribute_keys(const std::string& group) const;  // of every kind

 private:
  struct Impl;
  explicit TensorFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitlaw::data
