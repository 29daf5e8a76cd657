// Frozen codes (EfficientQAT's second phase): the same weights to the bit, scales that learn, codes that do
// not move.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/formats/input_error.h"
#include "quant/bits.h"
#include "quant/block_format.h"
#include "quant/containers/model_state.h"
#include "quant/prepare.h"
#include "quant/requantise.h"
#include "tests/quant/tensors.h"
#include "tests/quant/toy_model.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

constexpr std::int64_t kOut = 8;
constexpr std::int64_t kIn = 64;

const std::vector<std::string> kSpecs = {
    "int4.g32.sym",      "int2h.g16.sym",         "int3.g32.asym",    "int4.g32.asym.float16.zp_float16",
    "int8.tensor.sym",   "int5.channel.asym",     "int4.b4x16.sym",   "ternary.channel.sym",
    "e2m1.g16.sym.e4m3", "e2m1.g32.sym.e8m0",     "e4m3.b4x32.sym",   "e2m1.g32.asym",
    "nf4.g64.sym",       "nf3.g32.asym.bfloat16", "e3m2.channel.sym", "int4.g32.sym.bfloat16"};

// Codes of normal weights, rounded to nearest.
PackedTensor packed_of(const std::string& text) {
  Quantizer quantizer(QuantSpec::parse(text), Method::rtn, kOut, kIn);
  const at::Tensor weight = normal_tensor({kOut, kIn}, 5);
  quantizer.initialise(weight, ScaleSearch::mse);
  return quantizer.pack(weight);
}

LayerPlan frozen_plan(const QuantSpec& spec) {
  QuantConfig config;
  config.method = Method::e2e_qp;
  return layer_plan(config, spec, kIn);
}

Quantizer frozen(const PackedTensor& packed) {
  Quantizer quantizer(packed.spec, Method::e2e_qp, kOut, kIn, frozen_plan(packed.spec));
  quantizer.freeze(packed);
  return quantizer;
}

const at::Tensor kNoWeight = at::zeros({1, 1}).expand({kOut, kIn});

TEST(FrozenCodes, AreTheWeightsThatWerePackedToTheBit) {
  for (const std::string& text : kSpecs) {
    const PackedTensor packed = packed_of(text);
    Quantizer quantizer = frozen(packed);
    const at::Tensor expected = at::tensor(dequantise(packed)).view({kOut, kIn});
    EXPECT_TRUE(same_bits(quantizer.forward(kNoWeight), expected)) << text;
    EXPECT_TRUE(same_bits(quantizer.forward(kNoWeight, at::kBFloat16), expected.to(at::kBFloat16))) << text;
    EXPECT_TRUE(quantizer.pack(kNoWeight) == packed) << text;
  }
}

TEST(FrozenCodes, ScatteredGroupsAndMultipliersCome) {
  PackedTensor packed = packed_of("int4.g32.sym");
  for (std::int32_t i = 0; i < kIn; ++i) {
    packed.group_index.push_back(i % 2);
    packed.input_multiplier.push_back(0.5F + static_cast<float>(i));
  }
  Quantizer quantizer = frozen(packed);
  EXPECT_TRUE(same_bits(quantizer.forward(kNoWeight), at::tensor(dequantise(packed)).view({kOut, kIn})));
  EXPECT_TRUE(quantizer.pack(kNoWeight) == packed);
  EXPECT_TRUE(same_bits(quantizer.input_transform().multiplier, at::tensor(packed.input_multiplier)));
}

