// PNG and JPEG files for tests of the import.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "data/import/image.h"

namespace bitlaw::test {

// A picture whose every pixel differs from its neighbours, smooth enough for JPEG.
data::Image gradient(std::int64_t height, std::int64_t width, std::int64_t channels);

std::string png_bytes(const data::Image& image);
std::string png_bytes_with_alpha(const data::Image& rgb, std::uint8_t alpha);
std::string png_bytes_16_bit(const data::Image& grey);  // value * 257
std::string jpeg_bytes(const data::Image& image, int quality = 98);
// Four inks. libjpeg writes the marker of Adobe with them, so they are read as inverted.
std::string jpeg_bytes_cmyk(std::int64_t height, std::int64_t width, const std::uint8_t (&inks)[4]);

void write_bytes(const std::filesystem::path& path, const std::string& bytes);  // makes the folder

}  // namespace bitlaw::test
