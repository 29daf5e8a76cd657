// Models that no task trains: in by import, quantised without a sample, out packed and proved.
#include "launch/quantise_alone.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "data/formats/safetensors.h"
#include "data/formats/tensor_io.h"
#include "launch/evaluation.h"
#include "launch/model_export.h"
#include "launch/proof_outputs.h"
#include "launch/rank_group.h"
#include "launch/run_folder.h"
#include "launch/weights_import.h"
#include "quant/containers/model_state.h"
#include "quant/prepare.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"
#include "trainer/comm/thread_group.h"

namespace bitlaw::launch {
namespace {
namespace fs = std::filesystem;

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::int64_t kClasses = 3;

trainer::RunConfig config_of(distill::Family family) {
  trainer::RunConfig config;
  config.model.family = family;
  config.model.depth = 2;
  config.model.width = 32;
  config.model.num_heads = 2;
  config.model.dit = {2, 8, 4, true};
  config.model.raster = {40, 4, true};
  return config;
}

class QuantiseAlone : public testing::TestWithParam<distill::Family> {
 protected:
  QuantiseAlone() : config_(config_of(GetParam())) {
    network_ = distill::make_model(config_.model, config_.model.vq, kClasses);
    network_->eval();
    at::manual_seed(5);
    const at::NoGradGuard no_grad;
    data::SafetensorsFile file;
    for (const auto& item : network_->named_parameters()) {
      item.value().normal_(0.0, 0.2);
      file.tensors.emplace(item.key(), data::raw_tensor_of(item.value()));
    }
    for (const auto& item : network_->named_buffers()) {
      file.tensors.emplace(item.key(), data::raw_tensor_of(item.value()));
    }
    data::write_safetensors(folder_ / "weights.safetensors", file);
    import_weights({folder_ / "weights.safetensors", std::nullopt, "", config_, folder_ / "import"});
  }

  // A run of the import: 8-bit HQQ, or what the caller makes of it.
  trainer::RunConfig run_config() const {
    trainer::RunConfig config = config_;
    config.run.name = std::string("r");
    config.run.dir = (folder_ / "runs").string();
    config.model.init = (folder_ / "import").string();
    config.quant.method = quant::Method::hqq;
    config.quant.weights.num_bits = 8;
    config.quant.weights.symmetric = false;
    config.quant.weights.zero_point_dtype = quant::ZeroPointType::float16;
    config.quant.weights.group_size = 16;
    config.train.max_steps = 0;
    return config;
  }
  trainer::RunConfig nearest_config() const {
    trainer::RunConfig config = run_config();
    config.quant.method = quant::Method::rtn;
    config.quant.weights = {};
    config.quant.weights.num_bits = 4;
    config.quant.weights.group_size = 16;
    return config;
  }
  static int run(const trainer::RunConfig& config) {
    TrainingOptions options;
    options.verbosity = trainer::Verbosity::quiet;
    return quantise_alone(config, options);
  }
  static std::string refusal(const trainer::RunConfig& config) {
    return message_of([&] { run(config); });
  }

