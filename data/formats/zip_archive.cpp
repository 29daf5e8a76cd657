#include "data/formats/zip_archive.h"

#include <algorithm>

#include "data/formats/crc32.h"
#include "data/formats/tensor_name.h"

namespace bitlaw::data {

namespace {
constexpr std::size_t kPiece = std::size_t{1} << 20;
}

ZipArchive::ZipArchive(const std::filesystem::path& path)
    : path_(path), file_(open_for_reading(path)), entries_(read_zip_directory(file_, path)) {}

const ZipEntry* ZipArchive::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

std::vector<std::byte> ZipArchive::read(const std::string& name, std::uint64_t largest) const {
  const ZipEntry* entry = find(name);
  if (entry == nullptr) {
    throw InputError(path_.string() + ": entry '" + printable(name) + "' is missing", "it is to be read",
                     "check that torch.save wrote this file");
  }
  if (entry->size > largest) {
    throw InputError(
        path_.string() + ": entry '" + printable(name) + "' has " + std::to_string(entry->size) + " bytes",
        "it is read as a whole, and " + std::to_string(largest) + " are the most",
        "check that torch.save wrote this file");
  }
  std::vector<std::byte> bytes(entry->size);
  read_range(name, 0, bytes);
  check_crc(name, crc32(bytes));
  return bytes;
}

void ZipArchive::read_range(const std::string& name, std::uint64_t begin, std::span<std::byte> into) const {
  const ZipEntry& entry = entries_.at(name);
  if (!entry.is_stored) {
    throw InputError(path_.string() + ": entry '" + printable(name) + "' is compressed or encrypted",
                     "torch.save stores its entries as they are",
                     "load it with PyTorch and save it again, do not pack it with zip");
  }
  read_fully(file_, into, entry.offset + begin, path_);
}

void ZipArchive::verify(const std::string& name) const {
  const ZipEntry& entry = entries_.at(name);
  if (entry.crc == 0) {
    return;
  }
  std::vector<std::byte> piece(std::min<std::uint64_t>(kPiece, entry.size));
  std::uint32_t crc = 0;
  for (std::uint64_t at = 0; at < entry.size; at += kPiece) {
    const auto part = std::span(piece).first(std::min<std::uint64_t>(kPiece, entry.size - at));
    read_range(name, at, part);
    crc = crc32(part, crc);
  }
  check_crc(name, crc);
}

void ZipArchive::check_crc(const std::string& name, std::uint32_t crc) const {
  const ZipEntry& entry = entries_.at(name);
  if (entry.crc != 0 && entry.crc != crc) {
    throw InputError(path_.string() + ": entry '" + printable(name) + "' has CRC-32 " + std::to_string(crc) +
                         " instead of " + std::to_string(entry.crc),
                     "its bytes changed after they were written", "get the file again from where it came");
  }
}

}  // namespace bitlaw::data
