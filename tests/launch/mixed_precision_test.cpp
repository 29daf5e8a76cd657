// Mixed precision: measurements against a direct computation, and what becomes of the user's own rules.
#include "launch/mixed_precision.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "data/formats/file_io.h"
#include "distill/not_finite_error.h"
#include "distill/tasks/pretrain_task.h"
#include "launch/bit_budget.h"
#include "launch/run_folder.h"
#include "tests/distill/tasks/tiny.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"
#include "trainer/agreement.h"
#include "trainer/comm/thread_group.h"

namespace bitlaw::launch {
namespace {

using distill::PretrainTask;
namespace tiny = distill::tiny;
using test::message_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

quant::QuantConfig base_config() {
  quant::QuantConfig config;
  config.method = quant::Method::rtn;
  config.weights.num_bits = 4;
  config.weights.group_size = 16;
  config.ignore = {"head"};
  return config;
}

quant::OverrideConfig rule(const std::string& match, const quant::SpecConfig& weights) {
  return {match, weights};
}

quant::SpecConfig groups_of(std::int64_t size, std::optional<std::int64_t> bits = std::nullopt) {
  quant::SpecConfig config;
  config.group_size = size;
  config.num_bits = bits;
  return config;
}

std::vector<data::Batch> batches() {
  return {tiny::token_batch(0, 3), tiny::token_batch(3, 2)};
}

using Reduction = std::function<quant::Statistics(const quant::Statistics&)>;

std::vector<LayerSensitivity> measured_of(const std::shared_ptr<distill::Var>& model,
                                          const quant::QuantConfig& config, const Reduction& reduce) {
  const quant::PrepareReport report = quant::prepare(*model, config, quant::ScaleInit::from_weights);
  PretrainTask task(model, tiny::make_tokenizer(), std::nullopt, {});
  const SensitivityRun run{[](const std::function<void(const data::Batch&)>& body) {
                             for (const data::Batch& batch : batches()) body(batch);
                           },
                           reduce};
  return measure_sensitivity(task, report, config, run);
}

std::vector<LayerSensitivity> measured(const quant::QuantConfig& config) {
  return measured_of(tiny::make_var(1), config, [](const quant::Statistics& mine) { return mine; });
}

// Mean KL of a network in which rules quantise one layer against one in which they quantise none, by loops.
double direct_kl(const std::string& layer, const quant::SpecConfig& weights) {
  quant::QuantConfig none = base_config();
  none.ignore = {"*"};
  quant::QuantConfig one = none;
  one.overrides = {rule(layer, weights)};
  double sum = 0.0;
  std::int64_t tokens = 0;
  for (const data::Batch& batch : batches()) {
    const auto logits = [&](const quant::QuantConfig& config) {
      const auto model = tiny::make_var(1);
      quant::prepare(*model, config, quant::ScaleInit::from_weights);
      PretrainTask task(model, tiny::make_tokenizer(), std::nullopt, {});
      return task.student_logits(batch).to(at::kDouble).flatten(0, 1).softmax(-1).contiguous();
    };
    const at::Tensor p = logits(none), q = logits(one);
    for (std::int64_t t = 0; t < p.size(0); ++t, ++tokens) {
      for (std::int64_t v = 0; v < p.size(1); ++v) {
        const double at_p = p[t][v].item<double>(), at_q = q[t][v].item<double>();
        sum += at_p * (std::log(at_p) - std::log(at_q));
      }
    }
  }
  return sum / static_cast<double>(tokens);
}

const LayerSensitivity& named(const std::vector<LayerSensitivity>& layers, const std::string& name) {
  return *std::find_if(layers.begin(), layers.end(),
                       [&](const LayerSensitivity& layer) { return layer.name == name; });
}

TEST(MixedPrecision, MeasuresTheLayerAndWidthThatItNames) {
  quant::QuantConfig config = base_config();
  config.overrides = {rule("*.fc2", groups_of(32))};
  const std::vector<LayerSensitivity> layers = measured(config);
  EXPECT_EQ(layers.size(), 11U);
  for (const std::string name : {"blocks.0.attn.mat_qkv", "blocks.1.ffn.fc2", "head_nm.ada_lin.1"}) {
    const LayerSensitivity& layer = named(layers, name);
    const std::int64_t group = name.ends_with("fc2") ? 32 : 16;
    ASSERT_EQ(layer.widths, kTriedWidths) << name;
    for (std::size_t j : {0U, 2U}) {
      const double expected = direct_kl(name, groups_of(group, kTriedWidths[j]));
      EXPECT_GT(expected, 0.0);
      EXPECT_NEAR(layer.choices[j].loss, expected, 1e-9 + 1e-6 * expected) << name << " " << kTriedWidths[j];
      EXPECT_EQ(layer.choices[j].bits, layer.weights * kTriedWidths[j] + layer.weights / group * 16);
    }
  }
}

TEST(MixedPrecision, IsNoWorseThanOneWidthOfAsManyBits) {
  const std::vector<LayerSensitivity> layers = measured(base_config());
  for (std::size_t j = 0; j < kTriedWidths.size(); ++j) {
    std::int64_t bits = 0, weights = 0;
    double loss = 0.0;
    for (const LayerSensitivity& layer : layers) {
      bits += layer.choices[j].bits;
      weights += layer.weights;
      loss += layer.choices[j].loss;
    }
    const double budget = static_cast<double>(bits) / static_cast<double>(weights);
    const MixedPrecision found = choose_widths(layers, budget + 1e-9);
    EXPECT_LE(found.chosen.bits, bits);
    EXPECT_LE(found.chosen.loss, loss + 1e-15);
  }
}

// One layer is worth many bits, the others are worth none: widths follow the losses.
TEST(MixedPrecision, GivesTheWidthToTheLayerThatNeedsIt) {
  std::vector<LayerSensitivity> layers(3);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i] = {
        "layer" + std::to_string(i), 100, {}, false, {2, 4}, {{200, i == 1 ? 5.0 : 0.1}, {400, 0.0}}};
  }
  quant::QuantConfig config = base_config();
  apply_widths(chosen_widths(choose_widths(layers, 8.0 / 3.0)), config);
  ASSERT_EQ(config.overrides.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(config.overrides[i].match, "layer" + std::to_string(i));
    EXPECT_EQ(config.overrides[i].weights.num_bits, i == 1 ? 4 : 2);
  }
}

