// This rank's share of a state, copied at one moment and written at leisure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "trainer/checkpoint.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/checkpoint/pages.h"

namespace bitlaw::trainer {

class PartBuffer {
 public:
  PartBuffer(int rank, int size) : rank_(rank), size_(size) {}

  void reserve(const CheckpointState& state);  // takes the memory that copy() of such a state needs
  void copy(const CheckpointState& state);
  void set_texts(const std::map<std::string, std::string>& texts) { manifest_.texts = texts; }
  // Writes, flushes and checksums the part in `folder`, which is made when missing. InputError.
  ManifestPart write(const std::filesystem::path& folder) const;
  // Step, texts and the shapes of all tensors; the parts are left to the caller.
  const Manifest& manifest() const { return manifest_; }

 private:
  struct Entry {
    std::string name;
    data::DType dtype = data::DType::float32;
    std::int64_t count = 0;
    std::size_t offset = 0;  // in pages_
  };
  std::size_t bytes_needed(const CheckpointState& state) const;

  int rank_;
  int size_;
  Pages pages_;
  Manifest manifest_;
  std::vector<Entry> entries_;
};

}  // namespace bitlaw::trainer
