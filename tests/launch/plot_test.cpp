// Scripts that hold what they should, and pictures that gnuplot really draws.
#include "launch/plot.h"

#include <gtest/gtest.h>
#include <png.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "data/formats/input_error.h"

namespace bitlaw::launch {
namespace {
namespace fs = std::filesystem;

class PlotTest : public testing::Test {
 protected:
  PlotTest() : folder_(fs::temp_directory_path() / ("bitlaw-plot-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~PlotTest() override { fs::remove_all(folder_); }

  fs::path folder_;
};

Plot example() {
  Plot plot;
  plot.title = "bits' law";
  plot.x_label = "bits";
  plot.y_label = "KL";
  plot.y_scale = PlotScale::logarithmic;
  plot.series = {{"line", PlotMark::line, {{2.25, 0.5}, {3.25, 0.0}, {4.25, 0.125}}},
                 {"dots", PlotMark::points, {{3.0, 0.25}}}};
  return plot;
}

TEST_F(PlotTest, ScriptHoldsDataAndQuotesTexts) {
  const std::string script = gnuplot_script(example(), "it's.png");
  EXPECT_NE(script.find("set output 'it''s.png'\n"), std::string::npos);
  EXPECT_NE(script.find("set title 'bits'' law'\n"), std::string::npos);
  EXPECT_NE(script.find("set logscale y\n"), std::string::npos);
  // Without the zero, which no logarithmic axis has.
  EXPECT_NE(script.find("$series0 << END\n2.25 0.5\n4.25 0.125\nEND\n"), std::string::npos);
  EXPECT_NE(script.find("$series1 using 1:2 with points"), std::string::npos);
}

TEST_F(PlotTest, LinearScaleKeepsZero) {
  Plot plot = example();
  plot.y_scale = PlotScale::linear;
  const std::string script = gnuplot_script(plot, "a.png");
  EXPECT_NE(script.find("3.25 0\n"), std::string::npos);
  EXPECT_EQ(script.find("logscale"), std::string::npos);
}

TEST_F(PlotTest, GnuplotDrawsIt) {
  const fs::path picture = folder_ / "it's a curve.png";
  draw(example(), picture);
  EXPECT_TRUE(fs::exists(folder_ / "it's a curve.gp"));
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  ASSERT_NE(png_image_begin_read_from_file(&image, picture.c_str()), 0);
  EXPECT_EQ(image.width, 1200U);
  EXPECT_EQ(image.height, 800U);
  png_image_free(&image);
}

TEST_F(PlotTest, WithoutGnuplotTheScriptStays) {
  const std::string path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): one thread
  ::setenv("PATH", folder_.c_str(), 1);          // NOLINT(concurrency-mt-unsafe)
  EXPECT_THROW(draw(example(), folder_ / "a.png"), data::InputError);
  ::setenv("PATH", path.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  EXPECT_TRUE(fs::exists(folder_ / "a.gp"));
  EXPECT_FALSE(fs::exists(folder_ / "a.png"));
}

TEST_F(PlotTest, GnuplotsFailureIsAnError) {
  fs::create_directory(folder_ / "taken.png");
  EXPECT_THROW(draw(example(), folder_ / "taken.png"), data::InputError);
}

}  // namespace
}  // namespace bitlaw::launch
