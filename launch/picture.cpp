#include "launch/picture.h"

#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <stdexcept>

#include "data/formats/file_io.h"
#include "launch/letters.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kGap = 2;            // pixels between images
constexpr std::int64_t kMargin = 4;         // around everything
constexpr std::int64_t kSmallestSide = 48;  // of an image as drawn
constexpr std::int64_t kLabelScale = 2;
constexpr std::int64_t kLabelHeight = (kLetterHeight + 3) * kLabelScale;
constexpr std::int64_t kLetterStep = kLetterWidth + 1;

std::uint8_t to_byte(float value) {
  return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 1.0F) * 255.0F));
}

void append_big_endian(std::string& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes += static_cast<char>(value >> shift & 0xFF);
  }
}

// A PNG chunk: length, name, payload, checksum over name and payload.
std::string text_chunk(const std::string& key, const std::string& value) {
  const std::string body = "tEXt" + key + '\0' + value;
  std::string chunk;
  append_big_endian(chunk, static_cast<std::uint32_t>(body.size() - 4));
  chunk += body;
  append_big_endian(chunk, static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(body.data()),
                                                            static_cast<uInt>(body.size()))));
  return chunk;
}

std::string encode_png(const Picture& picture) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width());
  image.height = static_cast<png_uint_32>(picture.height());
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, picture.pixel(0, 0), 0, nullptr) == 0) {
    throw std::runtime_error(std::string("libpng: ") + image.message);
  }
  bytes.resize(size);
  return bytes;
}

std::int64_t enlargement(std::int64_t side) {
  return std::max<std::int64_t>(1, (kSmallestSide + side - 1) / side);
}

void draw_image(Picture& picture, const PictureBlock& block, std::int64_t index, std::int64_t left,
                std::int64_t top) {
  const std::int64_t factor = enlargement(block.side);
  const std::int64_t plane = block.side * block.side;
  const float* image = block.pixels.data() + index * block.channels * plane;
  const std::int64_t second = block.channels == 3 ? plane : 0;  // one channel is grey
  for (std::int64_t y = 0; y < block.side * factor; ++y) {
    for (std::int64_t x = 0; x < block.side * factor; ++x) {
      const float* at = image + (y / factor) * block.side + x / factor;
      picture.set(left + x, top + y, to_byte(at[0]), to_byte(at[second]), to_byte(at[2 * second]));
    }
  }
}

}  // namespace

Picture::Picture(std::int64_t width, std::int64_t height)
    : width_(width), height_(height), rgb_(static_cast<std::size_t>(width * height * 3), 255) {}

const std::uint8_t* Picture::pixel(std::int64_t x, std::int64_t y) const {
  return rgb_.data() + (y * width_ + x) * 3;
}

void Picture::set(std::int64_t x, std::int64_t y, std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
  if (x < 0 || y < 0 || x >= width_ || y >= height_) {
    return;
  }
  std::uint8_t* at = rgb_.data() + (y * width_ + x) * 3;
  at[0] = red;
  at[1] = green;
  at[2] = blue;
}

void Picture::write(std::string_view text, std::int64_t left, std::int64_t top, std::int64_t scale) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto& columns = letter(text[i]);
    const std::int64_t start = left + static_cast<std::int64_t>(i) * kLetterStep * scale;
    for (std::int64_t y = 0; y < kLetterHeight * scale; ++y) {
      for (std::int64_t x = 0; x < kLetterWidth * scale; ++x) {
        if ((columns[static_cast<std::size_t>(x / scale)] >> (y / scale) & 1) != 0) {
          set(start + x, top + y, 0, 0, 0);
        }
      }
    }
  }
}

void Picture::save(const fs::path& path, const std::map<std::string, std::string>& texts) const {
  constexpr std::size_t kHeaderBytes = 8 + 25;  // signature and IHDR, which stands first
  std::string bytes = encode_png(*this);
  for (const auto& [key, value] : texts) {
    bytes.insert(kHeaderBytes, text_chunk(key, value));
  }
  data::write_file(path, std::as_bytes(std::span(bytes)));
}

Picture draw_blocks(const std::vector<PictureBlock>& blocks, std::int64_t columns) {
  std::int64_t width = 0;
  std::int64_t height = kMargin;
  const auto cell = [](const PictureBlock& block) { return block.side * enlargement(block.side) + kGap; };
  const auto rows = [&](const PictureBlock& block) { return (block.count + columns - 1) / columns; };
  for (const PictureBlock& block : blocks) {
    const auto letters = static_cast<std::int64_t>(block.label.size());
    width = std::max({width, columns * cell(block), letters * kLetterStep * kLabelScale});
    height += kLabelHeight + rows(block) * cell(block) + kMargin;
  }
  Picture picture(width + 2 * kMargin, height);
  std::int64_t top = kMargin;
  for (const PictureBlock& block : blocks) {
    picture.write(block.label, kMargin, top, kLabelScale);
    top += kLabelHeight;
    for (std::int64_t i = 0; i < block.count; ++i) {
      draw_image(picture, block, i, kMargin + i % columns * cell(block), top + i / columns * cell(block));
    }
    top += rows(block) * cell(block) + kMargin;
  }
  return picture;
}

}  // namespace bitlaw::launch
