#include <algorithm>
#include <array>
#include <cctype>

#include "data/formats/file_io.h"
#include "data/formats/input_error.h"
#include "data/import/image_error.h"
#include "data/import/import.h"
#include "data/import/shard_job.h"
#include "data/shard_check.h"
#include "data/shard_writer.h"

namespace bitlaw::data {
namespace {

namespace fs = std::filesystem;

struct Picture {
  fs::path path;
  std::int32_t label = 0;
};

struct Collection {
  std::vector<std::string> classes;
  std::vector<Picture> pictures;
};

std::vector<fs::directory_entry> sorted_entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().front() != '.') entries.push_back(entry);
  }
  if (error) throw file_error(folder, "list this folder", error.value());
  std::sort(entries.begin(), entries.end());  // by bytes of the path: the same in every locale
  return entries;
}

bool has_picture_name(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr std::array<const char*, 3> known = {".png", ".jpg", ".jpeg"};
  return std::find(known.begin(), known.end(), ending) != known.end();
}

void collect_class(const fs::path& folder, std::int32_t label, std::vector<Picture>& pictures) {
  const std::size_t before = pictures.size();
  for (const fs::directory_entry& entry : sorted_entries(folder)) {
    if (!entry.is_regular_file() || !has_picture_name(entry.path())) {
      throw InputError(entry.path().string() + " is not a .png, .jpg or .jpeg file",
                       "a class folder holds pictures only; leaving files out would be silent",
                       "convert, move or remove it");
    }
    pictures.push_back({entry.path(), label});
  }
  if (pictures.size() == before) {
    throw InputError("class folder " + folder.string() + " is empty",
                     "a class without samples is never learnt", "fill or remove it");
  }
}

Collection collect(const fs::path& source) {
  Collection collection;
  for (const fs::directory_entry& entry : sorted_entries(source)) {
    if (!entry.is_directory()) continue;  // licence texts and lists lie beside the classes
    const auto label = static_cast<std::int32_t>(collection.classes.size());
    collection.classes.push_back(entry.path().filename().string());
    collect_class(entry.path(), label, collection.pictures);
  }
  if (collection.classes.empty()) {
    throw InputError(source.string() + " holds no class folders", "each class is a sub-folder of pictures",
                     "name the folder above them, or a folder with IDX files");
  }
  return collection;
}

std::string source_hash_of(const ImportOptions& options, const Collection& collection) {
  std::vector<std::uint64_t> checksums(collection.pictures.size());
  for_each_in_parallel(static_cast<std::int64_t>(checksums.size()), options.threads, [&](std::int64_t i) {
    const auto place = static_cast<std::size_t>(i);
    checksums[place] = file_checksum(collection.pictures[place].path);
  });
  std::string names = "folder 1 " + std::to_string(options.size) + " " + std::to_string(options.channels) +
                      " " + std::to_string(options.samples_per_shard);
  for (const Picture& picture : collection.pictures) {
    names += "\n" + picture.path.lexically_relative(options.source).string();
  }
  TensorHash hash;
  hash.add("files", std::as_bytes(std::span(checksums)), sizeof(std::uint64_t));
  hash.add("names", std::as_bytes(std::span(names)), 1);
  return hash.hex();
}

Image load(const fs::path& path) {
  const FileHandle file = open_for_reading(path);
  std::vector<std::byte> bytes(file_size(file, path));
  read_fully(file, bytes, 0, path);
  return decode_image(bytes, path.string());
}

// Side lengths of a sample: given, or those of the first picture.
std::array<std::int64_t, 2> sides(const ImportOptions& options, const Collection& collection) {
  if (options.size > 0) return {options.size, options.size};
  const Image first = load(collection.pictures.front().path);
  return {first.height, first.width};
}

Image fit(const Image& image, const ImportOptions& options, const std::array<std::int64_t, 2>& wanted,
          const std::string& origin) {
  if (options.size > 0) return resize_and_crop(image, options.size);
  if (image.height != wanted[0] || image.width != wanted[1]) {
    throw InputError("image " + origin + " is " + std::to_string(image.width) + " x " +
                         std::to_string(image.height) + ", the first one " + std::to_string(wanted[1]) +
                         " x " + std::to_string(wanted[0]),
                     "samples of a data set have one shape", "give --size N to resize and crop all");
  }
  return image;
}

}  // namespace

ImportResult import_image_folder(const ImportOptions& options) {
  const Collection collection = collect(options.source);
  ShardManifest description;
  description.source_hash = source_hash_of(options, collection);
  if (already_made(options.out, description.source_hash)) return {read_manifest(options.out), true};
  const std::int64_t channels = options.channels == 0 ? 3 : options.channels;
  const std::array<std::int64_t, 2> wanted = sides(options, collection);
  description.kind = "images";
  description.samples = static_cast<std::int64_t>(collection.pictures.size());
  description.num_classes = static_cast<std::int64_t>(collection.classes.size());
  description.class_names = collection.classes;
  description.shape = {channels, wanted[0], wanted[1]};
  description.source = "folder " + options.source.string();
  const auto make_sample = [&](std::int64_t index, std::span<std::byte> into) {
    const Picture& picture = collection.pictures[static_cast<std::size_t>(index)];
    const Image image = with_channels(load(picture.path), channels);
    to_planes(fit(image, options, wanted, picture.path.string()), into);
    return picture.label;
  };
  return {write_shards(options, description, make_sample), false};
}

}  // namespace bitlaw::data
