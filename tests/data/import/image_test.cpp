#include "data/import/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/data/shard_samples.h"
#include "tests/support/picture_files.h"

namespace bitlaw::data {
namespace {

using test::message_of;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

Image decode(const std::string& bytes) {
  return decode_image(std::as_bytes(std::span(bytes)), "pic");
}
std::string error_of(const std::string& bytes) {
  return message_of([&] { decode(bytes); });
}

TEST(DecodeImage, PngIsExact) {
  for (const std::int64_t channels : {1, 3}) {
    const Image image = test::gradient(13, 7, channels);
    const Image read = decode(test::png_bytes(image));
    EXPECT_EQ(read.height, 13);
    EXPECT_EQ(read.width, 7);
    EXPECT_EQ(read.channels, channels);
    EXPECT_EQ(read.pixels, image.pixels);
  }
}

TEST(DecodeImage, JpegIsClose) {
  for (const std::int64_t channels : {1, 3}) {
    const Image image = test::gradient(21, 34, channels);
    const Image read = decode(test::jpeg_bytes(image));
    ASSERT_EQ(read.pixels.size(), image.pixels.size());
    EXPECT_EQ(read.height, 21);
    EXPECT_EQ(read.channels, channels);
    for (std::size_t i = 0; i < image.pixels.size(); ++i) {
      EXPECT_NEAR(read.pixels[i], image.pixels[i], 6) << i;
    }
  }
}

TEST(DecodeImage, TransparencyIsPutOnWhite) {
  const Image image = test::gradient(4, 4, 3);
  EXPECT_EQ(decode(test::png_bytes_with_alpha(image, 255)).pixels, image.pixels);
  EXPECT_THAT(decode(test::png_bytes_with_alpha(image, 0)).pixels, testing::Each(255));
}

TEST(DecodeImage, SixteenBitsBecomeEight) {
  const Image image = test::gradient(5, 6, 1);
  EXPECT_EQ(decode(test::png_bytes_16_bit(image)).pixels, image.pixels);
}

TEST(DecodeImage, CmykBecomesRgb) {
  const Image read = decode(test::jpeg_bytes_cmyk(8, 8, {200, 100, 50, 255}));  // inverted inks, no black
  ASSERT_EQ(read.channels, 3);
  EXPECT_NEAR(read.pixels[0], 200, 3);
  EXPECT_NEAR(read.pixels[1], 100, 3);
  EXPECT_NEAR(read.pixels[2], 50, 3);
  const Image dark = decode(test::jpeg_bytes_cmyk(8, 8, {200, 100, 50, 51}));  // a fifth of the light
  EXPECT_NEAR(dark.pixels[0], 40, 3);
  EXPECT_NEAR(dark.pixels[1], 20, 3);
  EXPECT_NEAR(dark.pixels[2], 10, 3);
}

TEST(DecodeImage, RefusesOtherFiles) {
  EXPECT_THAT(error_of(""), HasSubstr("image pic: neither PNG nor JPEG"));
  EXPECT_THAT(error_of("GIF89a......"),
              AllOf(HasSubstr("neither PNG nor JPEG"), HasSubstr("replace or remove")));
  EXPECT_NE(error_of("\x89PNG\r\n\x1a\n"), "");
  EXPECT_NE(error_of("\xFF\xD8"), "");
  EXPECT_NE(error_of("\xFF\xD8\xFF\xE0 garbage that is no segment"), "");
}

TEST(DecodeImage, RefusesATruncatedFileAtAnyPlace) {
  // Smooth pictures compress into few bytes; noise keeps pixel data up to the end.
  std::mt19937 random(3);
  Image noise{24, 24, 3, {}};
  for (int i = 0; i < 24 * 24 * 3; ++i) noise.pixels.push_back(static_cast<std::uint8_t>(random()));
  for (const std::string& whole : {test::png_bytes(noise), test::jpeg_bytes(noise)}) {
    for (std::size_t size = 8; size < whole.size() - 20; size += 37) {
      EXPECT_THAT(error_of(whole.substr(0, size)), HasSubstr("image pic: "))
          << size << " of " << whole.size();
    }
  }
}

TEST(DecodeImage, RefusesDamagedPng) {
  const std::string whole = test::png_bytes(test::gradient(24, 24, 3));
  std::mt19937 random(4);
  for (int round = 0; round < 200; ++round) {
    std::string damaged = whole;
    const std::size_t byte = 8 + random() % (whole.size() - 20);  // before the end chunk
    damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << (random() % 8)));
    const std::string error = error_of(damaged);
    // chunks that only describe (gamma, sRGB) may be skipped when damaged; the picture must then be right
    if (error.empty()) {
      EXPECT_EQ(decode(damaged).pixels, decode(whole).pixels) << byte;
    }
  }
}

