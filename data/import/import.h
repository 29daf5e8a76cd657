// A source of pictures -> a folder of image shards, whole or not at all. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/formats/shard_manifest.h"
#include "data/import/image.h"

namespace bitlaw::data {

// Called by several threads, one at a time, with the samples that are done; false: stop.
using ImportProgress = std::function<bool(std::int64_t done, std::int64_t total)>;

struct ImportOptions {
  std::filesystem::path source;
  std::filesystem::path out;
  std::int64_t size = 0;               // side of the square images; 0: as they are
  std::int64_t channels = 0;           // 1 or 3; 0: the source's own (image folder: 3)
  std::int64_t samples_per_shard = 0;  // 0: default_samples_per_shard
  int threads = 0;                     // 0: one a processor
  ImportProgress progress;             // may be empty
};

struct ImportResult {
  ShardManifest manifest;
  bool already_made = false;  // the folder held the same data set: nothing was done
};

// The import was told to stop (ImportProgress); nothing is left of it.
class ImportStopped : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Folder with IDX files as of MNIST and its relatives: {train,t10k}-{images-idx3,labels-idx1}-ubyte, with
// or without .gz, '.idx3' for '-idx3' allowed. `split`: "train" or "test". size larger than the images:
// black border; smaller: resized. InputError: missing, truncated, damaged, not IDX, counts that differ.
ImportResult import_idx(const ImportOptions& options, const std::string& split);
bool holds_idx(const std::filesystem::path& folder);

// Folder with one sub-folder a class; classes are numbered in the sorted order of their names, pictures come
// in the sorted order of "class/file". Files whose name begins with '.' are left out. InputError: a picture
// that cannot be decoded (up to ten are named), a file that is no picture, an empty class, sizes that differ
// when `size` is 0.
ImportResult import_image_folder(const ImportOptions& options);

}  // namespace bitlaw::data
