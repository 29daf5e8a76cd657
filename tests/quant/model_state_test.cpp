// A model into a packed file and back, and its state by name.
#include "quant/containers/model_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "data/formats/input_error.h"
#include "quant/bits.h"
#include "quant/prepare.h"
#include "tests/quant/toy_model.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

QuantConfig config_of(bool symmetric) {
  QuantConfig config;
  config.method = Method::lsq;
  config.weights.num_bits = 3;
  config.weights.symmetric = symmetric;
  config.weights.strategy = Strategy::group;
  config.weights.group_size = 32;
  config.ignore = {"head"};
  return config;
}

TEST(ModelState, FileGivesTheWeightsThatWereTrained) {
  const auto path = std::filesystem::path(testing::TempDir()) / "model_state_test.h5";
  const at::Tensor indices = at::tensor({1, 4, 9, 0, 3}, at::kLong);
  for (const bool symmetric : {true, false}) {
    for (const RestType rest : {RestType::bfloat16, RestType::float16, RestType::float32}) {
      ToyModel trained;
      QuantConfig config = config_of(symmetric);
      config.rest_dtype = rest;
      config.activations = ActivationConfig{};
      prepare(trained, config, ScaleInit::from_weights);
      trained.named_buffers()["step_count"].fill_(12345678901);
      write_native(path, pack_model(trained, rest));
      ToyModel loaded;
      load_packed(loaded, read_native(path));
      EXPECT_TRUE(same_bits(loaded.forward(indices), trained.forward(indices)));
      const auto loaded_layers = linear_layers(loaded);
      const auto trained_layers = linear_layers(trained);
      ASSERT_EQ(loaded_layers.size(), trained_layers.size());
      for (std::size_t i = 0; i < trained_layers.size(); ++i) {
        EXPECT_TRUE(same_bits(loaded_layers[i].second->weight, trained_layers[i].second->effective_weight()))
            << trained_layers[i].first;
        EXPECT_EQ(loaded_layers[i].second->activation_spec(), trained_layers[i].second->activation_spec());
      }
      EXPECT_EQ(loaded.named_buffers()["step_count"][2].item<std::int64_t>(), 12345678901);
    }
  }
  std::filesystem::remove(path);
}

TEST(ModelState, PackedModelHoldsWhatTheForwardNeeds) {
  ToyModel model;
  prepare(model, config_of(true), ScaleInit::from_weights);
  const PackedModel packed = pack_model(model, RestType::bfloat16);
  std::vector<std::string> tensors;
  for (const auto& [name, raw] : packed.tensors) {
    tensors.push_back(name);
    EXPECT_EQ(raw.dtype, name == "step_count" ? data::DType::int64 : data::DType::bfloat16) << name;
  }
  EXPECT_THAT(tensors,
              testing::ElementsAre("blocks.0.ada_lin.1.bias", "blocks.0.fc1.bias", "blocks.0.fc2.bias",
                                   "blocks.1.ada_lin.1.bias", "blocks.1.fc1.bias", "blocks.1.fc2.bias",
                                   "embed.weight", "head.weight", "pos", "step_count"));
  EXPECT_EQ(packed.weights.size(), 6U);
  EXPECT_EQ(packed.attributes.at("model_bits"),
            std::to_string(count_bits(model, RestType::bfloat16).model_bits()));
}

TEST(ModelState, RefusesNaNAndNamesTheTensor) {
  ToyModel model;
  prepare(model, config_of(true), ScaleInit::from_weights);
  const at::NoGradGuard no_grad;
  auto state = state_of(model, StateScope::deployed);
  state.at("blocks.0.fc2.weight")[1][2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message_of([&] { pack_model(model, RestType::bfloat16); }), HasSubstr("blocks.0.fc2.weight"));
  state.at("blocks.0.fc2.weight")[1][2] = 0.0F;
  state.at("pos")[0][0] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message_of([&] { pack_model(model, RestType::bfloat16); }), HasSubstr("tensor pos "));
  state.at("pos")[0][0] = 1e30F;  // finite, but not in float16
  EXPECT_THAT(message_of([&] { pack_model(model, RestType::float16); }), HasSubstr("tensor pos "));
}