TEST(DecodeImage, DamagedJpegNeverCrashes) {
  const std::string whole = test::jpeg_bytes(test::gradient(24, 24, 3));
  std::mt19937 random(5);
  int refused = 0;
  for (int round = 0; round < 500; ++round) {
    std::string damaged = whole;
    for (int flips = 0; flips < 4; ++flips) {
      damaged[2 + random() % (whole.size() - 2)] = static_cast<char>(random());
    }
    refused += error_of(damaged).empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 100);
}

TEST(DecodeImage, RefusesHugePicturesBeforeTakingMemory) {
  std::string png = test::png_bytes(test::gradient(4, 4, 1));
  // width and height of IHDR, and its checksum computed by zlib's polynomial
  const auto put = [&](std::size_t at, std::uint32_t value) {
    for (int i = 0; i < 4; ++i)
      png[at + static_cast<std::size_t>(i)] = static_cast<char>(value >> (24 - 8 * i));
  };
  put(16, 60000);
  put(20, 60000);
  std::uint32_t crc = 0xFFFFFFFFU;
  for (std::size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<std::uint8_t>(png[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  put(29, ~crc);
  EXPECT_THAT(error_of(png), HasSubstr("60000 x 60000 pixels are more than 100000000"));
  std::string jpeg = test::jpeg_bytes(test::gradient(16, 16, 1));
  const std::size_t frame = jpeg.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  for (const std::size_t at : {frame + 5, frame + 7}) {
    jpeg[at] = static_cast<char>(0xEA);  // 60000
    jpeg[at + 1] = static_cast<char>(0x60);
  }
  EXPECT_THAT(error_of(jpeg), HasSubstr("60000 x 60000 pixels are more than 100000000"));
}

TEST(WithChannels, ByHand) {
  const Image rgb{1, 3, 3, {255, 0, 0, 0, 255, 0, 10, 20, 30}};
  EXPECT_EQ(with_channels(rgb, 1).pixels, (std::vector<std::uint8_t>{76, 150, 18}));
  const Image grey{1, 2, 1, {7, 200}};
  EXPECT_EQ(with_channels(grey, 3).pixels, (std::vector<std::uint8_t>{7, 7, 7, 200, 200, 200}));
  EXPECT_EQ(with_channels(rgb, 3).pixels, rgb.pixels);
  const Image white{1, 1, 3, {255, 255, 255}};
  EXPECT_EQ(with_channels(white, 1).pixels, std::vector<std::uint8_t>{255});
}

TEST(Resize, HalvingByHand) {
  // Triangle of half-width 2 around 1 and around 3: weights 3, 3, 1 of 7 and, mirrored, 1, 3, 3.
  const Image line{4, 4, 1, {0, 70, 140, 210, 0, 70, 140, 210, 0, 70, 140, 210, 0, 70, 140, 210}};
  const std::uint8_t left = (0 * 3 + 70 * 3 + 140 * 1) / 7;     // 50
  const std::uint8_t right = (70 * 1 + 140 * 3 + 210 * 3) / 7;  // 160
  EXPECT_EQ(resize_and_crop(line, 2).pixels, (std::vector<std::uint8_t>{left, right, left, right}));
}

TEST(Resize, DoublingByHand) {
  const Image image{2, 2, 1, {0, 100, 100, 200}};
  // Points at -1/4, 1/4, 3/4, 5/4 of the distance between the two: 0, 25, 75, 100 along a row.
  EXPECT_EQ(resize_and_crop(image, 4).pixels, (std::vector<std::uint8_t>{0, 25, 75, 100, 25, 50, 100, 125, 75,
                                                                         100, 150, 175, 100, 125, 175, 200}));
}

TEST(Resize, TheSameSizeChangesNothing) {
  const Image image = test::gradient(9, 9, 3);
  EXPECT_EQ(resize_and_crop(image, 9).pixels, image.pixels);
}

TEST(Resize, CropsTheCentreOfTheLongSide) {
  Image image{2, 6, 1, {}};
  for (int i = 0; i < 12; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i % 6 * 10));
  EXPECT_EQ(resize_and_crop(image, 2).pixels, (std::vector<std::uint8_t>{20, 30, 20, 30}));
  Image tall{6, 2, 1, {}};
  for (int i = 0; i < 12; ++i) tall.pixels.push_back(static_cast<std::uint8_t>(i / 2 * 10));
  EXPECT_EQ(resize_and_crop(tall, 2).pixels, (std::vector<std::uint8_t>{20, 20, 30, 30}));
}

// Straight from the definition, in two dimensions at once and in double.
double reference_pixel(const Image& image, std::int64_t size, std::int64_t y, std::int64_t x,
                       std::int64_t c) {
  const std::int64_t shorter = std::min(image.height, image.width);
  const auto axis = [&](std::int64_t in, std::int64_t position) {
    const std::int64_t out = std::max(size, (in * size + shorter / 2) / shorter);
    const double scale = static_cast<double>(in) / static_cast<double>(out);
    const double support = std::max(1.0, scale);
    const double centre = (static_cast<double>(position + (out - size) / 2) + 0.5) * scale;
    std::vector<double> weights(static_cast<std::size_t>(in));
    double sum = 0.0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      weights[i] = std::max(0.0, 1.0 - std::abs(static_cast<double>(i) + 0.5 - centre) / support);
      sum += weights[i];
    }
    for (double& weight : weights) weight /= sum;
    return weights;
  };
  const auto rows = axis(image.height, y);
  const auto columns = axis(image.width, x);
  double value = 0.0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < columns.size(); ++j) {
      const std::size_t at =
          (i * columns.size() + j) * static_cast<std::size_t>(image.channels) + static_cast<std::size_t>(c);
      value += rows[i] * columns[j] * image.pixels[at];
    }
  }
  return value;
}

