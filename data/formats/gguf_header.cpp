#include "data/formats/gguf_header.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "data/formats/input_error.h"
#include "data/formats/little_endian.h"
#include "data/formats/tensor_name.h"

namespace bitlaw::data {

namespace {

constexpr std::uint32_t kVersion = 3;
constexpr std::size_t kBufferSize = std::size_t{1} << 16;
constexpr std::uint64_t kFewestArrayBytes = 12;  // element type and count

// Reads the header from front to back, by name of what is being read.
class Parser {
 public:
  Parser(const FileHandle& file, const std::filesystem::path& path)
      : file_(file), path_(path), size_(file_size(file, path)), end_(std::min(size_, kLargestGgufHeader)) {}

  ParsedGgufHeader parse();

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(path_.string() + ": " + what, "the header says where each tensor lies",
                     "get the file again from where it came, or write it with another program");
  }

  void take(std::span<std::byte> into);
  template <typename T>
  T number() {
    std::array<std::byte, sizeof(T)> bytes{};
    take(bytes);
    return from_little_endian<T>(bytes);
  }
  template <typename T>
  T read(int depth);
  template <typename T>
  std::vector<T> read_elements(std::uint64_t count, int depth);
  GgufArray read_array(int depth);
  template <std::size_t... index>
  GgufValue read_value(std::uint32_t type, std::index_sequence<index...>);
  std::string name(const std::string& what);

  void read_magic();
  void read_key_value(GgufHeader& header);
  void read_info(GgufHeader& header);

  const FileHandle& file_;
  const std::filesystem::path& path_;
  const std::uint64_t size_;  // of the file
  const std::uint64_t end_;   // of what the header may take
  std::uint64_t position_ = 0;
  std::vector<std::byte> buffer_;
  std::uint64_t buffer_begin_ = 0;  // in the file
  std::string subject_ = "the header";
  std::set<std::string> names_;
  std::uint64_t objects_ = 0;  // in arrays
};

void Parser::take(std::span<std::byte> into) {
  if (into.size() > end_ - position_) {
    const bool is_cut = end_ == size_;
    throw InputError(path_.string() + ": " + subject_ + " needs " + std::to_string(into.size()) +
                         " bytes at byte " + std::to_string(position_) + " of " + std::to_string(end_),
                     is_cut ? "the file is truncated or its header is wrong" : "a header is not larger",
                     "get the file again from where it came");
  }
  while (!into.empty()) {
    if (position_ < buffer_begin_ || position_ >= buffer_begin_ + buffer_.size()) {
      buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBufferSize, end_ - position_)));
      read_fully(file_, buffer_, position_, path_);
      buffer_begin_ = position_;
    }
    const std::span<const std::byte> there = std::span(buffer_).subspan(position_ - buffer_begin_);
    const std::size_t count = std::min(into.size(), there.size());
    std::copy_n(there.begin(), count, into.begin());
    into = into.subspan(count);
    position_ += count;
  }
}

template <typename T>
T Parser::read(int depth) {
  if constexpr (std::is_same_v<T, GgufArray>) {
    return read_array(depth + 1);
  } else if constexpr (std::is_same_v<T, std::string>) {
    const auto length = number<std::uint64_t>();
    if (length > end_ - position_) {
      fail(subject_ + " has a text of " + std::to_string(length) + " bytes, " +
           std::to_string(end_ - position_) + " are left");
    }
    std::string text(length, '\0');
    take(std::as_writable_bytes(std::span(text)));
    return text;
  } else if constexpr (std::is_same_v<T, bool>) {
    const auto byte = number<std::uint8_t>();
    if (byte > 1) {
      fail(subject_ + " has the truth value " + std::to_string(byte));
    }
    return byte == 1;
  } else {
    return number<T>();
  }
}

template <typename T>
std::vector<T> Parser::read_elements(std::uint64_t count, int depth) {
  const std::uint64_t fewest = std::is_same_v<T, GgufArray>     ? kFewestArrayBytes
                               : std::is_same_v<T, std::string> ? sizeof(std::uint64_t)
                                                                : sizeof(T);
  if (count > (end_ - position_) / fewest) {
    fail(subject_ + " is an array of " + std::to_string(count) + " elements, " +
         std::to_string(end_ - position_) + " bytes are left");
  }
  if constexpr (std::is_same_v<T, GgufArray> || std::is_same_v<T, std::string>) {
    objects_ += count;
    if (objects_ > kMostGgufObjects) {
      fail(subject_ + " is an array of " + std::to_string(count) + " texts or arrays; a header has at most " +
           std::to_string(kMostGgufObjects));
    }
  }
  std::vector<T> elements;
  elements.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    elements.push_back(read<T>(depth));
  }
  return elements;
}

template <typename Element>
struct ElementOf;
template <typename T>
struct ElementOf<std::vector<T>> {
  using Type = T;
};

