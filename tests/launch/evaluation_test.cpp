// Figures of runs and exports, made by training tiny models for two steps.
#include "launch/evaluation.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "data/formats/tensor_io.h"
#include "distill/not_finite_error.h"
#include "distill/tasks/var_task.h"
#include "launch/model_export.h"
#include "launch/training_run.h"
#include "launch/training_sources.h"
#include "tests/data/shard_samples.h"
#include "tests/support/temporary_folder.h"
#include "trainer/comm/thread_group.h"

namespace bitlaw::launch {
namespace {
namespace fs = std::filesystem;
using test::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using Figures = std::vector<std::pair<std::string, double>>;

class Evaluation : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new test::TemporaryFolder();
    data::ShardManifest images = test::image_description(37);
    images.shape = {1, 8, 8};
    test::write_dataset(*folder_ / "images", images, 16);
    test::write_dataset(*folder_ / "foreign", test::token_description(20), 16);
    run(tokenizer_config());
    run(var_config("teacher"));
    trainer::RunConfig student = var_config("student");
    student.task.kind = distill::TaskKind::distill;
    student.model.init = "teacher";
    student.distill.teacher = path("teacher");
    student.distill.teacher_weights = distill::TeacherWeights::model;
    student.distill.top_k = 4;
    student.quant.method = quant::Method::lsq;
    student.quant.weights.num_bits = 2;
    run(student);
    export_model(load_model(path("student")), *folder_ / "model.h5");
    export_model(load_model(path("teacher"), wish_of_flag(true)), *folder_ / "averages.h5");
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string path(const std::string& name) { return (*folder_ / name).string(); }

  static trainer::RunConfig base_config(const std::string& name) {
    trainer::RunConfig config;
    config.run.name = name;
    config.run.dir = folder_->path().string();
    config.data.train = path("images");
    config.data.validation = path("images");
    config.train.global_batch_size = 4;
    config.train.micro_batch_size = 4;
    config.train.max_steps = 2;
    config.train.precision = trainer::Precision::fp32;
    config.eval.samples = 30;
    config.eval.micro_batch_size = 8;
    return config;
  }
  static trainer::RunConfig tokenizer_config() {
    trainer::RunConfig config = base_config("tokenizer");
    config.task.kind = distill::TaskKind::tokenizer;
    config.model.family = distill::Family::vq;
    distill::VqConfig& vq = config.model.vq;
    vq.image_channels = 1;
    vq.base_channels = 8;
    vq.channel_multipliers = {1, 1};
    vq.res_blocks = 1;
    vq.attention = false;
    vq.middle = false;
    vq.group_norm_groups = 4;
    vq.latent_channels = 4;
    vq.codebook_size = 16;
    vq.patch_nums = {1, 2, 4};
    vq.phi_convolutions = 3;
    return config;
  }
  static trainer::RunConfig var_config(const std::string& name) {
    trainer::RunConfig config = base_config(name);
    config.task.kind = distill::TaskKind::pretrain;
    config.tokenizer.from = path("tokenizer");
    config.model.depth = 2;
    config.model.width = 32;
    config.model.ada_lin_gamma = 0.5;
    config.optim.lr = 1e-2;
    config.train.ema_decay = 0.5;
    return config;
  }
  static void run(const trainer::RunConfig& config) {
    TrainingOptions options;
    options.verbosity = trainer::Verbosity::quiet;
    ASSERT_EQ(train(config, options), 0);
  }

  static EvaluationRequest request_of(const std::string& model) {
    EvaluationRequest request;
    request.model = path(model);
    return request;
  }
  static Figures figures_of(const EvaluationRequest& request) {
    EvaluationSetup setup = prepare_evaluation(request);
    return run_evaluation(setup, *trainer::make_serial_collective());
  }
  static std::map<std::string, double> map_of(const EvaluationRequest& request) {
    const Figures figures = figures_of(request);
    return {figures.begin(), figures.end()};
  }