TEST(ModelState, RefusesAFileOfAnotherModel) {
  ToyModel model;
  prepare(model, config_of(true), ScaleInit::from_weights);
  PackedModel packed = pack_model(model, RestType::bfloat16);
  packed.tensors.erase("pos");
  packed.tensors["extra"] = packed.tensors.at("embed.weight");
  packed.tensors.at("head.weight").shape = {64, 10};
  packed.activations.emplace("blocks.7.fc1", QuantSpec::parse("int8.token.sym"));
  ToyModel loaded;
  EXPECT_THAT(message_of([&] { load_packed(loaded, packed); }),
              AllOf(HasSubstr("missing: pos"), HasSubstr("unused: extra"),
                    HasSubstr("head.weight: shape [64, 10], the model has [10, 64]"),
                    HasSubstr("unused: activations of blocks.7.fc1")));
}

TEST(ModelState, StateKnowsTheRolesOfBuffers) {
  ToyModel model;
  prepare(model, config_of(false), ScaleInit::from_weights);
  const auto deployed = state_of(model, StateScope::deployed);
  const auto checkpoint = state_of(model, StateScope::checkpoint);
  EXPECT_TRUE(deployed.contains("blocks.0.fc1.weight_quantizer.log_scale"));
  EXPECT_TRUE(deployed.contains("blocks.0.fc1.weight_quantizer.zero_point"));
  EXPECT_TRUE(deployed.contains("step_count"));
  EXPECT_FALSE(deployed.contains("usage"));
  EXPECT_FALSE(checkpoint.contains("mask"));
  EXPECT_EQ(checkpoint.size(), deployed.size() + 1);
  EXPECT_TRUE(checkpoint.at("pos").is_alias_of(model.pos));
}

TEST(ModelState, LoadStateRestoresMastersAndQuantizers) {
  ToyModel source;
  prepare(source, config_of(false), ScaleInit::from_weights);
  std::map<std::string, at::Tensor> saved;
  for (const auto& [name, tensor] : state_of(source, StateScope::checkpoint)) {
    saved.emplace(name, tensor.clone());
  }
  saved.erase("usage");
  saved.emplace("mask", at::zeros({1}));  // constant: skipped, whatever it is
  ToyModel target;
  prepare(target, config_of(false), ScaleInit::left_for_load);
  EXPECT_NE(parameter_hash(target), parameter_hash(source));
  load_state(target, saved);
  EXPECT_EQ(parameter_hash(target), parameter_hash(source));
  const at::Tensor indices = at::tensor({1, 4, 9, 0, 3}, at::kLong);
  EXPECT_TRUE(same_bits(target.forward(indices), source.forward(indices)));
}

TEST(ModelState, HashIgnoresTrainingBuffersAndSeesEverythingElse) {
  ToyModel model;
  prepare(model, config_of(true), ScaleInit::from_weights);
  const std::string before = parameter_hash(model);
  EXPECT_EQ(before.size(), 32U);
  model.named_buffers()["usage"].fill_(3);
  EXPECT_EQ(parameter_hash(model), before);
  const at::NoGradGuard no_grad;
  model.named_parameters()["blocks.1.fc1.weight_quantizer.log_scale"][3][1] += 1e-3;
  EXPECT_NE(parameter_hash(model), before);
}

TEST(ModelState, LoadStateNamesAllDifferences) {
  ToyModel model;
  auto state = state_of(model, StateScope::checkpoint);
  state.erase("head.weight");
  state["heads.weight"] = at::zeros({10, 64});
  state["pos"] = at::zeros({5, 63});
  state["step_count"] = at::zeros({3});
  const std::string before = parameter_hash(model);
  EXPECT_THAT(message_of([&] { load_state(model, state); }),
              AllOf(HasSubstr("missing: head.weight"), HasSubstr("unused: heads.weight"),
                    HasSubstr("pos: shape [5, 63], the model has [5, 64]"), HasSubstr("step_count"),
                    Not(HasSubstr("usage"))));
  EXPECT_EQ(parameter_hash(model), before);
}