// d w' / d scale is the level minus the zero point: by central differences of the dequantised weights in
// double.
TEST(FrozenCodes, ScaleGradientsAreThoseOfTheLevels) {
  for (const std::string& text : kSpecs) {
    const PackedTensor packed = packed_of(text);
    Quantizer quantizer = frozen(packed);
    const at::Tensor grad = normal_tensor({kOut, kIn}, 9);
    quantizer.forward(kNoWeight).backward(grad);
    const QuantSpec& spec = packed.spec;
    const std::int64_t groups = spec.groups(kIn);
    const std::int64_t height = spec.group_height(kOut);
    // w' is linear in its scale: sum of grad * w' over the elements of a scale = d loss / d log scale.
    const at::Tensor value = quantizer.forward(kNoWeight).detach();
    const at::Tensor product = (grad * value).to(at::kDouble);
    const at::Tensor negative =
        spec.has_negative_scale() ? at::signbit(value) : at::zeros_like(value, at::kBool);
    const auto sums = [&](const at::Tensor& x) {
      return x.view({kOut / height, height, groups, kIn / groups}).sum({1, 3});
    };
    const double q_max = spec.fields().type == NumberType::integer ? spec.q_max() : double{top_level(spec)};
    const double factor = 1.0 / std::sqrt(static_cast<double>(height * (kIn / groups)) * q_max);
    const auto parameters = quantizer.named_parameters();
    EXPECT_TRUE(at::allclose(parameters["log_scale"].grad().to(at::kDouble),
                             sums(at::where(negative, at::zeros_like(product), product)) * factor, 1e-3,
                             1e-5))
        << text;
    if (spec.has_negative_scale()) {
      EXPECT_TRUE(at::allclose(parameters["log_scale_negative"].grad().to(at::kDouble),
                               sums(at::where(negative, product, at::zeros_like(product))) * factor, 1e-3,
                               1e-5))
          << text;
    }
  }
}

TEST(FrozenCodes, StayWhenScalesMove) {
  const PackedTensor packed = packed_of("int3.g32.asym");
  Quantizer quantizer = frozen(packed);
  {
    const at::NoGradGuard no_grad;
    quantizer.named_parameters()["log_scale"].add_(0.7);
  }
  const PackedTensor moved = quantizer.pack(kNoWeight);
  EXPECT_EQ(moved.codes, packed.codes);
  EXPECT_EQ(moved.zero_point, packed.zero_point);
  EXPECT_NE(moved.scale, packed.scale);
  EXPECT_TRUE(same_bits(quantizer.forward(kNoWeight), at::tensor(dequantise(moved)).view({kOut, kIn})));
}

TEST(FrozenCodes, OfAnotherSpecAreRefusedWithBothNamed) {
  const PackedTensor packed = packed_of("int4.g32.sym");
  const QuantSpec wanted = QuantSpec::parse("int3.g32.sym");
  Quantizer quantizer(wanted, Method::e2e_qp, kOut, kIn, frozen_plan(wanted));
  try {
    quantizer.freeze(packed);
    FAIL();
  } catch (const data::InputError& error) {
    EXPECT_THAT(error.what(),
                testing::AllOf(testing::HasSubstr("int4.g32.sym"), testing::HasSubstr("int3.g32.sym")));
  }
}

QuantConfig config_of(Method method) {
  QuantConfig config;
  config.method = method;
  config.weights.num_bits = 4;
  config.weights.group_size = 32;
  config.ignore = {"head"};
  return config;
}

TEST(FrozenCodes, AModelHasNoMastersAndTrainsScalesAlone) {
  ToyModel source;
  prepare(source, config_of(Method::rtn), ScaleInit::from_weights);
  const PackedModel packed = pack_model(source, RestType::bfloat16);
  ToyModel model;
  prepare(model, config_of(Method::e2e_qp), ScaleInit::from_weights);
  freeze_codes(model, packed.weights, "the source");
  const auto state = state_of(model, StateScope::checkpoint);
  EXPECT_EQ(state.count("blocks.0.fc1.weight"), 0U);
  EXPECT_EQ(state.at("blocks.0.fc1.weight_quantizer.codes").scalar_type(), at::kByte);
  EXPECT_EQ(state.count("head.weight"), 1U);
  for (const auto& item : model.named_parameters()) {
    EXPECT_EQ(item.value().requires_grad(), item.key().ends_with("log_scale")) << item.key();
  }
  const at::Tensor indices = at::arange(5);
  EXPECT_TRUE(same_bits(model.forward(indices), source.forward(indices)));
  EXPECT_TRUE(pack_model(model, RestType::bfloat16).weights == packed.weights);
  EXPECT_EQ(count_bits(model, RestType::bfloat16).model_bits(), count_bits(packed).model_bits());
  // A checkpoint of it, read back.
  ToyModel again;
  prepare(again, config_of(Method::e2e_qp), ScaleInit::left_for_load);
  load_state(again, state);
  EXPECT_TRUE(same_bits(again.forward(indices), model.forward(indices)));
  EXPECT_EQ(parameter_hash(again), parameter_hash(model));
}

