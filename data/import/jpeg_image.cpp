// JPEG by libjpeg. Its errors leave by longjmp, so no object with a destructor lives in a function that
// libjpeg may leave.
#include <array>
#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>
// after jpeglib.h, which it needs
#include <jerror.h>

#include "data/import/image.h"
#include "data/import/image_error.h"

namespace bitlaw::data {
namespace {

struct ErrorState {
  jpeg_error_mgr base{};  // first: libjpeg hands back a pointer to it
  std::jmp_buf back{};
  std::array<char, JMSG_LENGTH_MAX> message{};
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* state = reinterpret_cast<ErrorState*>(info->err);
  state->base.format_message(info, state->message.data());
  std::longjmp(state->back, 1);  // NOLINT(cert-err52-cpp): C code lies between
}

// libjpeg calls damage a warning and paints what is missing grey; here it is an error. Stray bytes between
// segments do no harm.
void on_message(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code != JWRN_EXTRANEOUS_DATA) leave(info);
}

struct Reader {
  jpeg_decompress_struct info{};
  ErrorState error;
  bool begun = false;

  ~Reader() {
    if (begun) jpeg_destroy_decompress(&info);
  }
};

// False: the reader's error message says why.
bool read_header(Reader& reader, std::span<const std::byte> bytes) {
  reader.info.err = jpeg_std_error(&reader.error.base);
  reader.error.base.error_exit = leave;
  reader.error.base.emit_message = on_message;
  if (setjmp(reader.error.back) != 0) return false;  // NOLINT(cert-err52-cpp)
  jpeg_create_decompress(&reader.info);
  reader.begun = true;
  jpeg_mem_src(&reader.info, reinterpret_cast<const unsigned char*>(bytes.data()),
               static_cast<unsigned long>(bytes.size()));
  jpeg_read_header(&reader.info, TRUE);
  if (reader.info.jpeg_color_space == JCS_GRAYSCALE) {
    reader.info.out_color_space = JCS_GRAYSCALE;
  } else if (reader.info.jpeg_color_space == JCS_CMYK || reader.info.jpeg_color_space == JCS_YCCK) {
    reader.info.out_color_space = JCS_CMYK;
  } else {
    reader.info.out_color_space = JCS_RGB;
  }
  return true;
}

// pixels: height * width * out_color_components bytes.
bool read_pixels(Reader& reader, std::uint8_t* pixels) {
  if (setjmp(reader.error.back) != 0) return false;  // NOLINT(cert-err52-cpp)
  jpeg_start_decompress(&reader.info);
  while (reader.info.output_scanline < reader.info.output_height) {
    JSAMPROW row = pixels + static_cast<std::size_t>(reader.info.output_scanline) * reader.info.output_width *
                                static_cast<std::size_t>(reader.info.output_components);
    jpeg_read_scanlines(&reader.info, &row, 1);
  }
  jpeg_finish_decompress(&reader.info);
  return true;
}

// Adobe's files hold inverted inks, others do not.
std::vector<std::uint8_t> rgb_from_cmyk(std::span<const std::uint8_t> inks, bool inverted) {
  std::vector<std::uint8_t> rgb(inks.size() / 4 * 3);
  for (std::size_t i = 0; i < inks.size() / 4; ++i) {
    const unsigned key = inverted ? inks[4 * i + 3] : 255U - inks[4 * i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      const unsigned light = inverted ? inks[4 * i + c] : 255U - inks[4 * i + c];
      rgb[3 * i + c] = static_cast<std::uint8_t>((light * key + 127U) / 255U);
    }
  }
  return rgb;
}

int stored_channels(const Reader& reader) {
  switch (reader.info.out_color_space) {
    case JCS_GRAYSCALE:
      return 1;
    case JCS_CMYK:
      return 4;
    default:
      return 3;
  }
}

}  // namespace

Image decode_jpeg(std::span<const std::byte> bytes, const std::string& origin) {
  Reader reader;
  if (!read_header(reader, bytes)) {
    throw bad_image(origin, std::string("not a readable JPEG (") + reader.error.message.data() + ")");
  }
  const std::int64_t height = reader.info.image_height;
  const std::int64_t width = reader.info.image_width;
  if (height * width > kMostPixels) {
    throw bad_image(origin, std::to_string(width) + " x " + std::to_string(height) +
                                " pixels are more than " + std::to_string(kMostPixels));
  }
  const int channels = stored_channels(reader);
  Image image{height, width, channels == 1 ? 1 : 3, {}};
  image.pixels.resize(static_cast<std::size_t>(height * width * channels));
  if (!read_pixels(reader, image.pixels.data())) {
    throw bad_image(origin, std::string("damaged JPEG (") + reader.error.message.data() + ")");
  }
  if (channels == 4) image.pixels = rgb_from_cmyk(image.pixels, reader.info.saw_Adobe_marker != FALSE);
  return image;
}

}  // namespace bitlaw::data
