#include "data/formats/tensor_name.h"

#include <array>
#include <cstdint>

namespace bitlaw::data {

namespace {

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
}

// U+0080 ... U+009F in UTF-8.
bool is_c1(std::string_view text) {
  return text.size() > 1 && text[0] == '\xC2' && static_cast<unsigned char>(text[1]) < 0xA0;
}

// Bytes of the UTF-8 character that begins at `at`; 0 when there is none (RFC 3629).
std::size_t character_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (length == 0 || first > 0xF4 || length > text.size() - at) {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) {
      return 0;
    }
  }
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool surrogate = first == 0xED && byte(1) >= 0xA0;
  const bool beyond = first == 0xF4 && byte(1) >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

bool has_dot_part(std::string_view name) {
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find_first_of("/\\", begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part == "." || part == "..") {
      return true;
    }
    begin = end + 1;
  }
  return false;
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = character_length(text, at);
    if (length == 0) {
      return false;
    }
    at += length;
  }
  return true;
}

std::string name_problem(std::string_view name) {
  if (name.empty()) {
    return "is empty";
  }
  if (name.size() > kLongestTensorName) {
    return "has " + std::to_string(name.size()) + " bytes, " + std::to_string(kLongestTensorName) +
           " are the most";
  }
  for (const char c : name) {
    if (is_control(c)) {
      return "has a control character";
    }
  }
  if (!is_utf8(name)) {
    return "is not UTF-8";
  }
  if (name.front() == '/' || name.front() == '\\') {
    return "is an absolute path";
  }
  return has_dot_part(name) ? "has a part '.' or '..'" : "";
}

std::string printable(std::string_view text, std::size_t most) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string shown;
  for (std::size_t at = 0; at < text.size();) {
    if (shown.size() >= most) {
      return shown + "...";
    }
    const std::size_t length =
        is_control(text[at]) || is_c1(text.substr(at)) ? 0 : character_length(text, at);
    if (length == 0) {
      const auto value = static_cast<unsigned char>(text[at]);
      shown.append("\\x").append(1, kDigits[value >> 4U]).append(1, kDigits[value & 15U]);
    } else {
      shown.append(text.substr(at, length));
    }
    at += length == 0 ? 1 : length;
  }
  return shown;
}

}  // namespace bitlaw::data
