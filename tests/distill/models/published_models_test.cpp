// Names that a person types, against the published shapes and the parameters that were counted.
#include "distill/models/published_models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/message_of.h"

namespace bitlaw::distill {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::int64_t parameters_of(const char* name) {
  const PublishedModel model = published_model(name);
  return parameter_count(weights_of(model.config, model.num_classes));
}

TEST(PublishedModels, HaveThePublishedNumbersOfParameters) {
  EXPECT_EQ(parameters_of("var-d16"), 310'283'520);
  EXPECT_EQ(parameters_of("var-d20"), 600'917'136);
  EXPECT_EQ(parameters_of("var-d24"), 1'033'399'360);
  EXPECT_EQ(parameters_of("var-d30"), 2'010'020'356);
  EXPECT_EQ(parameters_of("var-d36-s"), 2'353'893'904);
  EXPECT_EQ(parameters_of("var-vq"), 108'948'355);
  EXPECT_EQ(parameters_of("var-vq-512"), 108'948'355);
  EXPECT_EQ(parameters_of("dit-s-2"), 32'963'360);
  EXPECT_EQ(parameters_of("dit-xl-2"), 675'129'632);
  EXPECT_EQ(parameters_of("sd-vae"), 83'653'863);
  EXPECT_EQ((parameters_of("llamagen-b") + 500'000) / 1'000'000, 111);
  EXPECT_EQ((parameters_of("llamagen-3b-384") + 500'000) / 1'000'000, 3097);
}

TEST(PublishedModels, EveryNameIsAModelWithItsClassTable) {
  for (const std::string& name : published_models()) {
    const PublishedModel model = published_model(name);
    const std::string table = class_table(model.config.family);
    std::int64_t rows = 0;
    for (const WeightShape& weight : weights_of(model.config, model.num_classes)) {
      rows = weight.name == table ? weight.shape.front() : rows;
    }
    EXPECT_EQ(rows, table.empty() ? 0 : model.num_classes + 1) << name;
    EXPECT_EQ(table.empty() ? 0 : class_count(model.config, rows), model.num_classes) << name;
  }
}

TEST(PublishedModels, ATokenizerHasTheScalesOfItsTransformer) {
  EXPECT_EQ(published_model("var-vq").config.vq.patch_nums, published_var("d16").patch_nums);
  EXPECT_EQ(published_model("var-vq-512").config.vq.patch_nums, published_var("d36-s").patch_nums);
  EXPECT_EQ(published_model("var-d36-s").config.vq.patch_nums, published_var("d36-s").patch_nums);
}

TEST(PublishedModels, LatentsAndGridsOfLargerPictures) {
  EXPECT_EQ(published_model("dit-xl-2").config.dit.latent_side, 32);
  EXPECT_EQ(published_model("dit-xl-2-512").config.dit.latent_side, 64);
  EXPECT_EQ(published_model("dit-b-8").config.dit.patch_size, 8);
  EXPECT_EQ(published_model("dit-xl-4").config.num_heads, 16);
  EXPECT_EQ(published_model("llamagen-3b").config.raster.tokens_per_side, 16);
  EXPECT_EQ(published_model("llamagen-xxl-384").config.raster.tokens_per_side, 24);
  EXPECT_EQ(published_model("llamagen-xxl-384").config.width, 1536);
}

TEST(PublishedModels, ATableWithoutTheDroppedLabel) {
  ModelConfig model;
  model.family = Family::raster;
  EXPECT_EQ(class_count(model, 1001), 1000);
  model.raster.dropped_label = false;
  EXPECT_EQ(class_count(model, 1000), 1000);
}

TEST(PublishedModels, OtherNamesAreRefused) {
  EXPECT_THAT(test::message_of([] { published_model("d16"); }),
              AllOf(HasSubstr("no published model 'd16'"), HasSubstr("var-d16, var-d20")));
}

}  // namespace
}  // namespace bitlaw::distill
