#include "trainer/config/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/input_error.h"
#include "tests/trainer/config/overrides.h"
#include "trainer/config/reader.h"

namespace bitlaw::trainer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const Overrides kTokenizer = {"run.name=r", "task.kind=tokenizer", "data.train=a", "data.validation=b",
                              "model.family=vq"};

std::vector<std::string> problems_of(Overrides base, const Overrides& changes, int world_size) {
  base.insert(base.end(), changes.begin(), changes.end());
  return config_problems(read_config({}, base), world_size);
}
std::vector<std::string> problems_with(const Overrides& changes, int world_size = 2) {
  return problems_of(kDistill, changes, world_size);
}
std::vector<std::string> tokenizer_problems_with(const Overrides& changes) {
  return problems_of(kTokenizer, changes, 2);
}

TEST(Check, AcceptsWhatFits) {
  EXPECT_THAT(problems_with({}), IsEmpty());
  EXPECT_THAT(tokenizer_problems_with({}), IsEmpty());
}

TEST(Check, NamesAndPaths) {
  EXPECT_THAT(problems_with({"run.name=''"}), ElementsAre(HasSubstr("run.name is missing")));
  EXPECT_THAT(problems_with({"run.name=a/b"}), ElementsAre(HasSubstr("'a/b' is no name of a folder")));
  EXPECT_THAT(problems_with({"data.train=''", "data.validation=''"}),
              ElementsAre(HasSubstr("data.train is missing"), HasSubstr("data.validation is missing")));
  EXPECT_THAT(problems_with({"tokenizer.from=''"}), ElementsAre(HasSubstr("tokenizer.from is missing")));
}

TEST(Check, TaskAndItsInputs) {
  EXPECT_THAT(problems_with({"distill.teacher=''"}), ElementsAre(HasSubstr("distill.teacher is missing")));
  EXPECT_THAT(problems_with({"task.kind=pretrain"}),
              ElementsAre(HasSubstr("distill.teacher is given with task.kind: pretrain")));
  EXPECT_THAT(
      problems_with({"task.kind=pretrain", "distill.teacher=''", "distill.top_k=56", "distill.loss=jsd"}),
      ElementsAre(HasSubstr("distill.loss is given"), HasSubstr("distill.top_k is given")));
  EXPECT_THAT(problems_with({"task.kind=pretrain", "distill.teacher=''", "model.init=teacher"}),
              ElementsAre(HasSubstr("model.init: teacher with task.kind: pretrain")));
  EXPECT_THAT(problems_with({"task.kind=pretrain", "distill.teacher=''"}), IsEmpty());
  EXPECT_THAT(problems_with({"model.family=vq"}),
              ElementsAre(HasSubstr("model.family: vq with task.kind: distill")));
}

TEST(Check, TokenizerTask) {
  EXPECT_THAT(tokenizer_problems_with({"tokenizer.from=t", "distill.teacher=x", "quant.method=lsq",
                                       "quant.weights.num_bits=4", "model.init=teacher"}),
              ElementsAre(HasSubstr("model.init: teacher"), HasSubstr("tokenizer.from: 't' is given"),
                          HasSubstr("distill.teacher: 'x' is given"),
                          HasSubstr("quant.method: lsq with task.kind: tokenizer")));
  EXPECT_THAT(tokenizer_problems_with({"model.family=var"}), ElementsAre(HasSubstr("model.family: var")));
}

TEST(Check, FamiliesThatNothingTrains) {
  for (const char* family : {"dit", "raster"}) {
    EXPECT_THAT(problems_with({std::string("model.family=") + family}),
                ElementsAre(AllOf(HasSubstr(std::string("model.family: ") + family),
                                  HasSubstr("there is no task yet that trains a "),
                                  HasSubstr("quant.method rtn or hqq"))));
  }
}

TEST(Check, AnAutoencoderIsNeitherTrainedNorQuantised) {
  EXPECT_THAT(
      problems_with({"model.family=sd_vae"}),
      ElementsAre(AllOf(HasSubstr("there is no task yet that trains an autoencoder of images or shows it"),
                        HasSubstr("import, inspect and convert it"))));
  const auto problems = [](Overrides changes) {
    changes.insert(changes.begin(), {"run.name=r", "model.init=a", "model.family=sd_vae"});
    return config_problems(read_config({}, changes), 1, Use::weights_alone);
  };
  EXPECT_THAT(problems({}), IsEmpty());
  EXPECT_THAT(
      problems({"quant.method=rtn", "quant.weights.num_bits=4", "train.max_steps=0",
                "model.sd_vae.channels=[48, 64]"}),
      ElementsAre(HasSubstr("quant.method: rtn with model.family: sd_vae"),
                  HasSubstr("model.sd_vae.group_norm_groups: 32 groups do not divide a level of 48")));
  EXPECT_THAT(problems({"model.sd_vae.channels=[]"}), ElementsAre(HasSubstr("channels is empty")));
}