TEST(MixedPrecision, TheUsersRulesHold) {
  quant::QuantConfig config = base_config();
  quant::SpecConfig small_float;
  small_float.type = quant::NumberType::floating;
  config.ignore = {"head", "blocks.0.attn.proj"};
  config.overrides = {rule("*.ada_lin.*", groups_of(32, 8)), rule("*.fc2", groups_of(32)),
                      rule("blocks.1.ffn.fc1", small_float)};
  const quant::QuantConfig asked = config;
  const MixedPrecision found = choose_widths(measured(config), 6.5);
  apply_widths(chosen_widths(found), config);
  for (const LayerSensitivity& layer : found.layers) {
    const auto before = quant::spec_of_layer(asked, layer.name),
               after = quant::spec_of_layer(config, layer.name);
    ASSERT_TRUE(before && after) << layer.name;
    EXPECT_EQ(before->fields().group_size, after->fields().group_size) << layer.name;
    if (layer.name.find("ada_lin") != std::string::npos || layer.name == "blocks.1.ffn.fc1") {
      EXPECT_EQ(*before, *after) << layer.name;
      EXPECT_EQ(layer.choices.size(), 1U) << layer.name;
    }
  }
  for (const std::string name : {"head", "blocks.0.attn.proj"}) {
    EXPECT_FALSE(quant::spec_of_layer(config, name)) << name;
  }
}

std::string refusal(double bits, const quant::QuantConfig& config) {
  const auto model = tiny::make_var(1);
  const quant::PrepareReport report = quant::prepare(*model, config, quant::ScaleInit::from_weights);
  return message_of([&] { check_budget(bits, report, config); });
}

// Groups of 16 with float16 scales cost one bit a weight.
TEST(BitBudget, TheFigureThatIsShownIsJustPossible) {
  EXPECT_THAT(refusal(2.5, base_config()),
              AllOf(HasSubstr("--budget-bits 2.5"), HasSubstr("the least is 3 bits a weight"),
                    HasSubstr("give --budget-bits 3 or more"), Not(HasSubstr("overrides"))));
  EXPECT_EQ(refusal(3.0, base_config()), "");
  EXPECT_THAT(refusal(12, base_config()),
              AllOf(HasSubstr("the most is 9 bits a weight"), HasSubstr("give --budget-bits 9 or less")));
  EXPECT_EQ(refusal(9.0, base_config()), "");
  EXPECT_EQ(choose_widths(measured(base_config()), 3.0).frontier.front().choices,
            choose_widths(measured(base_config()), 3.0).chosen.choices);
  quant::QuantConfig thirds = base_config();  // 2 + 16 / 32 + 8 / 32 bits: no whole number of hundredths
  thirds.weights.group_size = 32;
  thirds.overrides = {rule("*.fc2", groups_of(16))};
  const std::string message = refusal(1.0, thirds);
  const std::size_t at = message.find("give --budget-bits ") + std::string("give --budget-bits ").size();
  const double least = std::stod(message.substr(at));
  EXPECT_EQ(refusal(least, thirds), "");
  EXPECT_NE(refusal(least - 2e-4, thirds), "");
  EXPECT_LE(choose_widths(measured(thirds), least).chosen.bits,
            static_cast<double>(choose_widths(measured(thirds), 9).frontier.front().bits) * 1.001);
}

