// PNG by libpng's simplified interface, which reports errors as values.
#include <png.h>

#include "data/import/image.h"
#include "data/import/image_error.h"

namespace bitlaw::data {
namespace {

struct PngReader {
  PngReader() {
    control.version = PNG_IMAGE_VERSION;
    control.opaque = nullptr;
  }
  ~PngReader() { png_image_free(&control); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  png_image control{};
};

}  // namespace

Image decode_png(std::span<const std::byte> bytes, const std::string& origin) {
  PngReader reader;
  png_image& control = reader.control;
  if (png_image_begin_read_from_memory(&control, bytes.data(), bytes.size()) == 0) {
    throw bad_image(origin, std::string("not a readable PNG (") + control.message + ")");
  }
  if (static_cast<std::int64_t>(control.width) * control.height > kMostPixels) {
    throw bad_image(origin, std::to_string(control.width) + " x " + std::to_string(control.height) +
                                " pixels are more than " + std::to_string(kMostPixels));
  }
  const bool colour = (control.format & PNG_FORMAT_FLAG_COLOR) != 0;
  control.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  control.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  Image image{control.height, control.width, colour ? 3 : 1, {}};
  image.pixels.resize(PNG_IMAGE_SIZE(control));
  const png_color white{255, 255, 255};
  if (png_image_finish_read(&control, &white, image.pixels.data(), 0, nullptr) == 0) {
    throw bad_image(origin, std::string("damaged PNG (") + control.message + ")");
  }
  return image;
}

}  // namespace bitlaw::data
