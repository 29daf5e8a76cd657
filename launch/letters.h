// The 5 x 7 pixel letters of picture labels. Torch-free.
#pragma once

#include <array>
#include <cstdint>

namespace bitlaw::launch {

inline constexpr std::int64_t kLetterWidth = 5;
inline constexpr std::int64_t kLetterHeight = 7;

// Five columns from the left; bit 0 of a column is the top row. Characters outside ' '..'~' look like '?'.
const std::array<std::uint8_t, 5>& letter(char character);

}  // namespace bitlaw::launch
