// Reads the golden tensors (HDF5 files of foreign make: compressed, with integer and boolean attributes).
//
// Their folder is tests/golden of the repository, or the one that the environment variable BITLAW_GOLDEN
// names.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bitlaw::tests {

class GoldenFile {
 public:
  explicit GoldenFile(const std::string& file_name);  // "var.h5"; throws when it cannot be opened
  ~GoldenFile();
  GoldenFile(const GoldenFile&) = delete;
  GoldenFile& operator=(const GoldenFile&) = delete;

  bool contains(const std::string& path) const;
  at::Tensor tensor(const std::string& path) const;  // float32, or int64 for any integer type
  std::map<std::string, at::Tensor> tensors(const std::string& group) const;  // its direct datasets
  std::vector<std::string> names(const std::string& group) const;             // of direct members
  bool has_attribute(const std::string& group, const std::string& name) const;
  std::int64_t integer(const std::string& group, const std::string& name) const;  // booleans too
  std::vector<std::int64_t> integers(const std::string& group, const std::string& name) const;

 private:
  std::int64_t file_ = -1;
};

}  // namespace bitlaw::tests
