// Pixels where they belong, a PNG that a reader accepts, and errors that leave nothing.
#include "launch/picture.h"

#include <gtest/gtest.h>
#include <png.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "data/formats/input_error.h"
#include "launch/letters.h"
#include "tests/support/write_limit.h"

namespace bitlaw::launch {
namespace {
namespace fs = std::filesystem;

fs::path scratch(const std::string& name) {
  const fs::path folder = fs::temp_directory_path() / ("bitlaw-picture-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  return folder / name;
}

PictureBlock grey_block(std::int64_t count, std::int64_t side) {
  PictureBlock block;
  block.label = "T";
  block.count = count;
  block.side = side;
  for (std::int64_t i = 0; i < count; ++i) {
    block.pixels.insert(block.pixels.end(), static_cast<std::size_t>(side * side),
                        static_cast<float>(i) / 255.0F);
  }
  return block;
}

TEST(Picture, ImagesStandInTheirColumns) {
  const Picture picture = draw_blocks({grey_block(3, 48)}, 2);
  EXPECT_EQ(picture.width(), 2 * 50 + 2 * 4);
  EXPECT_EQ(picture.height(), 4 + 20 + 2 * 50 + 4);
  EXPECT_EQ(*picture.pixel(4, 24), 0);
  EXPECT_EQ(*picture.pixel(4 + 47, 24 + 47), 0);
  EXPECT_EQ(*picture.pixel(4 + 48, 24), 255);  // the gap
  EXPECT_EQ(*picture.pixel(4 + 50, 24), 1);
  EXPECT_EQ(*picture.pixel(4, 24 + 50), 2);
  EXPECT_EQ(*picture.pixel(4 + 50, 24 + 50), 255);  // no fourth image
}

TEST(Picture, SmallImagesAreEnlargedByWholeFactors) {
  PictureBlock block;
  block.count = 1;
  block.side = 2;
  block.channels = 3;
  block.pixels = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2};  // red, green, blue, and a value out of range
  const Picture picture = draw_blocks({block}, 1);
  const auto is = [&](std::int64_t x, std::int64_t y, int red, int green, int blue) {
    const std::uint8_t* at = picture.pixel(4 + x, 24 + y);
    return at[0] == red && at[1] == green && at[2] == blue;
  };
  EXPECT_TRUE(is(0, 0, 255, 0, 0) && is(23, 23, 255, 0, 0));
  EXPECT_TRUE(is(24, 0, 0, 255, 0) && is(0, 24, 0, 0, 255) && is(47, 47, 0, 0, 255));
}

TEST(Picture, LettersHaveTheirShape) {
  Picture picture(12, 16);
  picture.write("T", 1, 1, 1);
  for (std::int64_t x = 0; x < 5; ++x) {
    EXPECT_EQ(*picture.pixel(1 + x, 1), 0);                      // the bar
    EXPECT_EQ(*picture.pixel(1 + x, 7), x == 2 ? 0 : 255) << x;  // the stem
  }
  EXPECT_EQ(letter('\x01'), letter('?'));
}

TEST(Picture, WriteCutsOffWhatDoesNotFit) {
  Picture picture(3, 3);
  picture.write("WWWW", -2, -2, 2);  // must not write outside
  EXPECT_EQ(picture.width(), 3);
}

TEST(Picture, SavedFileReadsBackWithItsText) {
  Picture picture(5, 3);
  picture.set(4, 2, 1, 2, 3);
  const fs::path path = scratch("a.png");
  picture.save(path, {{"bitlaw", "{\"cfg\":1.0}"}});
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  ASSERT_NE(png_image_begin_read_from_file(&image, path.c_str()), 0);
  EXPECT_EQ(image.width, 5U);
  EXPECT_EQ(image.height, 3U);
  image.format = PNG_FORMAT_RGB;
  std::vector<std::uint8_t> pixels(PNG_IMAGE_SIZE(image));
  ASSERT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0);
  EXPECT_EQ(pixels[0], 255);
  EXPECT_EQ((std::vector<std::uint8_t>(pixels.end() - 3, pixels.end())),
            (std::vector<std::uint8_t>{1, 2, 3}));
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  EXPECT_NE(bytes.find(std::string("tEXtbitlaw\0{\"cfg\":1.0}", 22)), std::string::npos);
  fs::remove_all(path.parent_path());
}

TEST(Picture, AnUnwritablePlaceIsTheUsersErrorAndLeavesNothing) {
  const Picture picture(2, 2);
  try {
    picture.save("/nonexistent/folder/a.png", {});
    FAIL() << "was saved";
  } catch (const data::InputError& error) {
    EXPECT_NE(std::string(error.what()).find("/nonexistent/folder/a.png"), std::string::npos);
  }
  EXPECT_FALSE(fs::exists("/nonexistent"));
}

TEST(Picture, AFailedSaveKeepsThePictureBeforeIt) {
  const fs::path path = scratch("a.png");
  Picture(5, 3).save(path, {});
  const auto size = fs::file_size(path);
  {
    const test::WriteLimit full(16);
    EXPECT_THROW(Picture(50, 30).save(path, {}), data::InputError);
  }
  EXPECT_EQ(fs::file_size(path), size);
  EXPECT_EQ(std::distance(fs::directory_iterator(path.parent_path()), {}), 1);
  fs::remove_all(path.parent_path());
}

}  // namespace
}  // namespace bitlaw::launch