TEST(ModelState, DifferencesAreFoundWithoutValuesAndShownUpToABound) {
  ToyModel model;
  std::map<std::string, TensorKind> kinds;
  for (const auto& [name, tensor] : state_of(model, StateScope::checkpoint)) {
    kinds.emplace(name, TensorKind{tensor.sizes().vec(), tensor.is_floating_point()});
  }
  EXPECT_EQ(message_of([&] { check_state(model, kinds); }), "");
  kinds.at("head.weight").shape = {64, 10};
  kinds.at("pos").is_floating_point = false;
  for (int i = 0; i < 1000; ++i) {
    kinds.emplace(std::string("z").append(std::to_string(1000 + i)), TensorKind{{std::int64_t{1} << 60}});
  }
  EXPECT_THAT(message_of([&] { check_state(model, kinds); }),
              AllOf(HasSubstr("head.weight: shape [64, 10], the model has [10, 64]"),
                    HasSubstr("pos: whole numbers, the model has real ones"), HasSubstr("unused: z1000"),
                    HasSubstr("unused: z1063"), Not(HasSubstr("z1064")), HasSubstr("... and 936 more")));
}

// EMA: masters and quantiser state averaged by name are a model of their own.
TEST(ModelState, AveragedStateByNameIsAModel) {
  ToyModel model;
  prepare(model, config_of(true), ScaleInit::from_weights);
  std::map<std::string, at::Tensor> average;
  for (const auto& [name, tensor] : state_of(model, StateScope::deployed)) {
    average.emplace(name, tensor.is_floating_point() ? tensor * 0.9 + 0.01 : tensor.clone());
  }
  ToyModel averaged;
  prepare(averaged, config_of(true), ScaleInit::left_for_load);
  load_state(averaged, average);
  const std::string layer = "blocks.0.fc1";
  Quantizer expected(QuantSpec::parse("int3.g32.sym"), Method::lsq, 128, 64);
  {
    const at::NoGradGuard no_grad;
    expected.named_parameters()["log_scale"].copy_(average.at(layer + ".weight_quantizer.log_scale"));
  }
  ToyModel loaded;
  load_packed(loaded, pack_model(averaged, RestType::bfloat16));
  EXPECT_TRUE(same_bits(loaded.named_parameters()[layer + ".weight"],
                        expected.forward(average.at(layer + ".weight"))));
}

// VAR-d16 (width 1024, 16 blocks): packed bytes against the bits of the formula. Row padding to whole words
// and HDF5's own structures must fit into 1 % + 64 KiB; codes and scales are counted as they lie in the file.
TEST(ModelState, PackedSizeOfVarD16IsTheTheoreticalOne) {
  struct Shape {
    std::int64_t out;
    std::int64_t in;
  };
  const std::vector<Shape> block = {{3072, 1024}, {1024, 1024}, {4096, 1024}, {1024, 4096}, {6144, 1024}};
  for (const std::string text : {"int2h.g64.sym", "int3.g64.sym", "int4.g128.asym", "int5.channel.sym"}) {
    const QuantSpec spec = QuantSpec::parse(text);
    double theory = 0.0;
    double stored = 0.0;
    for (const Shape& shape : block) {
      const auto weights = static_cast<double>(shape.out * shape.in);
      const auto scales = static_cast<double>(shape.out * spec.groups(shape.in));
      theory += 16 * weights * spec.bits_per_weight(shape.out, shape.in);
      stored += 16 * static_cast<double>(shape.out * packed_words(shape.in, spec.bits())) * 32;
      stored += 16 * scales * (bits_of(spec.fields().scale_dtype) + (spec.fields().symmetric ? 0 : 8));
    }
    EXPECT_GE(stored, theory) << text;
    EXPECT_LE(stored, theory * 1.01 + 64 * 1024 * 8) << text;
  }
}

}  // namespace
}  // namespace bitlaw::quant
