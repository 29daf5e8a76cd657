#include "trainer/config/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "data/formats/input_error.h"
#include "tests/trainer/config/perturb.h"
#include "trainer/config/identity.h"
#include "trainer/config/key_list.h"
#include "trainer/config/reader.h"

namespace bitlaw::trainer {
namespace {

using testing::HasSubstr;

// Each configuration that differs from the defaults in one key, with that key.
std::vector<std::pair<std::string, RunConfig>> perturbed_configs() {
  std::vector<std::pair<std::string, RunConfig>> result;
  for (int target = 0;; ++target) {
    RunConfig config;
    Perturb perturb(target);
    visit_fields(perturb, config);
    if (perturb.changed.empty()) {
      return result;
    }
    result.emplace_back(perturb.changed, config);
  }
}

TEST(Writer, EveryFieldSurvivesWritingAndReading) {
  const RunConfig preset;
  const auto configs = perturbed_configs();
  EXPECT_GT(configs.size(), 80u);
  for (const auto& [key, config] : configs) {
    const bool only_choice = dump_of(config) == dump_of(preset);  // a choice of one
    const std::string written = write_config(config);
    EXPECT_EQ(written == write_config(preset), only_choice) << key;
    EXPECT_EQ(dump_of(parse_config(written, "text")), dump_of(config)) << key << "\n" << written;
  }
}

TEST(Writer, ShowsDefaults) {
  const std::string text = write_config(RunConfig{});
  EXPECT_THAT(text, HasSubstr("optim:\n  name: adamw\n  lr: 0.001\n"));
  EXPECT_THAT(text, HasSubstr("  eps: 1e-08\n"));
  EXPECT_THAT(text, HasSubstr("  activations: none\n"));
  EXPECT_THAT(text, HasSubstr("  weights:\n    block_structure: []\n"));
  EXPECT_THAT(text, HasSubstr("  betas: [0.9, 0.95]\n"));
  EXPECT_THAT(text, HasSubstr("  overrides: []\n"));
}

TEST(Writer, WritesTheKeysThatAreAskedFor) {
  RunConfig config;
  config.tokenizer.from = "runs/t";
  config.model.depth = 3;
  const std::string text = write_config(config, {"tokenizer", "model.depth"});
  EXPECT_EQ(text, "tokenizer:\n  from: runs/t\nmodel:\n  depth: 3\n");
  EXPECT_EQ(dump_of(parse_config(text, "text")), dump_of(config));
}

TEST(Writer, GroupsInListsAreIndented) {
  RunConfig config;
  config.quant.overrides.push_back({"*.fc2", {}});
  config.quant.overrides[0].weights.num_bits = 4;
  EXPECT_THAT(write_config(config),
              HasSubstr("  overrides:\n    - match: \"*.fc2\"\n      weights:\n        num_bits: 4\n"));
}

// What may and what may not change when a run is resumed: conventions of a run's identity.
TEST(Identity, HoldsWhatDecidesTheBits) {
  const RunConfig preset;
  std::vector<std::string> free;
  for (const auto& [key, config] : perturbed_configs()) {
    if (identity_yaml(config) == identity_yaml(preset) && dump_of(config) != dump_of(preset)) {
      free.push_back(key);
    }
  }
  EXPECT_THAT(free, testing::ElementsAre(
                        "run.name", "run.dir", "run.device", "data.train", "data.validation", "data.workers",
                        "tokenizer.from", "model.sd_vae.image_channels", "model.sd_vae.latent_channels",
                        "model.sd_vae.channels", "model.sd_vae.res_blocks", "model.sd_vae.group_norm_groups",
                        "distill.teacher", "train.micro_batch_size", "train.max_steps", "parallel.backend",
                        "parallel.bucket_mb", "parallel.deadline_seconds", "checkpoint.interval",
                        "checkpoint.keep_last", "checkpoint.keep_every", "checkpoint.async", "eval.interval",
                        "eval.samples", "eval.micro_batch_size", "log.interval"));
}

TEST(Identity, PathOfInitialWeightsMayMove) {
  RunConfig config;
  config.model.init = "runs/a";
  RunConfig moved = config;
  moved.model.init = "elsewhere/a";
  EXPECT_EQ(identity_yaml(config), identity_yaml(moved));
  moved.model.init = "random";
  EXPECT_NE(identity_yaml(config), identity_yaml(moved));
}

TEST(Identity, DifferencesNameTheKeys) {
  RunConfig config;
  RunConfig other = config;
  other.optim.lr = 0.5;
  other.quant.ignore = {"head"};
  const std::string before = identity_yaml(config) + "inputs:\n  data: 12\n";
  EXPECT_TRUE(identity_differences(before, before).empty());
  EXPECT_THAT(identity_differences(before, identity_yaml(other) + "inputs:\n  data: 13\n"),
              testing::ElementsAre("inputs.data was 12 and is now 13", "optim.lr was 0.001 and is now 0.5",
                                   "quant.ignore was 0 elements and is now 1 elements",
                                   "quant.ignore.0 was not given and is now head"));
}

TEST(Identity, IsRequiredWithEveryDifferenceNamed) {
  EXPECT_NO_THROW(require_same_identity("a: 1\n", "a: 1\n", "step-7"));
  EXPECT_THAT([] { require_same_identity("a: 1\nb: {c: 2}\n", "a: 2\nb: {d: 2}\n", "step-7"); },
              testing::ThrowsMessage<data::InputError>(
                  HasSubstr("step-7: checkpoint of another run (a was 1 and is now 2; b.c was 2 and is now "
                            "not given; b.d was not given and is now 2)")));
}

TEST(Reference, NamesEveryKey) {
  const std::string reference = config_reference();
  for (const std::string& key : all_keys()) {
    EXPECT_THAT(reference, HasSubstr("| `" + key + "` |"));
  }
  EXPECT_THAT(reference, HasSubstr("| `quant.weights.num_bits` | integer, 2 .. 8 |"));
  EXPECT_THAT(reference, HasSubstr("| `optim.lr` | number, 0 .. 10 | `0.001` | "));
}

TEST(Reference, IsTheFileInDocs) {
  std::ifstream file(std::string(BITLAW_SOURCE_DIR) + "/docs/config.md");
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), config_reference()) << "run: bitlaw config --reference > docs/config.md";
}

}  // namespace
}  // namespace bitlaw::trainer
