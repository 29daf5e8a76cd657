// make_task: what fits is built with the right weights, what does not is refused with all reasons at once.
#include "distill/make_task.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/input_error.h"
#include "tests/distill/tiny_inputs.h"

namespace bitlaw::distill {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TaskInputs tokenizer_inputs() {
  TaskInputs inputs;
  inputs.task.kind = TaskKind::tokenizer;
  inputs.model.family = Family::vq;
  inputs.model.vq = tiny::vq_config();
  inputs.train.kind = "images";
  inputs.train.num_classes = tiny::kClasses;
  inputs.train.shape = {1, 8, 8};
  return inputs;
}

TEST(MakeTask, AStudentStartsFromItsTeacher) {
  const TaskInputs inputs = distill_inputs();
  const MadeTask made = make_task(inputs);
  EXPECT_TRUE(made.report.layers.empty());
  for (const auto& [name, tensor] : quant::state_of(made.task->model(), quant::StateScope::deployed)) {
    EXPECT_TRUE(tensor.equal(inputs.teacher->state.at(name))) << name;
  }
  const LossTerms loss = made.task->loss(tiny::token_batch(0, 4));
  EXPECT_NEAR(tiny::value(loss.total), 0.0, 1e-6);
}

TEST(MakeTask, TheTeachersWeightsAreCopied) {
  const TaskInputs inputs = distill_inputs();
  const MadeTask made = make_task(inputs);
  const at::NoGradGuard no_grad;
  for (const NamedParameter& parameter : made.task->parameters()) {
    parameter.tensor.add_(0.1);
  }
  EXPECT_GT(tiny::value(made.task->loss(tiny::token_batch(0, 4)).total),
            1e-4);  // the teacher did not move along
}

TEST(MakeTask, QuantisedStudentsAreReported) {
  TaskInputs inputs = distill_inputs();
  inputs.quant.method = quant::Method::lsq;
  inputs.quant.weights.num_bits = 3;
  const MadeTask made = make_task(inputs);
  EXPECT_FALSE(made.report.layers.empty());
  bool has_scales = false;
  for (const NamedParameter& parameter : made.task->parameters()) {
    has_scales = has_scales || parameter.role == ParameterRole::quantizer_scale;
  }
  EXPECT_TRUE(has_scales);
}

TEST(MakeTask, AnotherWidthAndDepthLearnsFromRandomWeights) {
  TaskInputs inputs = distill_inputs();
  inputs.model = tiny::var_config(3, 48);
  inputs.model.init = "random";
  const MadeTask made = make_task(inputs);
  const LossTerms loss = made.task->loss(tiny::token_batch(0, 4));
  EXPECT_GT(tiny::value(loss.total), 0.0);
}

TEST(MakeTask, InitOfAnotherShapeNamesTensorsAndTheRemedy) {
  TaskInputs inputs = distill_inputs();
  inputs.model = tiny::var_config(2, 48);
  inputs.model.init = "teacher";
  EXPECT_THAT(
      refusal(inputs),
      AllOf(HasSubstr("model.init: teacher"), HasSubstr("tensors of runs/teacher do not fit"),
            HasSubstr("there"), HasSubstr("use model.init: random, or model.depth 2 and model.width 32")));
  inputs.model = tiny::var_config(1, 32);
  inputs.model.init = "teacher";
  EXPECT_THAT(refusal(inputs), HasSubstr("blocks.1."));
}

// Without q/k norm no tensor of a VAR has an extent for its heads.
TEST(MakeTask, InitOfOtherHeadsIsAnotherNetwork) {
  TaskInputs inputs = distill_inputs();
  inputs.model.attn_l2_norm = false;
  inputs.model.num_heads = 2;
  inputs.teacher = var_source(inputs.model);
  EXPECT_EQ(refusal(inputs), "accepted");
  inputs.model.num_heads = 4;
  EXPECT_THAT(refusal(inputs), AllOf(HasSubstr("model.init: teacher: runs/teacher is another network"),
                                     HasSubstr("model.num_heads is 2 there, 4 here")));
  inputs.model.num_heads = 0;  // one, of this width
  EXPECT_THAT(refusal(inputs), HasSubstr("model.num_heads is 2 there, 1 here"));
}

TEST(MakeTask, InitFromAPath) {
  TaskInputs inputs = distill_inputs();
  inputs.task.kind = TaskKind::pretrain;
  inputs.model.init = "runs/teacher";
  inputs.init = inputs.teacher;
  const MadeTask made = make_task(inputs);
  EXPECT_TRUE(
      made.task->model().named_parameters()["head.weight"].equal(inputs.init->state.at("head.weight")));
  inputs.init.reset();
  EXPECT_THAT(refusal(inputs), HasSubstr("model.init: runs/teacher is not there"));
  inputs.resume = true;  // the checkpoint holds the weights
  EXPECT_EQ(refusal(inputs), "accepted");
}

TEST(MakeTask, TokensOfAnotherTokenizer) {
  TaskInputs inputs = distill_inputs();
  inputs.train.tokenizer_hash = "cc";
  EXPECT_THAT(refusal(inputs), AllOf(HasSubstr("tokens of another tokenizer (cc; runs/tokenizer is aa)"),
                                     HasSubstr("bitlaw data tokenize"), HasSubstr("1 problem:")));
}

TEST(MakeTask, AllProblemsAtOnce) {
  TaskInputs inputs = distill_inputs();
  inputs.teacher->tokenizer.codebook_size = 99;
  inputs.teacher->tokenizer.patch_nums = {1, 2, 3};
  inputs.teacher->num_classes = 4;
  inputs.teacher->tokenizer_hash = "dd";
  inputs.distill.top_k = 17;
  inputs.distill.scale_weights = {1.0, 2.0};
  const std::string message = refusal(inputs);
  EXPECT_THAT(message, AllOf(HasSubstr("6 problems:"), HasSubstr("vocabulary of 99 tokens, the student 16"),
                             HasSubstr("scales [1, 2, 3], the student [1, 2, 4]"),
                             HasSubstr("knows 4 classes, data.train has 3"), HasSubstr("tokenizer dd")));
  EXPECT_THAT(message, AllOf(HasSubstr("top_k"), HasSubstr("distill.scale_weights: 2 weights"),
                             HasSubstr("nothing was started")));
}

TEST(MakeTask, PatternsAndGroupsAreCheckedTogether) {
  TaskInputs inputs = distill_inputs();
  inputs.quant.method = quant::Method::lsq;
  inputs.quant.ignore = {"no.such.layer"};
  inputs.train.tokenizer_hash = "cc";
  EXPECT_THAT(refusal(inputs), AllOf(HasSubstr("2 problems:"), HasSubstr("no.such.layer"), HasSubstr("cc")));
}

TEST(MakeTask, MissingPieces) {
  TaskInputs inputs = distill_inputs();
  inputs.model.init = "random";
  inputs.teacher.reset();
  EXPECT_THAT(refusal(inputs), HasSubstr("distill.teacher: no teacher"));
  inputs.tokenizer.reset();
  EXPECT_THAT(refusal(inputs), HasSubstr("tokenizer.from: no tokenizer"));
  inputs = distill_inputs();
  inputs.teacher = tokenizer_source();
  inputs.model.init = "random";
  EXPECT_THAT(refusal(inputs), HasSubstr("runs/tokenizer is a tokenizer"));
  inputs = distill_inputs();
  inputs.task.kind = TaskKind::pretrain;
  EXPECT_THAT(refusal(inputs), HasSubstr("task.kind: pretrain has no teacher"));
  inputs = distill_inputs();
  inputs.model.num_heads = 5;
  EXPECT_THAT(refusal(inputs), HasSubstr("model.num_heads: 5 does not divide model.width 32"));
}

TEST(MakeTask, TokenizersAreMadeAndChecked) {
  const MadeTask made = make_task(tokenizer_inputs());
  EXPECT_GT(tiny::value(made.task->loss(tiny::image_batch(0, 4)).total), 0.0);
  TaskInputs inputs = tokenizer_inputs();
  inputs.train.shape = {3, 32, 32};
  inputs.quant.method = quant::Method::rtn;
  EXPECT_THAT(refusal(inputs), AllOf(HasSubstr("2 problems:"),
                                     HasSubstr("images of [3, 32, 32], the tokenizer takes [1, 8, 8]"),
                                     HasSubstr("quant.method: rtn")));
  inputs = tokenizer_inputs();
  inputs.model.vq.patch_nums = {};
  inputs.model.vq.group_norm_groups = 3;
  EXPECT_THAT(refusal(inputs), AllOf(HasSubstr("patch_nums is empty"), HasSubstr("group_norm_groups 3")));
  inputs = tokenizer_inputs();
  inputs.model.family = Family::var;
  EXPECT_THAT(refusal(inputs), HasSubstr("use model.family: vq"));
  inputs = tokenizer_inputs();
  inputs.train.kind = "tokens";
  EXPECT_THAT(refusal(inputs), HasSubstr("a tokenizer learns from images"));
}

class TokenSet : public data::Dataset {
 public:
  TokenSet() { info_.size = 70; }
  const data::DatasetInfo& info() const override { return info_; }
  data::Batch read(std::span<const std::int64_t> indices) const override {
    return tiny::token_batch(indices.front(), static_cast<std::int64_t>(indices.size()));
  }

