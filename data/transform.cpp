#include "data/transform.h"

#include <algorithm>
#include <vector>

#include "data/seed.h"

namespace bitlaw::data {
namespace {

constexpr float kBlack = -1.0F;

// Uniform in [-padding, padding] by multiply-and-shift.
std::int64_t shift_from(std::uint32_t word, std::int64_t padding) {
  const auto places = static_cast<std::uint64_t>(2 * padding + 1);
  return static_cast<std::int64_t>((word * places) >> 32) - padding;
}

// out[x] = row[x + shift], black outside.
void shift_row(std::span<const float> row, std::int64_t shift, std::span<float> out) {
  const auto width = static_cast<std::int64_t>(row.size());
  const std::int64_t begin = std::clamp<std::int64_t>(-shift, 0, width);
  const std::int64_t end = std::clamp<std::int64_t>(width - shift, 0, width);
  std::fill(out.begin(), out.end(), kBlack);
  if (begin < end) std::copy(row.begin() + begin + shift, row.begin() + end + shift, out.begin() + begin);
}

}  // namespace

Augmentation draw_augmentation(const AugmentOptions& options, std::int64_t sample_id) {
  const auto words = philox({options.seed, Purpose::augment, 0, static_cast<std::uint64_t>(sample_id)}, 0);
  return {options.flip && (words[0] & 1U) != 0, shift_from(words[1], options.crop_padding),
          shift_from(words[2], options.crop_padding)};
}

void augment(std::span<float> image, std::int64_t channels, std::int64_t height, std::int64_t width,
             const Augmentation& augmentation) {
  const auto row_size = static_cast<std::size_t>(width);
  const bool shifted = augmentation.shift_y != 0 || augmentation.shift_x != 0;
  const std::vector<float> source =
      shifted ? std::vector<float>(image.begin(), image.end()) : std::vector<float>();
  for (std::int64_t row = 0; row < channels * height; ++row) {
    const std::span<float> out = image.subspan(static_cast<std::size_t>(row) * row_size, row_size);
    if (shifted) {
      const std::int64_t y = row % height + augmentation.shift_y;
      if (y < 0 || y >= height) {
        std::fill(out.begin(), out.end(), kBlack);
      } else {
        const auto from = static_cast<std::size_t>(row + augmentation.shift_y) * row_size;
        shift_row(std::span(source).subspan(from, row_size), augmentation.shift_x, out);
      }
    }
    if (augmentation.mirrored) std::reverse(out.begin(), out.end());
  }
}

}  // namespace bitlaw::data
