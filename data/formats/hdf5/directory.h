// What a TensorFile says about its tensors and attributes, as a plain value: all that HDF5 is asked for.
// Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "data/formats/file_io.h"
#include "data/formats/tensor_file.h"

namespace bitlaw::data::hdf5 {

// The type of HDF5 that elements of this type lie in, itself for those that HDF5 has; none: not held.
std::optional<DType> stored_as(DType dtype);

// Text, one integer, or a list of integers.
using Attribute = std::variant<std::string, std::int64_t, std::vector<std::int64_t>>;

struct StoredTensor {
  TensorInfo info;
  std::uint64_t offset = 0;  // of the first byte in the file; 0 for a tensor without elements
};

struct Directory {
  std::map<std::string, StoredTensor> tensors;                         // by path
  std::map<std::string, std::map<std::string, Attribute>> attributes;  // by group; the root is ""

  const Attribute* find(const std::string& group, const std::string& key) const;  // null: not there
  void add_group(const std::string& group);                                       // and its parents
  // std::invalid_argument: a tensor stands where a group is to be, or the name is taken.
  void check_group(const std::string& group) const;
  void check_free(const std::string& name) const;
};

std::string group_of(const std::string& name);  // "a/b" of "a/b/c", "" of "c"

struct OpenedFile {
  FileHandle file;  // for the tensors' bytes
  Directory directory;
};

// Reads everything but the tensors' bytes. InputError: missing, not HDF5, truncated, damaged, or members that
// a TensorFile does not have. HDF5's file locking is in force while the directory is read
// (HDF5_USE_FILE_LOCKING=FALSE switches it off).
OpenedFile open_file(const std::filesystem::path& path);

}  // namespace bitlaw::data::hdf5
