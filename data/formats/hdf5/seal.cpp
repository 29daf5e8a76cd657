// A checksum over all metadata of a file, behind its HDF5 part.
#include "data/formats/hdf5/seal.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "data/formats/checksum.h"

namespace bitlaw::data::hdf5 {

namespace {

constexpr std::uint64_t kMagic = 0x46547761'6C746962;  // "bitlawTF"
constexpr std::size_t kRangeWords = 2;
constexpr std::size_t kFooterWords = 4;
constexpr std::uint64_t kWord = sizeof(std::uint64_t);

// Of the bytes in `ranges`, then of the words of the seal in front of the checksum.
std::uint64_t checksum_of(const FileHandle& file, std::span<const ByteRange> ranges,
                          std::span<const std::uint64_t> words, const std::filesystem::path& path) {
  std::uint64_t hash = 0;
  std::vector<std::byte> buffer;
  for (const auto& [begin, end] : ranges) {
    buffer.resize(end - begin);
    read_fully(file, buffer, begin, path);
    hash = xxh64(buffer, hash);
  }
  return xxh64(std::as_bytes(words), hash);
}

[[noreturn]] void throw_no_seal(const std::filesystem::path& path, std::uint64_t size) {
  throw InputError(path.string() + " has no seal at its end (" + std::to_string(size) + " bytes)",
                   "it is truncated, or another program wrote it", "copy or make the file again");
}

[[noreturn]] void throw_damaged(const std::filesystem::path& path) {
  throw InputError(path.string() + " is damaged: the checksum of its names and attributes differs",
                   "names, shapes or attributes have changed since it was written",
                   "copy or make the file again");
}

std::vector<std::uint64_t> read_words(const FileHandle& file, std::uint64_t offset, std::uint64_t count,
                                      const std::filesystem::path& path) {
  std::vector<std::uint64_t> words(count);
  read_fully(file, std::as_writable_bytes(std::span(words)), offset, path);
  return words;
}

std::vector<ByteRange> ranges_in(std::span<const std::uint64_t> words, std::uint64_t hdf5_size,
                                 const std::filesystem::path& path) {
  std::vector<ByteRange> ranges;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < words.size(); i += kRangeWords) {
    if (words[i] < before || words[i] > words[i + 1] || words[i + 1] > hdf5_size) {
      throw_damaged(path);
    }
    before = words[i + 1];
    ranges.emplace_back(words[i], words[i + 1]);
  }
  return ranges;
}

}  // namespace

void write_seal(const FileHandle& file, const std::vector<ByteRange>& ranges, std::uint64_t hdf5_size,
                const std::filesystem::path& path) {
  std::vector<std::uint64_t> words;
  for (const auto& [begin, end] : ranges) {
    words.insert(words.end(), {begin, end});
  }
  words.insert(words.end(), {ranges.size(), hdf5_size});
  words.insert(words.end(), {checksum_of(file, ranges, words, path), kMagic});
  write_fully(file, std::as_bytes(std::span(words)), hdf5_size, path);
}

void check_seal(const FileHandle& file, const std::filesystem::path& path) {
  const std::uint64_t size = file_size(file, path);
  if (size < kFooterWords * kWord) {
    throw_no_seal(path, size);
  }
  const auto footer = read_words(file, size - kFooterWords * kWord, kFooterWords, path);
  if (footer[3] != kMagic) {
    throw_no_seal(path, size);
  }
  const std::uint64_t count = footer[0];
  const std::uint64_t hdf5_size = footer[1];
  if (hdf5_size > size || count > size || hdf5_size + (count * kRangeWords + kFooterWords) * kWord != size) {
    throw_damaged(path);
  }
  const auto words = read_words(file, hdf5_size, count * kRangeWords + 2, path);
  const auto ranges = ranges_in(std::span(words).first(count * kRangeWords), hdf5_size, path);
  if (checksum_of(file, ranges, words, path) != footer[2]) {
    throw_damaged(path);
  }
}

}  // namespace bitlaw::data::hdf5
