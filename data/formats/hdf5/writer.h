// Makes the metadata of a TensorFile in memory while the tensors' bytes go straight to the disk.
//
// HDF5 writes into a nameless file in memory (/dev/shm) of the size that the real file will have; only
// metadata occupy memory there. `finish` then copies everything that is not a tensor's bytes. So all writing
// to the disk is ours, and a full disk is an error number with a name, not an HDF5 library that can neither
// flush nor close. Torch-free.
#pragma once

#include <memory>

#include "data/formats/hdf5/directory.h"

namespace bitlaw::data::hdf5 {

class Writer {
 public:
  Writer();
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Makes the dataset; returns where its bytes belong (0 when it has none).
  std::uint64_t add_tensor(const TensorInfo& info);
  void add_group(const std::string& group);  // and its parents
  void add_attribute(const std::string& group, const std::string& key, const Attribute& value);

  // Ends writing. Copies the metadata into `file`, between the bytes of the tensors of `directory`, gives it
  // its final size, and seals it.
  void finish(const Directory& directory, const FileHandle& file, const std::filesystem::path& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitlaw::data::hdf5