TEST(BitBudget, OverridesAreNamedWhereTheyAreTheReason) {
  quant::QuantConfig config = base_config();
  config.overrides = {rule("*.ada_lin.*", groups_of(16, 8))};
  EXPECT_THAT(refusal(3.5, config), AllOf(HasSubstr("layers whose num_bits quant.overrides says"),
                                          HasSubstr("quant.overrides=[], which goes down to 3")));
  config.overrides = {rule("*.ada_lin.*", groups_of(16, 2))};
  EXPECT_THAT(refusal(8.9, config), HasSubstr("leave every layer to the search by quant.overrides=[]"));
  config.overrides = {rule("*.fc2", groups_of(16))};
  EXPECT_THAT(refusal(2.5, config), Not(HasSubstr("overrides")));
}

TEST(MixedPrecision, LossesThatAreNotFiniteNameLayerAndWidth) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const quant::QuantConfig config = base_config();
  const std::string third = measured(config).at(2).name;
  const Reduction of_one_rank_that_overflows = [](const quant::Statistics& mine) {
    quant::Statistics all = mine;
    all.entries().at("kl").value[2][1] = kNan;
    return all;
  };
  EXPECT_THAT(message_of<distill::NotFiniteError>(
                  [&] { measured_of(tiny::make_var(1), config, of_one_rank_that_overflows); }),
              HasSubstr("the divergence of " + third + " with 3 bits is not finite"));
  const auto model = tiny::make_var(1);
  {
    const at::NoGradGuard no_grad;
    model->named_parameters()["head.weight"][0][0] = kNan;
  }
  EXPECT_THAT(message_of<distill::NotFiniteError>(
                  [&] { measured_of(model, config, [](const quant::Statistics& mine) { return mine; }); }),
              HasSubstr("logits of the network in full precision are not finite"));
}

TEST(MixedPrecision, OtherTypesHaveOneWidth) {
  quant::QuantConfig config = base_config();
  config.weights.type = quant::NumberType::floating;
  EXPECT_THAT(message_of([&] { measured(config); }), HasSubstr("another type has one width"));
}

// A finished run of the same budget says its widths itself; any other is measured.
TEST(MixedPrecision, AFinishedRunIsNotMeasuredAgain) {
  quant::QuantConfig config = base_config();
  config.overrides = {rule("*.ada_lin.*", groups_of(32, 8)), rule("*.fc2", groups_of(32))};
  const MixedPrecision found = choose_widths(measured(config), 6.5);
  test::TemporaryFolder folder;
  data::write_text_file(folder / kMixedPrecisionFile, found.to_json());
  trainer::run_thread_group(2, [&](trainer::Collective& collective) {
    EXPECT_FALSE(recorded_widths(folder.path(), 6.5, collective));
    trainer::on_rank_0([&] { write_finished(folder.path(), {0, "hash"}); }, collective);
    EXPECT_FALSE(recorded_widths(folder.path(), 6.25, collective));
    const auto widths = recorded_widths(folder.path(), 6.5, collective);
    ASSERT_TRUE(widths);
    quant::QuantConfig again = config, first = config;
    apply_widths(*widths, again);
    apply_widths(chosen_widths(found), first);
    ASSERT_EQ(again.overrides.size(), first.overrides.size());
    for (const LayerSensitivity& layer : found.layers) {
      EXPECT_EQ(*quant::spec_of_layer(again, layer.name), *quant::spec_of_layer(first, layer.name));
    }
    trainer::on_rank_0([&] { data::write_text_file(folder / kMixedPrecisionFile, "{"); }, collective);
    EXPECT_FALSE(recorded_widths(folder.path(), 6.5, collective));
  });
}

}  // namespace
}  // namespace bitlaw::launch