// Import, and post-training quantisation that looks at no inputs.
TEST(Check, WeightsAloneNeedNoDataAndNoTask) {
  const auto problems = [](Overrides changes) {
    changes.insert(changes.begin(), {"run.name=r", "model.width=128", "model.init=a"});
    return config_problems(read_config({}, changes), 3, Use::weights_alone);
  };
  EXPECT_THAT(problems({}), IsEmpty());
  EXPECT_THAT(problems({"quant.method=rtn", "quant.weights.num_bits=4", "train.max_steps=0"}), IsEmpty());
  EXPECT_THAT(problems({"run.name=''", "model.num_heads=3", "quant.method=rtn", "train.max_steps=0",
                        "model.init=teacher", "train.ema_decay=0.9"}),
              ElementsAre(HasSubstr("run.name is missing"), HasSubstr("model.init: teacher"),
                          HasSubstr("train.ema_decay: 0.9"), HasSubstr("3 heads do not divide"),
                          HasSubstr("quant.weights.num_bits is missing")));
  EXPECT_THAT(
      problems({"model.family=vq", "quant.method=rtn", "quant.weights.num_bits=4", "train.max_steps=0"}),
      ElementsAre(HasSubstr("quant.method: rtn with model.family: vq")));
  for (const Overrides& changes :
       {Overrides{"quant.method=block_ap"}, Overrides{"quant.method=gptq"}, Overrides{"quant.method=awq"},
        Overrides{"quant.method=omniquant"}, Overrides{"quant.method=rtn", "quant.transforms=[smooth]"},
        Overrides{"quant.method=rtn", "quant.activations={num_bits: 8, dynamic: false}"}}) {
    Overrides all = changes;
    all.insert(all.end(), {"quant.weights.num_bits=4", "quant.weights.group_size=32", "train.max_steps=0"});
    EXPECT_THAT(problems(all), ElementsAre(HasSubstr(" without samples"))) << changes.back();
    all.push_back("model.family=dit");
    EXPECT_THAT(problems(all), ElementsAre(HasSubstr(" without samples"))) << changes.back();
  }
  EXPECT_THAT(
      problems({"quant.method=rtn", "quant.weights.num_bits=4", "quant.weights.group_size=32",
                "quant.transforms=[hadamard]", "quant.activations={num_bits: 8}", "train.max_steps=0"}),
      IsEmpty());
  EXPECT_THAT(problems({"model.family=dit", "tokenizer.from=t"}),
              ElementsAre(HasSubstr("tokenizer.from: 't' with model.family: dit")));
}

TEST(Check, GeometryOfLatentsAndGrids) {
  const auto problems = [](Overrides changes) {
    changes.insert(changes.begin(), {"run.name=r", "model.init=a"});
    return config_problems(read_config({}, changes), 1, Use::weights_alone);
  };
  EXPECT_THAT(problems({"model.family=dit", "model.width=1152", "model.num_heads=16"}), IsEmpty());
  EXPECT_THAT(
      problems({"model.family=dit", "model.dit.patch_size=3", "model.width=90", "model.num_heads=2"}),
      ElementsAre(HasSubstr("3 does not divide latent_side 32"), HasSubstr("90 is no multiple of 4")));
  EXPECT_THAT(problems({"model.family=raster", "model.width=768"}), IsEmpty());
  EXPECT_THAT(problems({"model.family=raster", "model.width=60", "model.num_heads=10"}),
              ElementsAre(HasSubstr("10 heads of 6 channels")));
}

TEST(Check, Geometry) {
  EXPECT_THAT(problems_with({"model.num_heads=3"}),
              ElementsAre(HasSubstr("3 heads do not divide width 128")));
  EXPECT_THAT(problems_with({"model.mlp_ratio=1.3"}),
              ElementsAre(HasSubstr("model.mlp_ratio: 1.3 x width 128")));
  EXPECT_THAT(tokenizer_problems_with({"model.vq.base_channels=24"}),
              ElementsAre(HasSubstr("32 groups do not divide a level of 24")));
  EXPECT_THAT(tokenizer_problems_with({"model.vq.patch_nums=[1, 2, 2]"}),
              ElementsAre(HasSubstr("[1, 2, 2] does not rise"), HasSubstr("4 for 3 scales")));
  EXPECT_THAT(tokenizer_problems_with({"model.vq.codebook_decay=1"}),
              ElementsAre(HasSubstr("codebook_decay: 1")));
  EXPECT_THAT(tokenizer_problems_with({"model.vq.channel_multipliers=[]"}),
              ElementsAre(HasSubstr("channel_multipliers is empty")));
}

