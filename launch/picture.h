// PNG pictures of samples: blocks of images side by side, one labelled block per model. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bitlaw::launch {

// 8-bit RGB, rows from the top.
class Picture {
 public:
  Picture(std::int64_t width, std::int64_t height);  // white

  std::int64_t width() const { return width_; }
  std::int64_t height() const { return height_; }
  const std::uint8_t* pixel(std::int64_t x, std::int64_t y) const;
  void set(std::int64_t x, std::int64_t y, std::uint8_t red, std::uint8_t green, std::uint8_t blue);
  // Black letters, 5 x 7 pixels each, times `scale`; what does not fit is cut off.
  void write(std::string_view text, std::int64_t left, std::int64_t top, std::int64_t scale);
  // `texts` become tEXt chunks. InputError when the file cannot be written; nothing is left then.
  void save(const std::filesystem::path& path, const std::map<std::string, std::string>& texts) const;

 private:
  std::int64_t width_;
  std::int64_t height_;
  std::vector<std::uint8_t> rgb_;
};

// Images of one model. pixels: float in [0, 1], [count, channels, side, side], channels 1 or 3.
struct PictureBlock {
  std::string label;
  std::vector<float> pixels;
  std::int64_t count = 0;
  std::int64_t channels = 1;
  std::int64_t side = 0;
};

// Blocks below each other, each under its label: image i of every block stands in the same column. `columns`
// images a row; small images are enlarged by whole factors to at least 48 pixels.
Picture draw_blocks(const std::vector<PictureBlock>& blocks, std::int64_t columns);

}  // namespace bitlaw::launch
