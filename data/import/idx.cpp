#include "data/import/idx.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "data/formats/input_error.h"

namespace bitlaw::data {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 40;
constexpr std::size_t kChunk = std::size_t{1} << 20;

InputError bad_idx(const std::filesystem::path& path, const std::string& what) {
  return InputError("IDX file " + path.string() + " " + what, "its samples cannot be told",
                    "fetch the file again");
}

// zlib's reader takes plain files as well as gzip.
class ByteStream {
 public:
  explicit ByteStream(const std::filesystem::path& path) : path_(path), file_(::gzopen(path.c_str(), "rb")) {
    if (!file_) {
      throw InputError("IDX file " + path.string() + " cannot be opened", "samples come from it",
                       "check the path and the permissions");
    }
    ::gzbuffer(file_.get(), 1U << 17);
  }

  // Fewer bytes than wanted at the end of the file only.
  std::size_t read(std::uint8_t* into, std::size_t wanted) {
    const int got = ::gzread(file_.get(), into, static_cast<unsigned>(wanted));
    int code = Z_OK;
    const char* message = ::gzerror(file_.get(), &code);
    if (got < 0 || (code != Z_OK && code != Z_STREAM_END)) {
      throw bad_idx(path_, std::string(code == Z_BUF_ERROR ? "is truncated" : "is damaged") + " (" + message +
                               ", after " + std::to_string(::gztell(file_.get())) + " uncompressed bytes)");
    }
    return static_cast<std::size_t>(got);
  }

 private:
  struct Close {
    void operator()(gzFile_s* file) const { ::gzclose(file); }
  };
  const std::filesystem::path& path_;
  std::unique_ptr<gzFile_s, Close> file_;
};

std::vector<std::int64_t> read_shape(ByteStream& stream, const std::filesystem::path& path) {
  std::array<std::uint8_t, 4> magic{};
  if (stream.read(magic.data(), magic.size()) < magic.size() || magic[0] != 0 || magic[1] != 0) {
    throw bad_idx(path, "does not begin like IDX");
  }
  if (magic[2] != 0x08) throw bad_idx(path, "holds type " + std::to_string(magic[2]) + ", not uint8 (8)");
  if (magic[3] < 1 || magic[3] > 4) {
    throw bad_idx(path, "has " + std::to_string(magic[3]) + " dimensions");
  }
  std::vector<std::int64_t> shape;
  std::int64_t count = 1;
  for (int i = 0; i < magic[3]; ++i) {
    std::array<std::uint8_t, 4> bytes{};
    if (stream.read(bytes.data(), bytes.size()) < bytes.size()) throw bad_idx(path, "ends in its header");
    const std::int64_t side = std::int64_t{bytes[0]} << 24 | std::int64_t{bytes[1]} << 16 |
                              std::int64_t{bytes[2]} << 8 | std::int64_t{bytes[3]};
    if (side > kMostBytes / count) throw bad_idx(path, "claims an impossible size");
    count *= std::max<std::int64_t>(side, 1);  // an empty array is none too large
    shape.push_back(side);
  }
  return shape;
}

}  // namespace

IdxArray read_idx(const std::filesystem::path& path) {
  ByteStream stream(path);
  IdxArray array;
  array.shape = read_shape(stream, path);
  std::size_t wanted = 1;
  for (const std::int64_t side : array.shape) wanted *= static_cast<std::size_t>(side);
  while (array.values.size() < wanted) {
    const std::size_t have = array.values.size();
    const std::size_t chunk = std::min(kChunk, wanted - have);
    array.values.resize(have + chunk);
    const std::size_t got = stream.read(array.values.data() + have, chunk);
    if (got < chunk) {
      throw bad_idx(path, "is truncated (" + std::to_string(have + got) + " of " + std::to_string(wanted) +
                              " bytes of samples)");
    }
  }
  std::uint8_t beyond = 0;  // reading past the end also makes zlib check the checksum of the gzip file
  if (stream.read(&beyond, 1) != 0) throw bad_idx(path, "has bytes after its last sample");
  return array;
}

}  // namespace bitlaw::data
