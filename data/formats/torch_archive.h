// Files of torch.save (.pth, .pt): the tensors in nested dicts, by name. Torch-free; nothing is ever
// executed.
//
// The file is a zip archive (zip_archive.h) of one folder: data.pkl is a pickle (pickle.h) of dicts, lists
// and tensors, data/<key> the bytes of storage <key>, byteorder "little" or "big". A tensor is a view of a
// storage: offset, extents and strides in elements; several tensors may share one.
//
// Names: the keys on the way to a tensor, joined by '/': "blocks.0.attn.proj.weight" in a plain state dict,
// "model/blocks.0.attn.proj.weight" in {"model": {...}, "ema": {...}}, "opt/state/0/exp_avg" (a number as
// key, or the index in a list). A file of just a tensor has the name "tensor". What is no tensor is passed
// over.
//
// The pickle may name: collections.OrderedDict, argparse.Namespace (read as the dict of its members), sets,
// torch.Size, torch.device, torch's element types, torch.<Type>Storage, torch.storage.UntypedStorage, and
// torch._utils._rebuild_tensor_v2, _v3, _rebuild_parameter. Anything else is refused by its name and byte.
// Every storage has the size of its entry, every view lies inside its storage, nesting is at most
// kDeepestTorchNesting levels. Only views that repeat elements (stride 0) are larger than their storage, up
// to kLargestRepeatedView elements, and all tensors together have at most most_shown_bytes.
//
// Errors: InputError naming the path, the entry or tensor, the value and what to do. A reader may be used by
// several threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "data/formats/raw_tensor.h"
#include "data/formats/zip_archive.h"

namespace bitlaw::data {

inline constexpr int kDeepestTorchNesting = 32;
inline constexpr std::uint64_t kLargestRepeatedView = std::uint64_t{1} << 20;
// Bytes of all tensors of an archive of so many bytes: a file is read whole by who asks for all of them.
constexpr std::uint64_t most_shown_bytes(std::uint64_t archive_bytes) {
  return 16 * archive_bytes + (std::uint64_t{1} << 26);
}

struct TorchTensorEntry {
  DType dtype = DType::float32;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> stride;  // elements
  std::uint64_t offset = 0;          // elements
  std::string storage;               // name of the entry in the archive
};

class TorchArchive {
 public:
  explicit TorchArchive(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return archive_.path(); }
  const std::map<std::string, TorchTensorEntry>& tensors() const { return tensors_; }
  bool contains(const std::string& name) const { return tensors_.count(name) != 0; }
  const TorchTensorEntry& entry(const std::string& name) const;  // InputError when it is not there
  // Contiguous, whatever the strides. The CRC of a storage is checked when it is first read, if the file has
  // one.
  RawTensor read(const std::string& name) const;

 private:
  void verify_once(const std::string& storage) const;

  ZipArchive archive_;
  std::map<std::string, TorchTensorEntry> tensors_;
  mutable std::mutex mutex_;                // of what follows
  mutable std::set<std::string> verified_;  // storages whose CRC was found right
};

}  // namespace bitlaw::data
