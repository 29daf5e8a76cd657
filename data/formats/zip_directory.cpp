// Reads the directory of a zip archive and compares it with what lies in the file.
//
// Field offsets are those of the published format (APPNOTE 6.3.9, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16).
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "data/formats/little_endian.h"
#include "data/formats/tensor_name.h"
#include "data/formats/zip_archive.h"

namespace bitlaw::data {

namespace {

constexpr std::uint32_t kLocalMark = 0x04034B50;
constexpr std::uint32_t kCentralMark = 0x02014B50;
constexpr std::uint32_t kEndMark = 0x06054B50;
constexpr std::uint32_t kEnd64Mark = 0x06064B50;
constexpr std::uint32_t kLocator64Mark = 0x07064B50;
constexpr std::uint64_t kLocalSize = 30;
constexpr std::uint64_t kCentralSize = 46;
constexpr std::uint64_t kEndSize = 22;
constexpr std::uint64_t kEnd64Size = 56;
constexpr std::uint64_t kLocatorSize = 20;
constexpr std::uint64_t kLongestComment = 65535;
constexpr std::uint64_t kLongestDescriptor = 24;  // mark, CRC, two sizes of 64 bits
constexpr std::uint16_t kEncrypted = 1;
constexpr std::uint16_t kHasDescriptor = 8;
constexpr std::uint16_t kZip64Field = 1;
constexpr std::uint32_t kIn64 = 0xFFFFFFFF;  // "see the zip64 field"

struct Extent {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct Directory {
  Extent extent;
  std::uint64_t entries = 0;
};

struct CentralEntry {
  std::string name;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t crc = 0;
  std::uint64_t packed_size = 0;
  std::uint64_t size = 0;
  std::uint64_t local = 0;  // offset of the local header
};

template <typename T>
T at(std::span<const std::byte> bytes, std::uint64_t offset) {
  return from_little_endian<T>(bytes.subspan(offset));
}

// Whether a local header tells what the directory tells.
bool is_header_of(const CentralEntry& entry, std::span<const std::byte> local) {
  const bool has_name = at<std::uint16_t>(local, 26) == entry.name.size() &&
                        std::equal(entry.name.begin(), entry.name.end(), local.begin() + kLocalSize,
                                   [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
  const auto local_size = at<std::uint32_t>(local, 22);
  const bool has_size = entry.method != 0 || local_size == entry.size || local_size == kIn64 ||
                        (local_size == 0 && (entry.flags & kHasDescriptor) != 0);
  const bool has_flags = ((at<std::uint16_t>(local, 6) ^ entry.flags) & kEncrypted) == 0;
  return at<std::uint32_t>(local, 0) == kLocalMark && has_name && has_size && has_flags &&
         at<std::uint16_t>(local, 8) == entry.method;
}

class DirectoryReader {
 public:
  DirectoryReader(const FileHandle& file, const std::filesystem::path& path)
      : file_(file), path_(path), size_(file_size(file, path)) {}

  std::map<std::string, ZipEntry> read();

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(path_.string() + ": " + what, "the archive is damaged, or no program wrote it as it is",
                     "get the file again from where it came");
  }
  std::vector<std::byte> bytes(std::uint64_t offset, std::uint64_t count) const {
    std::vector<std::byte> read(count);
    read_fully(file_, read, offset, path_);
    return read;
  }
  std::uint64_t find_end() const;
  Directory find_directory() const;
  std::optional<Directory> directory64(std::span<const std::byte> end_record, std::uint64_t end) const;
  CentralEntry central_entry(std::span<const std::byte> directory, std::uint64_t& position) const;
  void take_zip64(std::span<const std::byte> extra, CentralEntry& entry) const;
  Extent add(const CentralEntry& entry, std::uint64_t directory_begin);
  void check_places(std::vector<std::pair<Extent, std::string>>& places, std::uint64_t end) const;

  const FileHandle& file_;
  const std::filesystem::path& path_;
  const std::uint64_t size_;
  std::map<std::string, ZipEntry> entries_;
};

// The end record is the last of the file: its comment reaches the end.
std::uint64_t DirectoryReader::find_end() const {
  const std::uint64_t tail_size = std::min(size_, kEndSize + kLongestComment);
  const std::vector<std::byte> tail = bytes(size_ - tail_size, tail_size);
  for (std::uint64_t back = kEndSize; back <= tail_size; ++back) {
    const std::uint64_t offset = tail_size - back;
    if (at<std::uint32_t>(tail, offset) == kEndMark &&
        at<std::uint16_t>(tail, offset + 20) == back - kEndSize) {
      return size_ - back;
    }
  }
  fail("no end of a zip archive is found in " + std::to_string(size_) +
       " bytes: it is truncated or no such archive");
}

std::optional<Directory> DirectoryReader::directory64(std::span<const std::byte> end_record,
                                                      std::uint64_t end) const {
  if (end < kLocatorSize + kEnd64Size) {
    return std::nullopt;
  }
  const std::vector<std::byte> locator = bytes(end - kLocatorSize, kLocatorSize);
  if (at<std::uint32_t>(locator, 0) != kLocator64Mark) {
    return std::nullopt;
  }
  const auto record_at = at<std::uint64_t>(locator, 8);
  if (record_at != end - kLocatorSize - kEnd64Size) {
    fail("the zip64 end record is said to be at byte " + std::to_string(record_at));
  }
  const std::vector<std::byte> record = bytes(record_at, kEnd64Size);
  const auto count = at<std::uint64_t>(record, 32);
  const auto length = at<std::uint64_t>(record, 40);
  const auto begin = at<std::uint64_t>(record, 48);
  const auto agrees = [](std::uint64_t in32, std::uint64_t in64, std::uint64_t saturated) {
    return in32 == in64 || in32 == saturated;
  };
  const bool is_one_disk = at<std::uint32_t>(record, 16) == 0 && at<std::uint32_t>(record, 20) == 0 &&
                           at<std::uint64_t>(record, 24) == count;
  if (at<std::uint32_t>(record, 0) != kEnd64Mark || !is_one_disk ||
      !agrees(at<std::uint16_t>(end_record, 10), count, 0xFFFF) ||
      !agrees(at<std::uint32_t>(end_record, 12), length, kIn64) ||
      !agrees(at<std::uint32_t>(end_record, 16), begin, kIn64)) {
    fail("the end record and the zip64 end record do not tell the same");
  }
  if (begin > record_at || length != record_at - begin) {
    fail("the central directory is said to lie at byte " + std::to_string(begin) + ", " +
         std::to_string(length) + " bytes long, but ends at byte " + std::to_string(record_at));
  }
  return Directory{{begin, record_at}, count};
}

Directory DirectoryReader::find_directory() const {
  const std::uint64_t end = find_end();
  const std::vector<std::byte> record = bytes(end, kEndSize);
  if (at<std::uint16_t>(record, 4) != 0 || at<std::uint16_t>(record, 6) != 0 ||
      at<std::uint16_t>(record, 8) != at<std::uint16_t>(record, 10)) {
    fail("the archive is one of several parts");
  }
  if (const auto found = directory64(record, end)) {
    return *found;
  }
  const std::uint64_t length = at<std::uint32_t>(record, 12);
  const std::uint64_t begin = at<std::uint32_t>(record, 16);
  if (begin > end || length != end - begin) {
    fail("the central directory is said to lie at byte " + std::to_string(begin) + ", " +
         std::to_string(length) + " bytes long, but ends at byte " + std::to_string(end));
  }
  return {{begin, end}, at<std::uint16_t>(record, 10)};
}

void DirectoryReader::take_zip64(std::span<const std::byte> extra, CentralEntry& entry) const {
  while (extra.size() >= 4) {
    const auto id = at<std::uint16_t>(extra, 0);
    const auto length = at<std::uint16_t>(extra, 2);
    if (length > extra.size() - 4) {
      break;
    }
    std::span<const std::byte> field = extra.subspan(4, length);
    if (id == kZip64Field) {
      for (std::uint64_t* value : {&entry.size, &entry.packed_size, &entry.local}) {
        if (*value == kIn64 && field.size() >= 8) {
          *value = at<std::uint64_t>(field, 0);
          field = field.subspan(8);
        }
      }
      return;
    }
    extra = extra.subspan(4U + length);
  }
}

CentralEntry DirectoryReader::central_entry(std::span<const std::byte> directory,
                                            std::uint64_t& position) const {
  const std::span<const std::byte> rest = directory.subspan(position);
  if (rest.size() < kCentralSize || at<std::uint32_t>(rest, 0) != kCentralMark) {
    fail("the central directory is damaged at its byte " + std::to_string(position));
  }
  const std::uint64_t name_size = at<std::uint16_t>(rest, 28);
  const std::uint64_t extra_size = at<std::uint16_t>(rest, 30);
  const std::uint64_t whole = kCentralSize + name_size + extra_size + at<std::uint16_t>(rest, 32);
  if (whole > rest.size()) {
    fail("the central directory ends inside the entry at its byte " + std::to_string(position));
  }
  CentralEntry entry;
  for (const std::byte byte : rest.subspan(kCentralSize, name_size)) {
    entry.name.push_back(static_cast<char>(byte));
  }
  entry.flags = at<std::uint16_t>(rest, 8);
  entry.method = at<std::uint16_t>(rest, 10);
  entry.crc = at<std::uint32_t>(rest, 16);
  entry.packed_size = at<std::uint32_t>(rest, 20);
  entry.size = at<std::uint32_t>(rest, 24);
  entry.local = at<std::uint32_t>(rest, 42);
  take_zip64(rest.subspan(kCentralSize + name_size, extra_size), entry);
  position += whole;
  return entry;
}

// Checks an entry against its local header; the bytes of the file that both take.
Extent DirectoryReader::add(const CentralEntry& entry, std::uint64_t directory_begin) {
  const std::string shown = "entry '" + printable(entry.name) + "'";
  if (const std::string problem = name_problem(entry.name); !problem.empty()) {
    fail("the name of " + shown + " " + problem);
  }
  const bool is_stored = (entry.flags & kEncrypted) == 0 && entry.method == 0;
  if (is_stored && entry.size != entry.packed_size) {
    fail(shown + " is stored as it is, but has two sizes");
  }
  const std::uint64_t fixed = kLocalSize + entry.name.size();
  if (entry.local > directory_begin || fixed > directory_begin - entry.local) {
    fail(shown + " is said to lie at byte " + std::to_string(entry.local) +
         ", inside or behind the directory");
  }
  const std::vector<std::byte> local = bytes(entry.local, fixed);
  if (!is_header_of(entry, local)) {
    fail(shown + " has a local header that tells something else than the directory");
  }
  const std::uint64_t begin = entry.local + fixed + at<std::uint16_t>(local, 28);
  if (begin > directory_begin || entry.packed_size > directory_begin - begin) {
    fail(shown + " has " + std::to_string(entry.packed_size) + " bytes from byte " + std::to_string(begin) +
         " on, inside or behind the directory");
  }
  if (!entries_.emplace(entry.name, ZipEntry{begin, entry.size, entry.crc, is_stored}).second) {
    fail(shown + " is there twice");
  }
  return {entry.local, begin + entry.packed_size};
}

void DirectoryReader::check_places(std::vector<std::pair<Extent, std::string>>& places,
                                   std::uint64_t end) const {
  places.push_back({{end, end}, "the central directory"});
  std::sort(places.begin(), places.end(),
            [](const auto& a, const auto& b) { return a.first.begin < b.first.begin; });
  std::uint64_t before = 0;
  for (const auto& [extent, name] : places) {
    if (extent.begin < before || extent.begin - before > kLongestDescriptor) {
      fail("'" + printable(name) + "' begins at byte " + std::to_string(extent.begin) +
           ", what lies before it ends at " + std::to_string(before) +
           (extent.begin < before ? ": they overlap" : ": there is a hole"));
    }
    before = extent.end;
  }
}

std::map<std::string, ZipEntry> DirectoryReader::read() {
  const auto [place, count] = find_directory();
  if (place.end - place.begin > kLargestZipDirectory) {
    fail("the central directory has " + std::to_string(place.end - place.begin) + " bytes, " +
         std::to_string(kLargestZipDirectory) + " are the most");
  }
  const std::vector<std::byte> directory = bytes(place.begin, place.end - place.begin);
  std::vector<std::pair<Extent, std::string>> places;
  for (std::uint64_t position = 0; position < directory.size();) {
    const CentralEntry entry = central_entry(directory, position);
    places.emplace_back(add(entry, place.begin), entry.name);
  }
  if (places.size() != count) {
    fail("the central directory has " + std::to_string(places.size()) + " entries, the end record tells " +
         std::to_string(count));
  }
  check_places(places, place.begin);
  return std::move(entries_);
}

}  // namespace

std::map<std::string, ZipEntry> read_zip_directory(const FileHandle& file,
                                                   const std::filesystem::path& path) {
  return DirectoryReader(file, path).read();
}

}  // namespace bitlaw::data
