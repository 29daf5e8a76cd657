#include "tests/support/picture_files.h"

#include <png.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <vector>

#include <jpeglib.h>

namespace bitlaw::test {
namespace {

std::string png_of(png_uint_32 format, std::int64_t height, std::int64_t width, const void* pixels) {
  png_image control{};
  control.version = PNG_IMAGE_VERSION;
  control.height = static_cast<png_uint_32>(height);
  control.width = static_cast<png_uint_32>(width);
  control.format = format;
  png_alloc_size_t size = 0;
  if (png_image_write_to_memory(&control, nullptr, &size, 0, pixels, 0, nullptr) == 0) {
    throw std::runtime_error(control.message);
  }
  std::string bytes(size, '\0');
  if (png_image_write_to_memory(&control, bytes.data(), &size, 0, pixels, 0, nullptr) == 0) {
    throw std::runtime_error(control.message);
  }
  bytes.resize(size);
  return bytes;
}

struct JpegWriter {
  jpeg_compress_struct info{};
  jpeg_error_mgr error{};
  unsigned char* memory = nullptr;
  unsigned long size = 0;

  JpegWriter() {
    info.err = jpeg_std_error(&error);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &memory, &size);
  }
  ~JpegWriter() {
    jpeg_destroy_compress(&info);
    std::free(memory);
  }

  std::string write(std::int64_t height, std::int64_t width, int channels, J_COLOR_SPACE space, int quality,
                    const std::vector<std::uint8_t>& pixels) {
    info.image_height = static_cast<JDIMENSION>(height);
    info.image_width = static_cast<JDIMENSION>(width);
    info.input_components = channels;
    info.in_color_space = space;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    for (int c = 0; c < info.num_components; ++c) {
      info.comp_info[c].h_samp_factor = info.comp_info[c].v_samp_factor = 1;  // no colour subsampling
    }
    jpeg_start_compress(&info, TRUE);
    std::vector<std::uint8_t> copy = pixels;
    while (info.next_scanline < info.image_height) {
      JSAMPROW row = copy.data() + static_cast<std::size_t>(info.next_scanline) *
                                       static_cast<std::size_t>(width * channels);
      jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    return {reinterpret_cast<const char*>(memory), size};
  }
};

}  // namespace

data::Image gradient(std::int64_t height, std::int64_t width, std::int64_t channels) {
  data::Image image{height, width, channels, {}};
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::int64_t value = 20 + 60 * c + 90 * y / height + 70 * x / width;
        image.pixels.push_back(static_cast<std::uint8_t>(value % 256));
      }
    }
  }
  return image;
}

std::string png_bytes(const data::Image& image) {
  return png_of(image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB, image.height, image.width,
                image.pixels.data());
}

std::string png_bytes_with_alpha(const data::Image& rgb, std::uint8_t alpha) {
  std::vector<std::uint8_t> pixels;
  for (std::size_t i = 0; i < rgb.pixels.size(); ++i) {
    pixels.push_back(rgb.pixels[i]);
    if (i % 3 == 2) pixels.push_back(alpha);
  }
  return png_of(PNG_FORMAT_RGBA, rgb.height, rgb.width, pixels.data());
}

std::string png_bytes_16_bit(const data::Image& grey) {
  // libpng's simplified writer takes 16 bits as linear light, so the file is made by the full interface.
  std::string bytes;
  png_structp writer = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(writer);
  png_set_write_fn(
      writer, &bytes,
      [](png_structp png, png_bytep data, png_size_t size) {
        static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<char*>(data), size);
      },
      [](png_structp) {});
  png_set_IHDR(writer, info, static_cast<png_uint_32>(grey.width), static_cast<png_uint_32>(grey.height), 16,
               PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(writer, info);
  for (std::int64_t y = 0; y < grey.height; ++y) {
    std::vector<std::uint8_t> row;
    for (std::int64_t x = 0; x < grey.width; ++x) {
      row.insert(row.end(), 2, grey.pixels[static_cast<std::size_t>(y * grey.width + x)]);
    }
    png_write_row(writer, row.data());
  }
  png_write_end(writer, info);
  png_destroy_write_struct(&writer, &info);
  return bytes;
}

std::string jpeg_bytes(const data::Image& image, int quality) {
  return JpegWriter().write(image.height, image.width, static_cast<int>(image.channels),
                            image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB, quality, image.pixels);
}

std::string jpeg_bytes_cmyk(std::int64_t height, std::int64_t width, const std::uint8_t (&inks)[4]) {
  std::vector<std::uint8_t> pixels;
  for (std::int64_t i = 0; i < height * width; ++i) pixels.insert(pixels.end(), inks, inks + 4);
  return JpegWriter().write(height, width, 4, JCS_CMYK, 98, pixels);
}

void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace bitlaw::test
