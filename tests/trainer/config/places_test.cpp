// Where keys were written, and that contradictions between them say it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "trainer/config/check.h"
#include "trainer/config/reader.h"

namespace bitlaw::trainer {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::StartsWith;

TEST(Places, KeysKnowWhereTheyWereWritten) {
  const Places places =
      parse_config(
          "run: {name: x}\nquant:\n  overrides:\n    - match: a\n      weights:\n        num_bits: 3\n",
          "run.yaml")
          .places;
  EXPECT_EQ(place_of(places, "run.name"), "run.yaml:1");
  EXPECT_EQ(place_of(places, "quant.overrides"), "run.yaml:3");
  EXPECT_EQ(place_of(places, "quant.overrides.0.match"), "run.yaml:4");
  EXPECT_EQ(place_of(places, "quant.overrides.0.weights.num_bits"), "run.yaml:6");
  EXPECT_EQ(place_of(places, "quant.overrides.0.weights.grid"), "run.yaml:5");  // of the group around it
  EXPECT_EQ(place_of(places, "optim.lr"), "");
  EXPECT_EQ(place_of(read_config({}, {"quant.weights={num_bits: 3}"}).places, "quant.weights.num_bits"),
            "command line");
}

TEST(Places, AContradictionSaysWhereItWasWritten) {
  const auto problems = [](const std::string& quant) {
    const std::string yaml =
        "run: {name: r}\ntask: {kind: pretrain}\ndata: {train: a, validation: b}\ntokenizer: {from: t}\n"
        "model: {width: 128}\nquant:\n" +
        quant;
    return config_problems(parse_config(yaml, "student.yaml"), 1);
  };
  EXPECT_THAT(
      problems("  method: lsq\n  weights:\n    num_bits: 5\n    format: e2m1\n    strategy: group\n"
               "    dynamic: true\n  activations: {strategy: tensor, observer: mse}\n"),
      ElementsAre(
          StartsWith("student.yaml:9: quant.weights: num_bits 5 with format: e2m1"),
          StartsWith("student.yaml:8: quant.weights: weights with dynamic: true"),
          StartsWith("student.yaml:11: quant.weights: strategy: group with group_size 0"),
          StartsWith("student.yaml:13: quant.activations: activations with dynamic: true and observer"),
          StartsWith("student.yaml:13: quant.activations: activations with strategy: tensor")));
  EXPECT_THAT(
      problems("  method: gptq\n  calibration:\n    damping: 0.1\n    clip_lr: 0.1\n"),
      Contains(StartsWith("student.yaml:10: quant.calibration.clip_lr is given with quant.method: gptq")));
}

}  // namespace
}  // namespace bitlaw::trainer