GgufArray Parser::read_array(int depth) {
  using Elements = decltype(GgufArray::elements);
  if (depth > kDeepestGgufArray) {
    fail(subject_ + " has arrays in arrays, more than " + std::to_string(kDeepestGgufArray) + " levels");
  }
  const auto type = number<std::uint32_t>();
  const auto count = number<std::uint64_t>();
  GgufArray array;
  const auto read_one = [&]<std::size_t index>() {
    using T = typename ElementOf<std::variant_alternative_t<index, Elements>>::Type;
    if (type == index) {
      array.elements = read_elements<T>(count, depth);
    }
  };
  if (type >= std::variant_size_v<Elements>) {
    fail(subject_ + " is an array of the unknown type " + std::to_string(type));
  }
  [&]<std::size_t... index>(std::index_sequence<index...>) {
    (read_one.template operator()<index>(), ...);
  }
  (std::make_index_sequence<std::variant_size_v<Elements>>());
  return array;
}

template <std::size_t... index>
GgufValue Parser::read_value(std::uint32_t type, std::index_sequence<index...>) {
  GgufValue value;
  if (type >= sizeof...(index)) {
    fail(subject_ + " has the unknown type " + std::to_string(type));
  }
  const auto read_one = [&]<std::size_t i>() {
    if (type == i) {
      value.emplace<i>(read<std::variant_alternative_t<i, GgufValue>>(0));
    }
  };
  (read_one.template operator()<index>(), ...);
  return value;
}

std::string Parser::name(const std::string& what) {
  subject_ = "the name of a " + what;
  std::string text = read<std::string>(0);
  if (const std::string problem = name_problem(text); !problem.empty()) {
    fail("the name '" + printable(text) + "' of a " + what + " " + problem);
  }
  subject_ = what + " '" + printable(text) + "'";
  if (!names_.insert(text).second) {
    fail(subject_ + " is there twice");
  }
  return text;
}

void Parser::read_magic() {
  std::array<std::byte, 4> magic{};
  take(magic);
  if (from_little_endian<std::uint32_t>(magic) != 0x46554747U) {  // "GGUF"
    throw InputError(path_.string() + " does not begin with GGUF", "that is how files of this format begin",
                     "name a GGUF file");
  }
  const auto version = number<std::uint32_t>();
  if (version != kVersion) {
    const bool is_swapped = (version & 0xFFFFU) == 0;
    throw InputError(path_.string() + ": version " + std::to_string(version) + " of GGUF" +
                         (is_swapped ? ", big-endian" : ""),
                     "this program reads version 3, little-endian",
                     "convert the file to version 3 with another program");
  }
}

void Parser::read_key_value(GgufHeader& header) {
  std::string key = name("key");
  const auto type = number<std::uint32_t>();
  GgufValue value = read_value(type, std::make_index_sequence<std::variant_size_v<GgufValue>>());
  header.values.emplace_back(std::move(key), std::move(value));
}

void Parser::read_info(GgufHeader& header) {
  GgufTensorInfo info;
  info.name = name("tensor");
  const auto dimensions = number<std::uint32_t>();
  if (dimensions < 1 || dimensions > 4) {
    fail(subject_ + " has " + std::to_string(dimensions) + " dimensions instead of 1 to 4");
  }
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    info.dims.push_back(number<std::uint64_t>());
  }
  const auto type = number<std::uint32_t>();
  const GgmlTypeFacts* facts = find_ggml_type(type);
  if (facts == nullptr) {
    fail(subject_ + " has the unknown ggml type " + std::to_string(type));
  }
  info.type = facts->type;
  info.offset = number<std::uint64_t>();
  const auto bytes = ggml_byte_count(info.type, info.dims);
  if (!bytes) {
    fail(subject_ + " has rows of " + std::to_string(info.dims[0]) + " elements, no whole blocks of " +
         std::string(facts->name) + ", or more elements than any file");
  }
  info.bytes = *bytes;
  header.tensors.push_back(std::move(info));
}

ParsedGgufHeader Parser::parse() {
  read_magic();
  const auto tensors = number<std::uint64_t>();
  const auto values = number<std::uint64_t>();
  if (tensors > kMostGgufNames || values > kMostGgufNames) {
    fail("the header has " + std::to_string(tensors) + " tensors and " + std::to_string(values) +
         " keys, at most " + std::to_string(kMostGgufNames) + " of each are read");
  }
  ParsedGgufHeader parsed;
  for (std::uint64_t i = 0; i < values; ++i) {
    read_key_value(parsed.header);
  }
  names_.clear();
  for (std::uint64_t i = 0; i < tensors; ++i) {
    read_info(parsed.header);
  }
  const std::uint64_t alignment =
      gguf_alignment(parsed.header, [this](const std::string& problem) { fail(problem); });
  parsed.data_begin = aligned(position_, alignment);
  const std::uint64_t data_bytes = size_ > parsed.data_begin ? size_ - parsed.data_begin : 0;
  check_gguf_places(parsed.header, data_bytes, alignment, path_.string());
  return parsed;
}

}  // namespace

ParsedGgufHeader parse_gguf_header(const FileHandle& file, const std::filesystem::path& path) {
  return Parser(file, path).parse();
}

}  // namespace bitlaw::data
