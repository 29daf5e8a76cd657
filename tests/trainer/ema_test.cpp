#include "trainer/ema.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "data/formats/input_error.h"
#include "quant/layers.h"

namespace bitlaw::trainer {

namespace {

class Model : public quant::Layer {
 public:
  Model() {
    weight = register_parameter("weight", at::full({2}, 1.0));
    level = register_buffer("level", at::full({2}, 3.0));
    zero_point = register_buffer("zero_point", at::full({2}, 4, at::kChar));
    register_buffer("seen", at::zeros({1}));
    register_buffer("mask", at::zeros({1}));
  }
  quant::BufferRole buffer_role(std::string_view name) const override {
    return name == "seen"   ? quant::BufferRole::training
           : name == "mask" ? quant::BufferRole::constant
                            : quant::BufferRole::forward;
  }
  at::Tensor weight;
  at::Tensor level;
  at::Tensor zero_point;
};

}  // namespace

TEST(Ema, AveragesWhatShapesTheForward) {
  Model model;
  Ema ema(model, 0.75);
  ASSERT_EQ(ema.averages().size(), 3U);                           // neither what only trains nor constants
  EXPECT_EQ(ema.averages().at("weight")[0].item<float>(), 1.0F);  // begins as a copy
  {
    const at::NoGradGuard no_grad;
    model.weight.fill_(2.0);
    model.level.fill_(7.0);
    model.zero_point.fill_(-1);
  }
  ema.update();
  EXPECT_EQ(ema.averages().at("weight")[0].item<float>(), 1.25F);  // 0.75 * 1 + 0.25 * 2
  EXPECT_EQ(ema.averages().at("level")[1].item<float>(), 4.0F);
  EXPECT_EQ(ema.averages().at("zero_point")[0].item<int>(), -1);  // integers are copied
  ema.update();
  EXPECT_EQ(ema.averages().at("weight")[0].item<float>(), 1.4375F);
  EXPECT_EQ(model.weight[0].item<float>(), 2.0F);
}

TEST(Ema, BeginsAnewWithWhatWasReplaced) {
  Model model;
  Ema ema(model, 0.5);
  {
    const at::NoGradGuard no_grad;
    model.weight.fill_(3.0);
    model.level.fill_(7.0);
  }
  ema.restart({"level"});
  EXPECT_EQ(ema.averages().at("level")[1].item<float>(), 7.0F);
  EXPECT_EQ(ema.averages().at("weight")[0].item<float>(), 1.0F);
}

TEST(Ema, ContinuesFromWhatIsLoaded) {
  Model model;
  Ema ema(model, 0.5);
  ema.load({{"weight", at::full({2}, 9.0)},
            {"level", at::full({2}, 3.0)},
            {"zero_point", at::full({2}, 4, at::kChar)}});
  ema.update();
  EXPECT_EQ(ema.averages().at("weight")[0].item<float>(), 5.0F);
  EXPECT_THROW(ema.load({{"weight", at::zeros({2})}}), data::InputError);
}

}  // namespace bitlaw::trainer
