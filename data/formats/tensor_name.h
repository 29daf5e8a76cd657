// Names of tensors that come from a file of somebody else: they end up in messages, in paths of HDF5 groups
// and in other files. Torch-free.
#pragma once

#include <string>
#include <string_view>

namespace bitlaw::data {

inline constexpr std::size_t kLongestTensorName = 4096;  // bytes

bool is_utf8(std::string_view text);  // well-formed, shortest encodings, no surrogates

// What is wrong with the name, for a message; "" when nothing is. Wrong are: no character, more than
// kLongestTensorName bytes, not UTF-8, control characters (NUL among them), a path that is absolute or has a
// part "." or "..".
std::string name_problem(std::string_view name);

inline constexpr std::size_t kLongestShown = 80;  // bytes

// `text` fit for a message: control characters (C1, which some terminals obey, among them) and what is not
// UTF-8 as \xNN, cut after `most` bytes.
std::string printable(std::string_view text, std::size_t most = kLongestShown);

}  // namespace bitlaw::data