TEST(FrozenCodes, EveryLayerThatDoesNotFitIsNamed) {
  ToyModel source;
  QuantConfig theirs = config_of(Method::rtn);
  theirs.ignore = {"head", "blocks.1.fc2"};
  theirs.overrides.resize(1);
  theirs.overrides[0].match = "blocks.0.fc1";
  theirs.overrides[0].weights.num_bits = 8;
  prepare(source, theirs, ScaleInit::from_weights);
  ToyModel model;
  QuantConfig ours = config_of(Method::e2e_qp);
  ours.ignore = {"head", "blocks.0.fc2"};
  prepare(model, ours, ScaleInit::from_weights);
  try {
    freeze_codes(model, pack_model(source, RestType::bfloat16).weights, "runs/other");
    FAIL();
  } catch (const data::InputError& error) {
    for (const std::string part :
         {"runs/other", "blocks.0.fc1: codes of int8.g32.sym [128, 64], the configuration wants int4.g32.sym",
          "blocks.0.fc2: codes of int4.g32.sym, the configuration leaves it unquantised",
          "blocks.1.fc2: no codes, the configuration wants int4.g32.sym"}) {
      EXPECT_THAT(error.what(), testing::HasSubstr(part));
    }
  }
}

TEST(RoundMasters, MakesThemTheWeightsOfTheirCodesAndNothingElse) {
  std::vector<SpecConfig> all(5);
  all[0].num_bits = 4;
  all[1].num_bits = 2;
  all[2].num_bits = 3;
  all[2].symmetric = false;
  all[3].format = FloatFormat::e2m1;
  all[3].symmetric = false;  // two scales, and a negative zero
  all[4].type = NumberType::ternary;
  const at::Tensor indices = at::arange(5);
  for (SpecConfig& weights : all) {
    QuantConfig config = config_of(Method::rtn);
    weights.group_size = 32;
    config.weights = weights;
    ToyModel model;
    prepare(model, config, ScaleInit::from_weights);
    const at::Tensor before = model.forward(indices);
    const PackedModel packed = pack_model(model, config.rest_dtype);
    const at::Tensor head = model.head->weight.detach().clone();
    round_masters(model);
    EXPECT_TRUE(same_bits(model.forward(indices), before));
    const PackedModel after = pack_model(model, config.rest_dtype);
    EXPECT_TRUE(after.weights == packed.weights);
    for (const auto& [name, linear] : linear_layers(model)) {
      if (linear->weight_quantizer()) {
        EXPECT_TRUE(same_bits(linear->effective_weight(), linear->weight.detach())) << name;
      }
    }
    EXPECT_TRUE(same_bits(model.head->weight.detach(), head));
  }
}

TEST(RoundMasters, ALayerThatWouldGetOtherCodesIsNamed) {
  ToyModel model;
  {
    const at::NoGradGuard no_grad;  // its level is -8 amax / 7.5
    model.named_parameters()["blocks.0.fc2.weight"][0][0] = -3.4e38;
  }
  QuantConfig config = config_of(Method::rtn);
  config.scale_search = ScaleSearch::absmax;
  config.weights.scale_dtype = ScaleType::float32;
  prepare(model, config, ScaleInit::from_weights);
  EXPECT_THAT(
      test::message_of([&] { round_masters(model); }),
      testing::HasSubstr("blocks.0.fc2: codes of int4.g32.sym.float32 whose weights have other codes"));
}

TEST(ChangeSpecs, FindsScalesFromTheMastersOfTheLayersThatChange) {
  ToyModel model;
  QuantConfig config = config_of(Method::lsq);
  config.overrides.resize(1);
  config.overrides[0].match = "blocks.0.fc1";
  config.overrides[0].weights.num_bits = 8;
  prepare(model, config, ScaleInit::from_weights);
  QuantConfig wide = config;
  wide.weights.num_bits = 8;
  const std::vector<std::string> names = change_specs(model, wide);
  EXPECT_THAT(names, testing::UnorderedElementsAre("blocks.0.fc2.weight_quantizer.log_scale",
                                                   "blocks.0.ada_lin.1.weight_quantizer.log_scale",
                                                   "blocks.1.fc1.weight_quantizer.log_scale",
                                                   "blocks.1.fc2.weight_quantizer.log_scale",
                                                   "blocks.1.ada_lin.1.weight_quantizer.log_scale"));
  ToyModel expected;
  prepare(expected, wide, ScaleInit::from_weights);
  EXPECT_EQ(parameter_hash(model), parameter_hash(expected));
  EXPECT_TRUE(change_specs(model, wide).empty());
}

}  // namespace
}  // namespace bitlaw::quant
