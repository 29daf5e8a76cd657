// What an exported file says about itself, and what it may not say.
#include "launch/export_origin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "distill/models/published_models.h"
#include "tests/support/message_of.h"
#include "trainer/config/writer.h"

namespace bitlaw::launch {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::int64_t kClasses = 5;

// A DiT's file, of which only the table of classes is there.
quant::PackedModel packed_model() {
  ModelOrigin origin;
  origin.config.model.family = distill::Family::dit;
  origin.config.run.name = "r";
  origin.num_classes = kClasses;
  origin.step = 7;
  quant::PackedModel packed;
  packed.tensors["y_embedder.embedding_table.weight"].shape = {kClasses + 1, 8};
  put_origin(packed, origin);
  return packed;
}

// With another value of one member of the attribute source.
std::string refusal(const std::string& key, const std::string& value) {
  quant::PackedModel packed = packed_model();
  auto source = nlohmann::json::parse(packed.attributes.at("source"));
  source[key] = nlohmann::json::parse(value);
  packed.attributes["source"] = source.dump();
  const std::string message = message_of([&] { read_origin(packed, "a/model.h5"); });
  EXPECT_EQ(message_of([&] { check_origin(packed, "a/model.h5"); }), message);
  return message;
}

TEST(ExportOrigin, IsReadAsItWasWritten) {
  const ModelOrigin origin = read_origin(packed_model(), "a/model.h5");
  EXPECT_EQ(origin.num_classes, kClasses);
  EXPECT_EQ(origin.step, 7);
  EXPECT_EQ(origin.config.model.family, distill::Family::dit);
}

TEST(ExportOrigin, NumbersThatCannotBeAreRefused) {
  for (const char* value : {"-5", "1000000000000", "1e300", "5.0", "\"5\"", "null", "18446744073709551615"}) {
    EXPECT_THAT(refusal("num_classes", value),
                AllOf(HasSubstr("a/model.h5: num_classes in the attribute source is "),
                      HasSubstr("a whole number from 0 to 16777216")))
        << value;
  }
  EXPECT_THAT(refusal("step", "-1"), HasSubstr("step in the attribute source is -1"));
  EXPECT_THAT(refusal("step", "1e300"), HasSubstr("step in the attribute source is 1e+300"));
  EXPECT_THAT(refusal("weights", "3"), HasSubstr("the attribute source is missing or unreadable"));
}

TEST(ExportOrigin, ClassesAreThoseOfTheTable) {
  EXPECT_THAT(refusal("num_classes", "1000"),
              HasSubstr("num_classes in the attribute source is 1000, y_embedder.embedding_table.weight is a "
                        "table of 5"));
  EXPECT_EQ(refusal("num_classes", "5"), "");
}

TEST(ExportOrigin, ANetworkThatTheFileCannotHoldIsNotMade) {
  quant::PackedModel packed = packed_model();
  ModelOrigin origin = read_origin(packed, "a/model.h5");
  origin.config.model.depth = 1;
  origin.config.model.width = 8;
  origin.config.model.dit.latent_side = 4;
  for (const auto& weight : distill::weights_of(origin.config.model, kClasses)) {
    packed.tensors[weight.name].shape = weight.shape;
  }
  EXPECT_EQ(message_of([&] { check_size(packed, origin); }), "");
  origin.config.model.depth = 200;
  origin.config.model.width = 65536;
  EXPECT_THAT(message_of([&] { check_size(packed, origin); }),
              AllOf(HasSubstr("a/model.h5: "), HasSubstr("the network of the attribute config has 15")));
}

TEST(ExportOrigin, ModelsOfOthersHaveNone) {
  quant::PackedModel packed = packed_model();
  packed.attributes.clear();
  check_origin(packed, "a");
  EXPECT_THAT(message_of([&] { read_origin(packed, "a"); }), HasSubstr("source is missing"));
  packed.attributes["config"] = "run: {}";
  EXPECT_THAT(message_of([&] { check_origin(packed, "a"); }), HasSubstr("source is missing"));
}

}  // namespace
}  // namespace bitlaw::launch