 private:
  data::DatasetInfo info_;
};

TEST(TeacherConfidence, IsTheMeanLargestProbability) {
  TaskInputs inputs = distill_inputs();
  inputs.validation = std::make_shared<TokenSet>();
  auto teacher = tiny::make_var(7);
  const data::Batch batch = tiny::token_batch(0, 40);
  const at::NoGradGuard no_grad;
  const at::Tensor p =
      teacher->forward(batch.labels, tiny::make_tokenizer()->quantizer().var_input(batch.tokens)).softmax(-1);
  const double expected = tiny::value(std::get<0>(p.max(-1)).to(at::kDouble).mean());
  EXPECT_NEAR(measure_teacher_confidence(inputs, 40), expected, 2e-6);
  EXPECT_EQ(measure_teacher_confidence(inputs, 500), measure_teacher_confidence(inputs, 70));
}

// With beta the confidence c, cakld is c KL(q||p) + (1 - c) KL(p||q).
TEST(TeacherConfidence, IsTheMixtureOfCakld) {
  TaskInputs inputs = distill_inputs();
  inputs.distill.loss = Loss::cakld;
  inputs.model.init = "random";
  inputs.task.label_drop = 0.0;
  EXPECT_THAT(refusal(inputs), HasSubstr("cakld measures the teacher's confidence"));
  inputs.validation = std::make_shared<TokenSet>();
  const double confidence = measure_teacher_confidence(inputs, kConfidenceSamples);
  const MadeTask made = make_task(inputs);
  const data::Batch batch = tiny::token_batch(0, 8);
  const auto figures = made.task->report(made.task->evaluate(batch));
  EXPECT_NEAR(tiny::value(made.task->loss(batch).total),
              confidence * figures[2].second + (1.0 - confidence) * figures[1].second, 1e-5);
}

}  // namespace
}  // namespace bitlaw::distill