  test::TemporaryFolder folder_;
  trainer::RunConfig config_;
  std::shared_ptr<torch::nn::Module> network_;
};

TEST_P(QuantiseAlone, TheImportIsTheNetwork) {
  const at::NoGradGuard no_grad;
  const LoadedModel loaded = load_model(folder_ / "import");
  EXPECT_EQ(loaded.origin.num_classes, kClasses);
  EXPECT_EQ(loaded.origin.parameter_hash, quant::parameter_hash(*network_));
  const at::Tensor ours = proof_outputs(*loaded.model, kClasses).back();
  EXPECT_TRUE(at::equal(ours, proof_outputs(*network_, kClasses).back()));
  EXPECT_GT(ours.abs().max().item<double>(), 0.0);
}

TEST_P(QuantiseAlone, LeavesARunThatIsExportedAndProved) {
  const trainer::RunConfig config = run_config();
  EXPECT_EQ(run(config), 0);
  const LoadedModel trained = load_model(run_path(config));
  EXPECT_EQ(trained.origin.step, 0);
  EXPECT_EQ(trained.origin.num_classes, kClasses);
  EXPECT_EQ(read_finished(run_path(config))->parameter_hash, trained.origin.parameter_hash);
  const VerifyReport report = export_model(trained, folder_ / "model.h5");
  EXPECT_GE(report.packed_layers, 2 * 4);
  const at::NoGradGuard no_grad;
  const at::Tensor packed = proof_outputs(*load_model(folder_ / "model.h5").model, kClasses).back();
  const at::Tensor full = proof_outputs(*network_, kClasses).back();
  const double error = ((packed - full).square().mean() / full.square().mean()).sqrt().item<double>();
  EXPECT_GT(error, 0.0);
  EXPECT_LT(error, 0.2);
  EXPECT_EQ(run(config), 0);  // nothing to do
}

TEST_P(QuantiseAlone, MastersOfRoundingAreTheDeployedWeights) {
  trainer::RunConfig config = run_config();
  config.quant.method = quant::Method::rtn;
  config.quant.weights.num_bits = 3;
  config.quant.weights.zero_point_dtype.reset();
  EXPECT_EQ(run(config), 0);
  const LoadedModel rounded = load_model(run_path(config));
  for (const auto& [name, linear] : quant::linear_layers(*rounded.model)) {
    if (linear->weight_quantizer()) {
      EXPECT_TRUE(at::equal(linear->weight, linear->effective_weight())) << name;
      EXPECT_FALSE(at::equal(linear->weight, network_->named_parameters()[name + ".weight"])) << name;
    }
  }
}

// What is rounded to nearest is the import's own weight, and what is saved has the inputs' quantizers.
TEST_P(QuantiseAlone, InputsMayHaveScalesOfTheirOwn) {
  const at::NoGradGuard no_grad;
  trainer::RunConfig config = nearest_config();
  EXPECT_EQ(run(config), 0);
  const at::Tensor weights_alone = proof_outputs(*load_model(run_path(config)).model, kClasses).back();
  config.run.name = "inputs";
  config.quant.activations = quant::ActivationConfig{};
  config.quant.activations->num_bits = 8;
  EXPECT_EQ(run(config), 0);
  const at::Tensor both = proof_outputs(*load_model(run_path(config)).model, kClasses).back();
  EXPECT_FALSE(at::equal(both, weights_alone));
  EXPECT_LT((both - weights_alone).abs().max().item<double>(),
            0.1 * weights_alone.abs().max().item<double>());
}

// Rounding what was rounded to other levels is refused, as it is where there are samples.
TEST_P(QuantiseAlone, AQuantisedModelKeepsItsSpecs) {
  trainer::RunConfig config = nearest_config();
  EXPECT_EQ(run(config), 0);
  export_model(load_model(run_path(config)), folder_ / "model.h5");
  for (const fs::path& source : {run_path(config), folder_ / "model.h5"}) {
    trainer::RunConfig next = nearest_config();
    next.run.name = "next-" + source.filename().string();
    next.model.init = source.string();
    next.quant.weights.num_bits = 2;
    EXPECT_THAT(refusal(next), AllOf(HasSubstr("model.init: " + source.string()),
                                     HasSubstr("int4.g16.sym there"), HasSubstr("int2h.g16.sym here")));
    EXPECT_FALSE(fs::exists(run_path(next)));
    next.quant.weights.num_bits = 4;
    EXPECT_EQ(run(next), 0);
  }
}

TEST_P(QuantiseAlone, AFinishedRunThatIsDamagedIsNotDone) {
  const trainer::RunConfig config = run_config();
  EXPECT_EQ(run(config), 0);
  std::ofstream(run_path(config) / "finished") << R"({"step": "x"})";
  EXPECT_EQ(run(config), 0);  // again: no mark
  EXPECT_TRUE(read_finished(run_path(config)));
  fs::resize_file(run_path(config) / "checkpoints" / "step-00000000" / "rank-00000-of-00001.h5", 100);
  EXPECT_THAT(refusal(config), HasSubstr("step-00000000"));
  fs::remove_all(run_path(config) / "checkpoints");
  EXPECT_EQ(run(config), 0);
  EXPECT_EQ(load_model(run_path(config)).origin.step, 0);
}

TEST_P(QuantiseAlone, AWishToStopIsHeard) {
  const trainer::RunConfig config = run_config();
  trainer::install_stop_signals();
  std::raise(SIGTERM);
  EXPECT_THROW(run(config), trainer::StopRequested);
  EXPECT_FALSE(fs::exists(run_path(config)));
  trainer::install_stop_signals();
  EXPECT_EQ(run(config), 0);
}

TEST(RankGroup, AllLeaveAtTheNextShareOfLayers) {
  trainer::install_stop_signals();
  trainer::run_thread_group(3, [](trainer::Collective& collective) {
    const distill::RankGroup group = rank_group(collective);
    group.poll();
    group.poll();
    collective.barrier();
    if (collective.rank() == 1) std::raise(SIGUSR1);
    collective.barrier();
    group.poll();  // casts the wish
    EXPECT_THROW(group.poll(), trainer::StopRequested);
  });
  trainer::install_stop_signals();
}

TEST_P(QuantiseAlone, RefusesWhatDoesNotFit) {
  trainer::RunConfig config = run_config();
  config.model.depth = 3;
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("model.init"), HasSubstr("do not fit this model")));
  config = run_config();
  config.model.family = distill::Family::var;
  EXPECT_THAT(refusal(config), AllOf(HasSubstr(std::string(distill::noun_of(GetParam())) + ", not a VAR")));
  config = run_config();
  config.model.num_heads = 4;  // no tensor shows these
  config.model.dit.latent_side = 16;
  config.model.raster.tokens_per_side = 8;
  const bool is_dit = GetParam() == distill::Family::dit;
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("is another network (model.num_heads is 2 there, 4 here, "),
                                     HasSubstr(is_dit ? "model.dit.latent_side is 8 there, 16 here"
                                                      : "model.raster.tokens_per_side is 4 there, 8 here")));
  config = run_config();
  config.model.num_heads = 0;  // width / 64, at least one: other ones than were imported
  EXPECT_THAT(refusal(config), HasSubstr("model.num_heads is 2 there, 1 here"));
  config = run_config();
  config.quant.weights.group_size = 7;
  EXPECT_THAT(refusal(config), HasSubstr("7"));
  EXPECT_FALSE(fs::exists(config.run.dir));
}