TEST(Check, Batch) {
  EXPECT_THAT(problems_with({}, 3), ElementsAre(HasSubstr("32 is no multiple of 3 ranks x micro batch 16")));
  EXPECT_THAT(problems_with({}, 4), ElementsAre(HasSubstr("choose a train.micro_batch_size that divides 8")));
  EXPECT_THAT(problems_with({"train.micro_batch_size=8"}, 4), IsEmpty());
  EXPECT_THAT(problems_with({"train.global_batch_size=8"}),
              ElementsAre(HasSubstr("8 is no multiple of 2 ranks")));
}

TEST(Check, StepsAndOptimiser) {
  EXPECT_THAT(problems_with({"schedule.warmup_steps=101"}),
              ElementsAre(HasSubstr("101 is more than train.max_steps: 100")));
  EXPECT_THAT(problems_with({"schedule.warmup_steps=100"}), IsEmpty());
  EXPECT_THAT(problems_with({"checkpoint.keep_every=50", "checkpoint.interval=20"}),
              ElementsAre(HasSubstr("keep_every: 50 is no multiple")));
  EXPECT_THAT(problems_with({"optim.betas=[0.9]"}), ElementsAre(HasSubstr("optim.betas: [0.9]")));
  EXPECT_THAT(problems_with({"optim.betas=[0.9, 1]"}), ElementsAre(HasSubstr("optim.betas: [0.9, 1]")));
  EXPECT_THAT(problems_with({"train.ema_decay=1"}), ElementsAre(HasSubstr("train.ema_decay: 1")));
}

TEST(Check, SpecsThatContradictThemselves) {
  EXPECT_THAT(problems_with({"quant.weights.grid=half", "quant.weights.symmetric=false"}),
              ElementsAre(HasSubstr("quant.weights: ")));
  EXPECT_THAT(problems_with({"quant.weights.group_size=none"}), ElementsAre(HasSubstr("quant.weights: ")));
  EXPECT_THAT(problems_with({"quant.overrides=[{match: a, weights: {grid: half, symmetric: false}}]"}),
              ElementsAre(HasSubstr("quant.overrides.0.weights: ")));
  EXPECT_THAT(problems_with({"quant.activations={strategy: group}"}),
              ElementsAre(HasSubstr("quant.activations: ")));
  EXPECT_THAT(problems_with({"quant.activations={num_bits: 8, dynamic: true}"}), IsEmpty());
  EXPECT_THAT(problems_with({"quant.activations={dynamic: false, method: lsq, observer: minmax}"}),
              IsEmpty());
  EXPECT_THAT(
      problems_with({"quant.activations={dynamic: false, strategy: token}"}),
      ElementsAre(HasSubstr("quant.activations: activations with strategy: token and dynamic: false")));
  EXPECT_THAT(problems_with({"quant.activations={dynamic: false, method: lsq}", "quant.method=rtn",
                             "train.max_steps=0", "schedule.warmup_steps=0"}),
              ElementsAre(HasSubstr("quant.activations: method: lsq with quant.method: rtn")));
}

TEST(Check, QuantisationThatIsIgnored) {
  EXPECT_THAT(problems_with({"quant.method=none", "quant.activations={num_bits: 8}", "quant.ignore=[head]"}),
              ElementsAre(HasSubstr("quant.weights is given with quant.method: none"),
                          HasSubstr("quant.activations is given"), HasSubstr("quant.ignore is given")));
  EXPECT_THAT(problems_with({"quant.weights={num_bits: none}", "quant.activations={num_bits: 8}"}),
              ElementsAre(AllOf(HasSubstr("quant.weights.num_bits is missing"),
                                HasSubstr("activations are quantised only where weights are"))));
  EXPECT_THAT(problems_with({"quant.targets=[conv]"}), ElementsAre(HasSubstr("quant.targets: [conv]")));
  EXPECT_THAT(problems_with({"quant.overrides=[{weights: {num_bits: 4}}, {match: a}]"}),
              ElementsAre(HasSubstr("quant.overrides.0.match is missing"),
                          HasSubstr("quant.overrides.1.weights is empty")));
  EXPECT_THAT(problems_with({"quant.method=rtn"}),
              ElementsAre(HasSubstr("quant.method: rtn with train.max_steps")));
  EXPECT_THAT(problems_with({"quant.weights.dynamic=true"}),
              ElementsAre(HasSubstr("quant.weights: weights with dynamic")));
}

