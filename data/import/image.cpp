#include "data/import/image.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "data/import/image_error.h"

namespace bitlaw::data {
namespace {

bool begins_with(std::span<const std::byte> bytes, std::span<const unsigned char> magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// Output position o of a line of `out` points is a weighted mean of inputs first, first + 1, ...
struct Taps {
  std::int64_t first = 0;
  std::vector<float> weights;
};

Taps taps_of(std::int64_t position, std::int64_t out, std::int64_t in) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double support = std::max(scale, 1.0);
  const double centre = (static_cast<double>(position) + 0.5) * scale;
  Taps taps;
  taps.first = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(centre - support + 0.5)));
  const std::int64_t last =
      std::min<std::int64_t>(in, static_cast<std::int64_t>(std::floor(centre + support + 0.5)));
  double sum = 0.0;
  std::vector<double> weights;
  for (std::int64_t i = taps.first; i < last; ++i) {
    const double distance = std::abs(static_cast<double>(i) + 0.5 - centre) / support;
    weights.push_back(std::max(0.0, 1.0 - distance));
    sum += weights.back();
  }
  for (const double weight : weights) taps.weights.push_back(static_cast<float>(weight / sum));
  return taps;
}

// Taps of the `size` middle points of a line resized from `in` to `out`.
std::vector<Taps> centre_taps(std::int64_t out, std::int64_t in, std::int64_t size) {
  std::vector<Taps> taps;
  for (std::int64_t i = 0; i < size; ++i) taps.push_back(taps_of((out - size) / 2 + i, out, in));
  return taps;
}

// Rows are kept, columns become `taps.size()`.
std::vector<float> resize_columns(const Image& image, const std::vector<Taps>& taps) {
  const auto channels = static_cast<std::size_t>(image.channels);
  std::vector<float> out(static_cast<std::size_t>(image.height) * taps.size() * channels);
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) {
    const std::uint8_t* row = image.pixels.data() + y * image.row_bytes();
    for (std::size_t x = 0; x < taps.size(); ++x) {
      float* pixel = &out[(y * taps.size() + x) * channels];
      for (std::size_t t = 0; t < taps[x].weights.size(); ++t) {
        const std::uint8_t* from = row + (static_cast<std::size_t>(taps[x].first) + t) * channels;
        for (std::size_t c = 0; c < channels; ++c) {
          pixel[c] += taps[x].weights[t] * static_cast<float>(from[c]);
        }
      }
    }
  }
  return out;
}

void resize_rows(std::span<const float> lines, const std::vector<Taps>& taps, Image& into) {
  const std::size_t row = into.row_bytes();
  std::vector<float> sum(row);
  for (std::size_t y = 0; y < taps.size(); ++y) {
    std::fill(sum.begin(), sum.end(), 0.0F);
    for (std::size_t t = 0; t < taps[y].weights.size(); ++t) {
      const float* from = lines.data() + (static_cast<std::size_t>(taps[y].first) + t) * row;
      for (std::size_t i = 0; i < row; ++i) sum[i] += taps[y].weights[t] * from[i];
    }
    for (std::size_t i = 0; i < row; ++i) {
      into.pixels[y * row + i] = static_cast<std::uint8_t>(std::clamp(std::nearbyint(sum[i]), 0.0F, 255.0F));
    }
  }
}

}  // namespace

Image decode_image(std::span<const std::byte> bytes, const std::string& origin) {
  constexpr std::array<unsigned char, 8> png = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  constexpr std::array<unsigned char, 2> jpeg = {0xFF, 0xD8};
  if (begins_with(bytes, png)) return decode_png(bytes, origin);
  if (begins_with(bytes, jpeg)) return decode_jpeg(bytes, origin);
  throw bad_image(origin, "neither PNG nor JPEG by its first bytes");
}

Image with_channels(const Image& image, std::int64_t channels) {
  if (channels == image.channels) return image;
  Image out{image.height, image.width, channels, {}};
  const auto count = static_cast<std::size_t>(image.height * image.width);
  out.pixels.resize(count * static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < count; ++i) {
    if (channels == 3) {
      std::fill_n(&out.pixels[3 * i], 3, image.pixels[i]);
    } else {
      const std::uint8_t* rgb = &image.pixels[3 * i];
      out.pixels[i] =
          static_cast<std::uint8_t>((299U * rgb[0] + 587U * rgb[1] + 114U * rgb[2] + 500U) / 1000U);
    }
  }
  return out;
}

Image resize_and_crop(const Image& image, std::int64_t size) {
  const std::int64_t shorter = std::min(image.height, image.width);
  // the long side in proportion, rounded to the nearest, never below the short one
  const auto scaled = [&](std::int64_t side) {
    return std::max(size, (side * size + shorter / 2) / shorter);
  };
  const auto columns = centre_taps(scaled(image.width), image.width, size);
  const auto rows = centre_taps(scaled(image.height), image.height, size);
  Image out{size, size, image.channels, {}};
  out.pixels.resize(static_cast<std::size_t>(size * size * image.channels));
  resize_rows(resize_columns(image, columns), rows, out);
  return out;
}

Image pad_to(const Image& image, std::int64_t size) {
  Image out{size, size, image.channels, {}};
  out.pixels.resize(static_cast<std::size_t>(size * size * image.channels));
  const auto left = static_cast<std::size_t>((size - image.width) / 2 * image.channels);
  const auto top = static_cast<std::size_t>((size - image.height) / 2);
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) {
    std::copy_n(&image.pixels[y * image.row_bytes()], image.row_bytes(),
                &out.pixels[(top + y) * out.row_bytes() + left]);
  }
  return out;
}

void to_planes(const Image& image, std::span<std::byte> planes) {
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t count = image.pixels.size() / channels;
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t i = 0; i < count; ++i) {
      planes[c * count + i] = static_cast<std::byte>(image.pixels[i * channels + c]);
    }
  }
}

}  // namespace bitlaw::data
