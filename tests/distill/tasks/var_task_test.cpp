// Training of VARs: the losses are what they say, gradients arrive where they should, and figures match by
// hand.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "distill/tasks/distill_task.h"
#include "distill/tasks/pretrain_task.h"
#include "quant/prepare.h"
#include "tests/distill/tasks/tiny.h"

namespace bitlaw::distill {
namespace {

using tiny::make_tokenizer;
using tiny::make_var;
using tiny::token_batch;
using tiny::value;

DistillTask::Objective objective_of(Loss loss) {
  DistillConfig config;
  config.loss = loss;
  config.top_k = 4;
  return {divergence_spec(config, tiny::kVocabulary), 0.0};
}

DistillTask distill_task(std::shared_ptr<Var> student, std::shared_ptr<Var> teacher,
                         const DistillTask::Objective& objective, double label_drop = 0.0) {
  return DistillTask(std::move(student), make_tokenizer(), Teacher(std::move(teacher)),
                     {.seed = 5, .label_drop = label_drop, .scale_weights = {}}, objective);
}

quant::QuantConfig lsq_config() {
  quant::QuantConfig config;
  config.method = quant::Method::lsq;
  config.weights.num_bits = 3;
  config.weights.strategy = quant::Strategy::group;
  config.weights.group_size = 16;
  config.ignore = {"head"};
  return config;
}

// Logits of a network for a batch, with the labels that it was given.
at::Tensor logits_of(Var& model, const at::Tensor& labels, const data::Batch& batch) {
  const at::NoGradGuard no_grad;
  auto tokenizer = make_tokenizer();
  return model.forward(labels, tokenizer->quantizer().var_input(batch.tokens)).to(at::kFloat).flatten(0, 1);
}

TEST(PretrainTask, LossIsTheMeanCrossEntropy) {
  auto model = make_var(1);
  PretrainTask task(model, make_tokenizer(), std::nullopt, {});
  const data::Batch batch = token_batch(0, 4);
  const double expected =
      value(at::cross_entropy_loss(logits_of(*model, batch.labels, batch), batch.tokens.flatten()));
  const LossTerms loss = task.loss(batch);
  EXPECT_NEAR(value(loss.total), expected, 1e-5);
  ASSERT_EQ(loss.terms.size(), 1U);
  EXPECT_EQ(loss.terms[0].first, "cross_entropy");
  EXPECT_FALSE(loss.terms[0].second.requires_grad());
}

TEST(PretrainTask, MicroBatchesAverageToTheWhole) {
  PretrainTask task(make_var(1), make_tokenizer(), std::nullopt,
                    {.seed = 2, .label_drop = 0.5, .scale_weights = {3.0, 1.0, 0.5}});
  const double whole = value(task.loss(token_batch(0, 8)).total);
  const double halves =
      0.5 * (value(task.loss(token_batch(0, 4)).total) + value(task.loss(token_batch(4, 4)).total));
  EXPECT_NEAR(whole, halves, 1e-5);
}

TEST(PretrainTask, Learns) {
  PretrainTask task(make_var(1), make_tokenizer(), std::nullopt,
                    {.seed = 1, .label_drop = 0.1, .scale_weights = {}});
  tiny::Adam optimizer(task.parameters(), 3e-3);
  double first = 0.0;
  double last = 0.0;
  for (std::int64_t step = 0; step < 60; ++step) {
    const LossTerms loss = task.loss(token_batch(step * 8, 8, step));
    loss.total.backward();
    optimizer.step();
    last = value(loss.total);
    first = step == 0 ? last : first;
  }
  EXPECT_LT(last, 0.5 * first);
}

TEST(PretrainTask, ImagesAreTokenisedOnTheFly) {
  auto tokenizer = make_tokenizer();
  PretrainTask task(make_var(1), tokenizer, std::nullopt, {});
  const data::Batch images = tiny::image_batch(0, 4);
  data::Batch tokens = images;
  tokens.tokens = tokenizer->encode(images.images);
  tokens.images = at::Tensor();
  EXPECT_EQ(value(task.loss(images).total), value(task.loss(tokens).total));
  EXPECT_EQ(task.tokens_per_sample(), tiny::kTokens);
}

TEST(DistillTask, LossIsTheDivergence) {
  auto student = make_var(1);
  auto teacher = make_var(2);
  const data::Batch batch = token_batch(0, 4);
  const at::Tensor log_q = logits_of(*student, batch.labels, batch).log_softmax(1);
  const at::Tensor log_p = logits_of(*teacher, batch.labels, batch).log_softmax(1);
  const double kl = value((log_p.exp() * (log_p - log_q)).sum(1).mean());
  DistillTask task = distill_task(student, teacher, objective_of(Loss::forward_kl));
  const LossTerms loss = task.loss(batch);
  EXPECT_NEAR(value(loss.total), kl, 1e-5);
  ASSERT_EQ(loss.terms.size(), 1U);
  EXPECT_EQ(loss.terms[0].first, "forward_kl");
}

TEST(DistillTask, CrossEntropyIsAddedByItsWeight) {
  DistillTask::Objective objective = objective_of(Loss::topkld);
  objective.ce_weight = 0.25;
  DistillTask task = distill_task(make_var(1), make_var(2), objective);
  const LossTerms loss = task.loss(token_batch(0, 4));
  ASSERT_EQ(loss.terms.size(), 2U);
  EXPECT_EQ(loss.terms[0].first, "topkld");
  EXPECT_EQ(loss.terms[1].first, "cross_entropy");
  EXPECT_NEAR(value(loss.total), value(loss.terms[0].second) + 0.25 * value(loss.terms[1].second), 1e-6);
}

// Also when labels are dropped: only if both see the same ones is the divergence zero.
TEST(DistillTask, ATeacherThatIsTheStudentHasNothingToTeach) {
  for (const Loss kind : {Loss::topkld, Loss::forward_kl, Loss::reverse_kl, Loss::jsd}) {
    DistillTask task = distill_task(make_var(3), make_var(3), objective_of(kind), 0.5);
    const LossTerms loss = task.loss(token_batch(0, 16));
    EXPECT_NEAR(value(loss.total), 0.0, 1e-6);
    loss.total.backward();
    for (const NamedParameter& parameter : task.parameters()) {
      if (parameter.tensor.grad().defined()) {
        EXPECT_LT(value(parameter.tensor.grad().abs().max()), 1e-6) << parameter.name;
      }
    }
  }
}

TEST(DistillTask, DroppedLabelsReachTeacherAndStudent) {
  auto student = make_var(1);
  auto teacher = make_var(2);
  const data::Batch batch = token_batch(0, 4);
  const at::Tensor dropped = at::full({4}, tiny::kClasses, at::kLong);
  const at::Tensor log_q = logits_of(*student, dropped, batch).log_softmax(1);
  const at::Tensor log_p = logits_of(*teacher, dropped, batch).log_softmax(1);
  const double kl = value((log_p.exp() * (log_p - log_q)).sum(1).mean());
  DistillTask task = distill_task(student, teacher, objective_of(Loss::forward_kl), 1.0);
  EXPECT_NEAR(value(task.loss(batch).total), kl, 1e-5);
}

TEST(DistillTask, GradientsReachWeightsAndScalesAndNotTheTeacher) {
  auto student = make_var(1);
  auto teacher = make_var(1);
  quant::prepare(*student, lsq_config(), quant::ScaleInit::from_weights);
  DistillTask task = distill_task(student, teacher, objective_of(Loss::topkld));
  task.loss(token_batch(0, 8)).total.backward();
  int scales = 0;
  for (const NamedParameter& parameter : task.parameters()) {
    if (parameter.role == ParameterRole::quantizer_scale) {
      ASSERT_TRUE(parameter.tensor.grad().defined()) << parameter.name;
      EXPECT_GT(value(parameter.tensor.grad().abs().max()), 0.0) << parameter.name;
      ++scales;
    }
  }
  EXPECT_EQ(scales, 2 * 5 + 1);  // qkv, proj, fc1, fc2, ada_lin of two blocks, and the head's AdaLN
  for (const at::Tensor& parameter : teacher->parameters()) {
    EXPECT_FALSE(parameter.requires_grad());
    EXPECT_FALSE(parameter.grad().defined());
  }
}

TEST(DistillTask, QuantisedStudentComesNearerToItsTeacher) {
  auto student = make_var(1);
  quant::QuantConfig config = lsq_config();
  config.ignore = {};
  quant::prepare(*student, config, quant::ScaleInit::from_weights);
  DistillTask task = distill_task(student, make_var(1), objective_of(Loss::topkld));
  tiny::Adam optimizer(task.parameters(), 1e-3);
  const auto divergence = [&] { return task.report(task.evaluate(token_batch(1000, 24)))[1]; };
  const auto before = divergence();
  for (std::int64_t step = 0; step < 40; ++step) {
    task.loss(token_batch(step * 8, 8, step)).total.backward();
    optimizer.step();
  }
  const auto after = divergence();
  EXPECT_EQ(before.first, "kl_teacher_student");
  EXPECT_GT(before.second, 1e-4);
  EXPECT_LT(after.second, 0.6 * before.second);
}

TEST(VarTask, FiguresByHand) {
  auto student = make_var(1);
  auto teacher = make_var(2);
  const data::Batch batch = token_batch(0, 6);
  const at::Tensor q = logits_of(*student, batch.labels, batch).to(at::kDouble);
  const at::Tensor p = logits_of(*teacher, batch.labels, batch).to(at::kDouble);
  const at::Tensor y = batch.tokens.flatten();
  const at::Tensor log_q = q.log_softmax(1);
  const at::Tensor log_p = p.log_softmax(1);
  DistillTask task = distill_task(student, teacher, objective_of(Loss::topkld), 1.0);  // no drop in evaluate
  const quant::Statistics sums = task.evaluate(batch);
  EXPECT_EQ(sums.scalar("samples"), 6.0);
  EXPECT_EQ(sums.scalar("tokens"), 6.0 * tiny::kTokens);
  const auto figures = task.report(sums);
  ASSERT_EQ(figures.size(), 5U);
  EXPECT_EQ(figures[0].first, "cross_entropy");
  EXPECT_NEAR(figures[0].second, value(at::nll_loss(log_q, y)), 1e-6);
  EXPECT_NEAR(figures[1].second, value((log_p.exp() * (log_p - log_q)).sum(1).mean()), 1e-6);
  EXPECT_EQ(figures[2].first, "kl_student_teacher");
  EXPECT_NEAR(figures[2].second, value((log_q.exp() * (log_q - log_p)).sum(1).mean()), 1e-6);
  EXPECT_EQ(figures[3].first, "top1_agreement");
  EXPECT_EQ(figures[3].second, value(q.argmax(1).eq(p.argmax(1)).to(at::kDouble).mean()));
  EXPECT_EQ(figures[4].first, "accuracy");
  EXPECT_EQ(figures[4].second, value(q.argmax(1).eq(y).to(at::kDouble).mean()));
}

TEST(RoleOf, FollowsNameAndShape) {
  const at::Tensor matrix = at::zeros({2, 2});
  EXPECT_EQ(role_of("blocks.0.attn.mat_qkv.weight", matrix), ParameterRole::weight);
  EXPECT_EQ(role_of("word_embed.weight", matrix), ParameterRole::weight);
  for (const std::string name : {"log_scale", "log_scale_negative", "learned_zero_point"}) {
    EXPECT_EQ(role_of("blocks.0.attn.mat_qkv.weight_quantizer." + name, matrix),
              ParameterRole::quantizer_scale)
        << name;
  }
  EXPECT_EQ(role_of("blocks.0.ffn.fc1.input_quantizer.offset", at::zeros({1})),
            ParameterRole::quantizer_scale);
  EXPECT_EQ(role_of("blocks.0.ffn.fc1.input_quantizer.alpha", at::zeros({1})), ParameterRole::clipping_value);
  for (const char* name : {"pos_start", "pos_1LC", "lvl_embed.weight", "class_emb.weight",
                           "blocks.1.attn.scale_mul_1H11", "blocks.1.ada_gss", "quantize.embedding.weight"}) {
    EXPECT_EQ(role_of(name, matrix), ParameterRole::no_decay) << name;
  }
  EXPECT_EQ(role_of("blocks.0.ffn.fc1.bias", at::zeros({2})), ParameterRole::no_decay);
}

}  // namespace
}  // namespace bitlaw::distill