TEST(Check, PhasesOfQuantisedTraining) {
  EXPECT_THAT(
      problems_with({"quant.progressive={num_bits: [8, 4], steps: [20, 40]}", "quant.weights.num_bits=3"}),
      IsEmpty());
  EXPECT_THAT(
      problems_with({"quant.progressive={num_bits: [8, 4], steps: [20, 100]}", "quant.weights.num_bits=3"}),
      ElementsAre(HasSubstr("steps: [20, 100] with train.max_steps: 100")));
  EXPECT_THAT(problems_with({"quant.method=none", "quant.weights={num_bits: none, group_size: none}",
                             "quant.progressive={num_bits: [8], steps: [20]}"}),
              testing::Contains(HasSubstr("quant.progressive is given with quant.method: none")));
  EXPECT_THAT(problems_with({"quant.method=e2e_qp"}),
              ElementsAre(HasSubstr("quant.method: e2e_qp with model.init: random")));
  EXPECT_THAT(problems_with({"quant.method=e2e_qp", "model.init=runs/ptq"}), IsEmpty());
  EXPECT_THAT(problems_with({"quant.zero_points=learned"}),
              ElementsAre(HasSubstr("learned without symmetric: false")));
  EXPECT_THAT(problems_with({"quant.zero_points=learned", "quant.weights.symmetric=false"}), IsEmpty());
  EXPECT_THAT(
      problems_with({"quant.zero_points=learned", "quant.weights.symmetric=false", "quant.method=ste"}),
      ElementsAre(HasSubstr("quant.zero_points: learned with quant.method: ste")));
  EXPECT_THAT(problems_with({"quant.scale_search=lsq_plus"}), IsEmpty());
  EXPECT_THAT(problems_with({"quant.scale_search=lsq", "quant.weights.symmetric=false"}),
              ElementsAre(AllOf(HasSubstr("scale_search: lsq with spec"), HasSubstr("asym"))));
  EXPECT_THAT(problems_with({"quant.method=block_ap", "quant.transforms=[smooth]", "train.max_steps=0",
                             "schedule.warmup_steps=0"}),
              ElementsAre(HasSubstr("quant.transforms with quant.method: block_ap")));
}

TEST(Check, LossesThatCollapseOrVanish) {
  EXPECT_THAT(problems_with({"distill={head: reverse, tail: forward, norm: naive}"}),
              ElementsAre(AllOf(HasSubstr("head: reverse, tail: forward, norm: naive"), HasSubstr("0.95"),
                                HasSubstr("0.32"), HasSubstr("use norm: generalised"))));
  EXPECT_THAT(problems_with({"distill={head: reverse, tail: forward, norm: generalised}"}), IsEmpty());
  EXPECT_THAT(problems_with({"distill={head: forward, tail: reverse, norm: naive}"}), IsEmpty());
  EXPECT_THAT(
      problems_with({"distill={loss: forward_kl, top_k: 20}"}),
      ElementsAre(HasSubstr("distill.top_k is given with distill.loss: forward_kl [this loss does not "
                            "read it, so it would be ignored]")));
  EXPECT_THAT(problems_with({"distill={loss: cakld, beta: 0.1}"}),
              ElementsAre(HasSubstr("cakld measures its beta with the teacher")));
  EXPECT_THAT(problems_with({"distill={loss: jsd, beta: 0.1}"}), IsEmpty());
  EXPECT_THAT(problems_with({"distill.head=none"}), ElementsAre(HasSubstr("distill.head: none")));
  EXPECT_THAT(problems_with({"distill={lambda_head: 0, lambda_tail: 0}"}),
              ElementsAre(HasSubstr("lambda_head: 0")));
  EXPECT_THAT(problems_with({"distill={top_k: 0, tail: none}"}),
              ElementsAre(HasSubstr("top_k: 0 without a tail")));
  EXPECT_THAT(problems_with({"distill={loss: jsd, beta: 0}"}), ElementsAre(HasSubstr("distill.beta: 0")));
  EXPECT_THAT(problems_with({"distill={loss: skew_forward_kl, alpha: 1}"}),
              ElementsAre(HasSubstr("distill.alpha: 1")));
  EXPECT_THAT(problems_with({"distill.scale_weights=[0, 0]"}),
              ElementsAre(HasSubstr("scale_weights: [0, 0]")));
}

TEST(Check, ADeviceThatIsNotUsedIsNotRecorded) {
  EXPECT_THAT(problems_with({"run.device=cuda"}), ElementsAre(HasSubstr("run.device: cuda")));
  EXPECT_THAT(problems_with({"run.device=cpu"}), IsEmpty());
}

TEST(Check, ThrowsAllAtOnce) {
  RunConfig config = read_config({}, kDistill);
  config.run.name.clear();
  config.train.ema_decay = 1.0;
  try {
    check_config(config, 3);
    FAIL() << "nothing thrown";
  } catch (const data::InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("3 problems"));
    EXPECT_THAT(error.what(), HasSubstr("run.name is missing"));
    EXPECT_THAT(error.what(), HasSubstr("ema_decay"));
    EXPECT_THAT(error.what(), HasSubstr("3 ranks"));
  }
  EXPECT_NO_THROW(check_config(read_config({}, kDistill), 2));
}

}  // namespace
}  // namespace bitlaw::trainer
