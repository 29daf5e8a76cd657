// Post-training quantisation: which samples it asks for and why, and keys that the method does not read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/config/overrides.h"
#include "trainer/config/check.h"
#include "trainer/config/reader.h"

namespace bitlaw::trainer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Check, CalibrationKeysThatNothingReads) {
  const auto problems = [](const Overrides& changes, Use use = Use::calibration) {
    Overrides all = kDistill;
    all.insert(all.end(), {"train.max_steps=0"});
    all.insert(all.end(), changes.begin(), changes.end());
    return config_problems(read_config({}, all), 2, use);
  };
  const Overrides given = {
      "quant.calibration={samples: 8, inputs: full, damping: 0.1, act_order: true, static_groups: "
      "true, smooth_alpha: 0.4, clip_steps: 9, clip_lr: 0.1, block_epochs: 3, block_batch_size: 4, "
      "block_lr: 0.1, block_scale_lr: 0.1}"};
  const auto unread = [&](Overrides changes, Use use = Use::calibration) {
    changes.insert(changes.begin(), given.begin(), given.end());
    return problems(changes, use).size();
  };
  EXPECT_EQ(unread({"quant.method=rtn"}), 12U);
  EXPECT_EQ(unread({"quant.method=rtn"}, Use::width_search), 11U);           // samples
  EXPECT_EQ(unread({"quant.method=rtn", "quant.transforms=[smooth]"}), 9U);  // samples, inputs, smooth_alpha
  EXPECT_EQ(unread({"quant.method=gptq"}), 7U);  // samples, inputs, damping, act_order, static_groups
  EXPECT_EQ(unread({"quant.method=omniquant"}), 8U);
  EXPECT_EQ(unread({"quant.method=awq"}), 10U);
  EXPECT_EQ(unread({"quant.method=block_ap"}), 7U);  // samples and the four of blocks
  EXPECT_EQ(unread({"quant.method=rtn", "quant.activations={dynamic: false}"}), 10U);
  EXPECT_EQ(unread({"quant.method=lsq", "quant.activations={dynamic: false}"}), 11U);
  EXPECT_THAT(
      problems({"quant.method=rtn", "quant.calibration.damping=0.1", "quant.calibration.smooth_alpha=0.1"}),
      ElementsAre(
          HasSubstr("quant.calibration.damping is given with quant.method: rtn [only gptq reads it, so "
                    "it would be ignored]; remove it, or set quant.method: gptq"),
          HasSubstr("only the transform smooth reads it")));
}

TEST(Check, SamplesAreAskedForWithTheirOwnReason) {
  const auto problems = [](const std::string& method, Use use) {
    Overrides all = kDistill;
    all.insert(all.end(),
               {"train.max_steps=0", "data.train=''", "data.validation=''", "quant.method=" + method});
    return config_problems(read_config({}, all), 2, use);
  };
  const auto with = [](const std::string& reason) {
    return ElementsAre(
        AllOf(HasSubstr("data.train is missing"), HasSubstr(reason)),
        AllOf(HasSubstr("data.validation is missing"), HasSubstr("the quantised model is evaluated on it")));
  };
  EXPECT_THAT(problems("gptq", Use::calibration), with("gptq measures the inputs of layers on its samples"));
  EXPECT_THAT(problems("rtn", Use::width_search), with("the search for widths measures on its samples"));
  EXPECT_THAT(problems("block_ap", Use::calibration), with("block_ap trains each block on its samples"));
  EXPECT_THAT(problems("rtn", Use::calibration), with("rtn itself needs none"));
}

}  // namespace
}  // namespace bitlaw::trainer
