// One decoded picture, and what an import does to it. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bitlaw::data {

struct Image {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;         // 1 or 3
  std::vector<std::uint8_t> pixels;  // [height, width, channels]

  std::size_t row_bytes() const { return static_cast<std::size_t>(width * channels); }
};

// Larger pictures are refused before memory is taken for them.
constexpr std::int64_t kMostPixels = 100'000'000;

// PNG or JPEG, told by their first bytes, whatever the file is called. Grey stays one channel. A picture with
// transparency is put on white; 16 bits become 8; CMYK becomes RGB; an EXIF rotation is not applied.
// InputError naming `origin`: neither, damaged, truncated, too large.
Image decode_image(std::span<const std::byte> bytes, const std::string& origin);
Image decode_png(std::span<const std::byte> bytes, const std::string& origin);
Image decode_jpeg(std::span<const std::byte> bytes, const std::string& origin);

// 3 -> 1 by the luma weights 0.299, 0.587, 0.114 (rounded); 1 -> 3 by repetition.
Image with_channels(const Image& image, std::int64_t channels);

// Short side to `size`, then the centre square: size x size. Bilinear (triangle) filter whose support grows
// with the reduction (antialias), float32 inside, rounded once.
Image resize_and_crop(const Image& image, std::int64_t size);

// Black border up to size x size, the image in the centre (an odd rest goes to the bottom and right).
Image pad_to(const Image& image, std::int64_t size);

// [height, width, channels] -> [channels, height, width], as shards store it.
void to_planes(const Image& image, std::span<std::byte> planes);

}  // namespace bitlaw::data