TEST_P(QuantiseAlone, IsShownNoSamples) {
  EvaluationRequest request;
  request.model = folder_ / "import";
  request.data = (folder_ / "nowhere").string();
  EXPECT_THAT(message_of([&] { prepare_evaluation(request); }),
              AllOf(HasSubstr("is " + std::string(distill::noun_of(GetParam()))), HasSubstr("no figures")));
  trainer::RunConfig config = run_config();
  for (const quant::Method method : {quant::Method::rtn, quant::Method::hqq, quant::Method::gptq,
                                     quant::Method::awq, quant::Method::omniquant, quant::Method::block_ap}) {
    const bool by_weights = method == quant::Method::rtn || method == quant::Method::hqq;
    config = run_config();
    config.quant.method = method;
    EXPECT_EQ(needs_no_samples(config), by_weights) << data::enum_name(method);
    config.quant.activations = quant::ActivationConfig{};
    config.quant.activations->num_bits = 8;
    EXPECT_EQ(needs_no_samples(config), by_weights) << data::enum_name(method);
    config.quant.activations->dynamic = false;
    EXPECT_FALSE(needs_no_samples(config)) << data::enum_name(method);
    EXPECT_THAT(refusal(config), HasSubstr("without samples")) << data::enum_name(method);
  }
  config = run_config();
  config.quant.transforms = {quant::TransformKind::hadamard};
  EXPECT_TRUE(needs_no_samples(config));
  config.quant.transforms = {quant::TransformKind::smooth};
  EXPECT_FALSE(needs_no_samples(config));
  EXPECT_FALSE(fs::exists(config.run.dir));
  config = run_config();
  config.data.train = "tokens";
  EXPECT_FALSE(needs_no_samples(config));
}

INSTANTIATE_TEST_SUITE_P(Families, QuantiseAlone,
                         testing::Values(distill::Family::dit, distill::Family::raster),
                         [](const auto& family) { return std::string(data::enum_name(family.param)); });

}  // namespace
}  // namespace bitlaw::launch
