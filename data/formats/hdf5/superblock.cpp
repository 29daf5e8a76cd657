// The first bytes of an HDF5 file, read without HDF5.
//
// signature[8] version[1], then for versions 0 and 1 the end-of-file address (8 bytes) at byte 40 or 44, for
// versions 2 and 3 at byte 28; addresses are 8 bytes long, as byte 13 or byte 9 says.
#include "data/formats/hdf5/superblock.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace bitlaw::data::hdf5 {

namespace {

constexpr std::array<unsigned char, 8> kSignature = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
constexpr std::size_t kHeader = 56;  // as much as any version needs

[[noreturn]] void throw_truncated(const std::filesystem::path& path, std::uint64_t size,
                                  std::uint64_t wanted) {
  throw InputError(
      path.string() + " is truncated (" + std::to_string(size) + " of " + std::to_string(wanted) + " bytes)",
      "its end is missing", "copy or make the file again");
}

}  // namespace

void check_superblock(const FileHandle& file, const std::filesystem::path& path) {
  std::array<unsigned char, kHeader> header{};
  const std::uint64_t size = file_size(file, path);
  const std::uint64_t there = std::min<std::uint64_t>(size, kHeader);
  read_fully(file, std::as_writable_bytes(std::span(header)).first(there), 0, path);
  if (there < kSignature.size() || !std::equal(kSignature.begin(), kSignature.end(), header.begin())) {
    throw InputError(
        path.string() + " is not an HDF5 file (" + std::to_string(size) + " bytes, without HDF5's signature)",
        "tensors lie in HDF5 files", "check the path, or make the file again");
  }
  if (there < kHeader) {
    throw_truncated(path, size, kHeader);
  }
  const unsigned version = header[8];
  const bool old = version < 2;
  const unsigned address_bytes = old ? header[13] : header[9];
  if (version > 3 || address_bytes != sizeof(std::uint64_t)) {
    return;  // HDF5 itself says what is wrong
  }
  std::uint64_t end = 0;
  std::memcpy(&end, header.data() + (old ? (version == 0 ? 40 : 44) : 28), sizeof(end));
  if (size < end) {
    throw_truncated(path, size, end);
  }
}

}  // namespace bitlaw::data::hdf5
