// Geometries that cannot be built are refused with everything that is wrong; published ones are not.
#include "distill/models/check_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/input_error.h"
#include "tests/support/message_of.h"

namespace bitlaw::distill {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

TEST(CheckShapes, PublishedGeometriesPass) {
  for (const char* name : {"S/2", "B/4", "L/8", "XL/2"}) check_geometry(published_dit(name));
  for (const char* name : {"B", "L", "XL", "XXL", "3B"}) check_geometry(published_raster(name));
  check_geometry(SdVaeConfig{});
}

TEST(CheckShapes, Dit) {
  DitShape shape = published_dit("S/2");
  shape.num_heads = 5;
  shape.latent_side = 33;
  shape.depth = 0;
  EXPECT_THAT(message_of([&] { check_geometry(shape); }),
              AllOf(HasSubstr("DiT: depth is 0"), HasSubstr("num_heads 5 does not divide width 384"),
                    HasSubstr("patch_size 2 does not divide latent_side 33")));
  shape = published_dit("S/2");
  shape.width = 6;
  shape.num_heads = 0;
  EXPECT_THAT(message_of([&] { check_geometry(shape); }),
              AllOf(HasSubstr("num_heads 0 does not divide"), HasSubstr("does not divide width 6")));
}

TEST(CheckShapes, Raster) {
  RasterShape shape = published_raster("B");
  shape.num_heads = 7;
  shape.tokens_per_side = 0;
  EXPECT_THAT(message_of([&] { check_geometry(shape); }),
              AllOf(HasSubstr("LlamaGen: tokens_per_side is 0"), HasSubstr("num_heads 7 does not divide")));
  shape = published_raster("B");
  shape.num_heads = 384;
  EXPECT_THAT(message_of([&] { check_geometry(shape); }), HasSubstr("the width of a head 2"));
}

TEST(CheckShapes, Autoencoder) {
  SdVaeConfig shape;
  shape.channels = {48, 64};
  shape.latent_channels = 0;
  EXPECT_THAT(message_of([&] { check_geometry(shape); }),
              AllOf(HasSubstr("latent_channels is 0"),
                    HasSubstr("group_norm_groups 32 does not divide a level's channels 48")));
  EXPECT_THAT(message_of([] { check_geometry(SdVaeConfig{.channels = {}}); }),
              HasSubstr("number of levels is 0"));
}

}  // namespace
}  // namespace bitlaw::distill
