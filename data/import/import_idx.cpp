#include <algorithm>
#include <array>
#include <optional>

#include "data/formats/input_error.h"
#include "data/import/idx.h"
#include "data/import/import.h"
#include "data/import/shard_job.h"
#include "data/shard_check.h"
#include "data/shard_writer.h"

namespace bitlaw::data {
namespace {

namespace fs = std::filesystem;

std::optional<fs::path> find_idx(const fs::path& folder, const std::string& prefix, const std::string& what) {
  for (const char* separator : {"-", "."}) {
    for (const char* ending : {"", ".gz"}) {
      fs::path path = folder / (prefix + "-" + what.substr(0, what.find('-')) + separator +
                                what.substr(what.find('-') + 1) + "-ubyte" + ending);
      std::error_code ignored;
      if (fs::is_regular_file(path, ignored)) return path;
    }
  }
  return std::nullopt;
}

std::optional<fs::path> find_labels(const fs::path& folder, const std::string& prefix) {
  return find_idx(folder, prefix, "labels-idx1");
}

fs::path require(std::optional<fs::path> path, const fs::path& folder, const std::string& name) {
  if (path) return *path;
  throw InputError(folder.string() + " holds no " + name + "-ubyte[.gz]", "the split is read from it",
                   "check SOURCE and --split");
}

std::string prefix_of(const std::string& split) {
  if (split == "train") return "train";
  if (split == "test") return "t10k";
  throw InputError("--split " + split, "IDX folders hold the splits train and test", "name one of them");
}

// Classes are counted over both splits, so that a class that one of them lacks keeps its number.
std::int64_t count_classes(const fs::path& folder) {
  std::int64_t classes = 0;
  for (const char* prefix : {"train", "t10k"}) {
    const auto path = find_labels(folder, prefix);
    if (!path) continue;
    for (const std::uint8_t label : read_idx(*path).values) {
      classes = std::max<std::int64_t>(classes, label + 1);
    }
  }
  return classes;
}

std::string source_hash_of(const ImportOptions& options, const std::string& split,
                           std::span<const fs::path> files) {
  std::vector<std::uint64_t> checksums;
  for (const fs::path& file : files) checksums.push_back(file_checksum(file));
  const std::string settings = "idx 1 " + split + " " + std::to_string(options.size) + " " +
                               std::to_string(options.channels) + " " +
                               std::to_string(options.samples_per_shard);
  TensorHash hash;
  hash.add("files", std::as_bytes(std::span(checksums)), sizeof(std::uint64_t));
  hash.add("settings", std::as_bytes(std::span(settings)), 1);
  return hash.hex();
}

struct IdxPair {
  IdxArray images;
  IdxArray labels;
};

IdxPair read_pair(const fs::path& images_path, const fs::path& labels_path) {
  IdxPair pair{read_idx(images_path), read_idx(labels_path)};
  if (pair.images.shape.size() != 3 || pair.labels.shape.size() != 1) {
    throw InputError(images_path.string() + " and " + labels_path.string() + " have " +
                         std::to_string(pair.images.shape.size()) + " and " +
                         std::to_string(pair.labels.shape.size()) + " dimensions",
                     "images have 3 and labels 1", "check which file is which");
  }
  if (pair.images.shape[0] != pair.labels.shape[0]) {
    throw InputError(images_path.string() + " holds " + std::to_string(pair.images.shape[0]) + " images, " +
                         labels_path.string() + " " + std::to_string(pair.labels.shape[0]) + " labels",
                     "every image needs its own label", "fetch both files of one data set");
  }
  if (pair.images.shape[1] < 1 || pair.images.shape[2] < 1) {
    throw InputError(images_path.string() + " holds images of " + std::to_string(pair.images.shape[2]) +
                         " x " + std::to_string(pair.images.shape[1]) + " pixels",
                     "there is nothing in them", "fetch the file again");
  }
  return pair;
}

Image fit(const Image& image, const ImportOptions& options) {
  Image coloured = options.channels == 0 ? image : with_channels(image, options.channels);
  if (options.size == 0) return coloured;
  const bool larger = options.size >= std::max(image.height, image.width);
  return larger ? pad_to(coloured, options.size) : resize_and_crop(coloured, options.size);
}

}  // namespace

bool holds_idx(const fs::path& folder) {
  return find_labels(folder, "train").has_value() || find_labels(folder, "t10k").has_value();
}

ImportResult import_idx(const ImportOptions& options, const std::string& split) {
  const std::string prefix = prefix_of(split);
  const std::array<fs::path, 2> files = {
      require(find_idx(options.source, prefix, "images-idx3"), options.source, prefix + "-images-idx3"),
      require(find_labels(options.source, prefix), options.source, prefix + "-labels-idx1")};
  ShardManifest description;
  description.source_hash = source_hash_of(options, split, files);
  if (already_made(options.out, description.source_hash)) return {read_manifest(options.out), true};
  const IdxPair pair = read_pair(files[0], files[1]);
  const std::int64_t height = pair.images.shape[1];
  const std::int64_t width = pair.images.shape[2];
  description.kind = "images";
  description.samples = pair.images.shape[0];
  description.num_classes = count_classes(options.source);
  description.shape = {options.channels == 3 ? 3 : 1, options.size > 0 ? options.size : height,
                       options.size > 0 ? options.size : width};
  description.source = "idx " + options.source.string() + " (" + split + ")";
  const auto pixels = static_cast<std::size_t>(height * width);
  const auto make_sample = [&](std::int64_t index, std::span<std::byte> into) -> std::int32_t {
    const auto place = static_cast<std::size_t>(index);
    const std::uint8_t* begin = pair.images.values.data() + place * pixels;
    to_planes(fit({height, width, 1, {begin, begin + pixels}}, options), into);
    return pair.labels.values[place];
  };
  return {write_shards(options, description, make_sample), false};
}

}  // namespace bitlaw::data