TEST(Resize, AgreesWithTheDefinition) {
  std::mt19937 random(6);
  for (const auto& [height, width, size] :
       {std::tuple{17, 23, 8}, {23, 17, 16}, {40, 31, 7}, {5, 9, 12}, {3, 3, 10}, {1, 8, 4}, {64, 64, 1}}) {
    Image image{height, width, 3, {}};
    for (int i = 0; i < height * width * 3; ++i) image.pixels.push_back(static_cast<std::uint8_t>(random()));
    const Image resized = resize_and_crop(image, size);
    ASSERT_EQ(resized.pixels.size(), static_cast<std::size_t>(size * size * 3));
    for (std::int64_t i = 0; i < size * size * 3; ++i) {
      EXPECT_NEAR(resized.pixels[static_cast<std::size_t>(i)],
                  reference_pixel(image, size, i / (size * 3), i / 3 % size, i % 3), 0.501);
    }
  }
}

TEST(PadTo, CentresOnBlack) {
  const Image image{2, 1, 1, {5, 6}};
  EXPECT_EQ(pad_to(image, 4).pixels,
            (std::vector<std::uint8_t>{0, 0, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0}));
  const Image rgb{1, 1, 3, {1, 2, 3}};
  EXPECT_EQ(pad_to(rgb, 2).pixels, (std::vector<std::uint8_t>{1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(ToPlanes, ChannelsFirst) {
  const Image rgb{1, 2, 3, {1, 2, 3, 4, 5, 6}};
  std::vector<std::byte> planes(6);
  to_planes(rgb, planes);
  const std::vector<std::byte> expected = {std::byte{1}, std::byte{4}, std::byte{2},
                                           std::byte{5}, std::byte{3}, std::byte{6}};
  EXPECT_EQ(planes, expected);
}

}  // namespace
}  // namespace bitlaw::data