  static test::TemporaryFolder* folder_;
};
test::TemporaryFolder* Evaluation::folder_ = nullptr;

TEST_F(Evaluation, DefaultsComeFromTheRunsOwnConfiguration) {
  const EvaluationSetup setup = prepare_evaluation(request_of("student"));
  EXPECT_EQ(setup.eval.samples, 30);
  EXPECT_EQ(setup.data_path, path("images"));
  ASSERT_TRUE(setup.teacher.has_value());
  EXPECT_THAT(setup.teacher->path.string(), HasSubstr("teacher"));
  const Figures figures = figures_of(request_of("student"));
  ASSERT_EQ(figures.size(), 5U);
  EXPECT_EQ(figures[0].first, "cross_entropy");
  EXPECT_GT(figures[1].second, 0.0);  // two bits are not the teacher
  EXPECT_EQ(figures_of(request_of("teacher")).size(), 2U);
}

TEST_F(Evaluation, ARunAndItsExportGiveTheSameFigures) {
  EXPECT_EQ(figures_of(request_of("student")), figures_of(request_of("model.h5")));
}

TEST_F(Evaluation, TheNumberOfRanksDoesNotMatter) {
  const Figures serial = figures_of(request_of("student"));
  std::vector<Figures> of_rank(2);
  trainer::run_thread_group(2, [&](trainer::Collective& collective) {
    EvaluationSetup setup = prepare_evaluation(request_of("student"));
    of_rank[static_cast<std::size_t>(collective.rank())] = run_evaluation(setup, collective);
  });
  EXPECT_EQ(of_rank[0], serial);
  EXPECT_EQ(of_rank[1], serial);
}

TEST_F(Evaluation, ANetworkIsItsOwnBestStudent) {
  EvaluationRequest request = request_of("teacher");
  request.teacher = path("teacher");
  request.teacher_weights = distill::TeacherWeights::model;
  const auto figures = map_of(request);
  EXPECT_EQ(figures.at("kl_teacher_student"), 0.0);
  EXPECT_EQ(figures.at("top1_agreement"), 1.0);
}

TEST_F(Evaluation, ATeacherCanBeLeftOut) {
  EvaluationRequest request = request_of("student");
  request.teacher = "none";
  const Figures figures = figures_of(request);
  ASSERT_EQ(figures.size(), 2U);
  EXPECT_EQ(figures[0], figures_of(request_of("student"))[0]);
}

TEST_F(Evaluation, ATokenizerIsJudgedByItsPictures) {
  const auto figures = map_of(request_of("tokenizer"));
  EXPECT_GT(figures.at("psnr"), 0.0);
  EXPECT_GT(figures.at("codebook_usage"), 0.0);
  EXPECT_NEAR(10.0 * std::log10(4.0 / figures.at("mse")), figures.at("psnr"), 0.5);
}

TEST_F(Evaluation, SamplesAreTheFirstOnesAndNotMoreThanThereAre) {
  EvaluationRequest request = request_of("student");
  request.samples = 1000;
  EXPECT_EQ(prepare_evaluation(request).eval.samples, 37);
  request.samples = 5;
  EvaluationSetup setup = prepare_evaluation(request);
  dump_logits(setup, *folder_ / "five.h5");
  const data::TensorFile file = data::TensorFile::open(*folder_ / "five.h5");
  EXPECT_EQ(file.info("tokens").shape, (std::vector<std::int64_t>{5, 21}));
  const at::Tensor labels = data::read_tensor(file, "labels");
  for (std::int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(labels[i].item<std::int64_t>(), test::label_of(i));
  }
}

TEST_F(Evaluation, ANetworkWithoutFiniteNumbersHasNoFigures) {
  EvaluationSetup setup = prepare_evaluation(request_of("student"));
  const at::NoGradGuard no_grad;
  setup.task->model().named_parameters()["head.bias"][3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(
      message_of<distill::NotFiniteError>([&] { run_evaluation(setup, *trainer::make_serial_collective()); }),
      AllOf(HasSubstr(path("student")), HasSubstr("cross_entropy nan  kl_teacher_student nan"),
            Not(HasSubstr("accuracy"))));
}

// The figures can be recomputed from the file alone.
TEST_F(Evaluation, DumpedLogitsGiveTheFigures) {
  EvaluationSetup setup = prepare_evaluation(request_of("student"));
  const Figures figures = run_evaluation(setup, *trainer::make_serial_collective());
  dump_logits(setup, *folder_ / "logits.h5");
  const data::TensorFile file = data::TensorFile::open(*folder_ / "logits.h5");
  EXPECT_EQ(file.info("student_logits").shape, (std::vector<std::int64_t>{30, 21, 16}));
  EXPECT_EQ(file.info("student_logits").dtype, data::DType::float32);
  const at::Tensor tokens = data::read_tensor(file, "tokens");
  const at::Tensor q = data::read_tensor(file, "student_logits").to(at::kDouble).log_softmax(-1);
  const at::Tensor p = data::read_tensor(file, "teacher_logits").to(at::kDouble).log_softmax(-1);
  const auto mean = [](const at::Tensor& values) { return values.mean().item<double>(); };
  EXPECT_NEAR(figures[0].second, -mean(q.gather(2, tokens.unsqueeze(2))), 1e-7);
  EXPECT_NEAR(figures[1].second, mean((p.exp() * (p - q)).sum(-1)), 1e-7);
  EXPECT_NEAR(figures[2].second, mean((q.exp() * (q - p)).sum(-1)), 1e-7);
  EXPECT_EQ(figures[3].second, mean(q.argmax(-1).eq(p.argmax(-1)).to(at::kDouble)));
  EXPECT_EQ(figures[4].second, mean(q.argmax(-1).eq(tokens).to(at::kDouble)));
}

TEST_F(Evaluation, AnExportIsOfTheWeightsItWasMadeWith) {
  EvaluationRequest request = request_of("averages.h5");
  EXPECT_EQ(prepare_evaluation(request).origin.weights, Weights::ema);
  const Figures averages = figures_of(request);
  request.weights = wish_of_flag(true);
  EXPECT_EQ(figures_of(request), averages);
  request.model = path("teacher");
  EXPECT_EQ(figures_of(request), averages);
  EXPECT_NE(figures_of(request_of("teacher")), averages);
  request.model = path("model.h5");
  EXPECT_THAT(
      message_of([&] { prepare_evaluation(request); }),
      AllOf(HasSubstr("--ema: moving averages are asked for"), HasSubstr("holds the trained weights")));
}

TEST_F(Evaluation, ATeachersExportHoldsWhatTheConfigurationSays) {
  EvaluationRequest request = request_of("student");
  request.teacher = path("averages.h5");  // nothing is said about its weights
  EXPECT_EQ(prepare_evaluation(request).teacher->weights, Weights::ema);
  request.teacher_weights = distill::TeacherWeights::model;
  EXPECT_THAT(message_of([&] { prepare_evaluation(request); }), HasSubstr("--teacher-weights: trained"));
  trainer::RunConfig config = var_config("other");
  config.distill.teacher = path("averages.h5");
  EXPECT_TRUE(load_training_sources(config).teacher.has_value());  // teacher_weights is ema
  config.distill.teacher_weights = distill::TeacherWeights::model;
  EXPECT_THAT(message_of([&] { load_training_sources(config); }),
              HasSubstr("distill.teacher_weights: trained weights are asked for"));
  config.distill.teacher = path("model.h5");
  EXPECT_TRUE(load_training_sources(config).teacher.has_value());
}

TEST_F(Evaluation, WhatDoesNotFitIsRefused) {
  const auto refusal = [](const EvaluationRequest& request) {
    return message_of([&] { prepare_evaluation(request); });
  };
  EvaluationRequest request = request_of("student");
  request.data = path("foreign");
  EXPECT_THAT(refusal(request),
              AllOf(HasSubstr("tokens of another tokenizer (0123456789abcdef"), HasSubstr("with --data")));
  request = request_of("tokenizer");
  request.data = path("foreign");
  EXPECT_THAT(refusal(request), HasSubstr("a data set of tokens"));
  request = request_of("student");
  request.teacher = path("tokenizer");
  request.teacher_weights = distill::TeacherWeights::model;
  EXPECT_THAT(refusal(request), AllOf(HasSubstr("is a tokenizer"), HasSubstr("--teacher none")));
  EXPECT_THAT(refusal(request_of("nowhere")), HasSubstr("nowhere"));
  EvaluationSetup setup = prepare_evaluation(request_of("tokenizer"));
  EXPECT_THAT(message_of([&] { dump_logits(setup, *folder_ / "x.h5"); }), HasSubstr("it has no logits"));
  EXPECT_FALSE(fs::exists(*folder_ / "x.h5"));
}

}  // namespace
}  // namespace bitlaw::launch
