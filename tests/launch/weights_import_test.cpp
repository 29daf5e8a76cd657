// Published weights -> an export that the other commands take.
#include "launch/weights_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "distill/models/published_models.h"
#include "quant/containers/model_state.h"
#include "tests/launch/import_fixture.h"
#include "trainer/config/reader.h"

namespace bitlaw::launch {
namespace {

using test::message_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(WeightsImport, TheModelIsTheFileToTheBit) {
  const ImportReport report = import_weights(vq_request());
  EXPECT_EQ(report.origin.parameter_hash, quant::parameter_hash(*vq_));
  EXPECT_THAT(report.loaded.skipped, ElementsAre("quantize.ema_vocab_hit_SV"));
  EXPECT_THAT(report.loaded.dtypes, ElementsAre("float32"));
  EXPECT_EQ(report.parameters, distill::parameter_count(distill::vq_weights(vq_->config())));

  const LoadedModel loaded = load_model(folder_ / "vq");
  EXPECT_EQ(quant::parameter_hash(*loaded.model), quant::parameter_hash(*vq_));
  EXPECT_EQ(loaded.origin.imported_from, "vq.safetensors");
  EXPECT_EQ(loaded.origin.config.run.name, "vq");
  const at::Tensor images = at::rand({2, 3, 6, 6}) * 2 - 1;
  EXPECT_TRUE(at::equal(tokenizer_of(loaded)->encode(images), vq_->encode(images)));
}

TEST_F(WeightsImport, AVarKnowsItsTokenizerAndItsClasses) {
  import_weights(vq_request());
  const ImportReport report = import_weights(var_request());
  EXPECT_EQ(report.loaded.skipped.size(), 4U);  // levels, mask, a zero bias of each block
  const LoadedModel loaded = load_model(folder_ / "var");
  EXPECT_EQ(loaded.origin.tokenizer_hash, quant::parameter_hash(*vq_));
  EXPECT_EQ(loaded.origin.num_classes, kClasses);
  EXPECT_EQ(loaded.origin.config.model.vq.patch_nums, vq_->config().patch_nums);
  EXPECT_EQ(load_tokenizer(loaded.origin, "").origin.parameter_hash, quant::parameter_hash(*vq_));
  const at::NoGradGuard no_grad;
  const at::Tensor labels = at::tensor({0, 5}, at::kLong);
  const at::Tensor features = at::randn({2, 13, 8});
  EXPECT_TRUE(at::equal(dynamic_cast<distill::Var&>(*loaded.model).forward(labels, features),
                        var_->forward(labels, features)));
}

TEST_F(WeightsImport, EverySourceOfATrainingTakesIt) {
  import_weights(vq_request());
  import_weights(var_request());
  for (const SourceUse use : {SourceUse::deployed, SourceUse::masters}) {
    const distill::SourceModel source =
        load_source(folder_ / "var", {Weights::ema, "distill.teacher_weights"}, use);
    EXPECT_EQ(source.parameter_hash, quant::parameter_hash(*var_));
    EXPECT_EQ(source.tokenizer_hash, quant::parameter_hash(*vq_));
    EXPECT_TRUE(at::equal(source.state.at("head.weight"), var_->named_parameters()["head.weight"]));
  }
  EXPECT_THAT(message_of([&] { load_model(folder_ / "var", wish_of_flag(true)); }),
              HasSubstr("--ema: moving averages are asked for"));
}

TEST_F(WeightsImport, TheIncludeIsAConfigurationOfTheSameModel) {
  import_weights(vq_request());
  import_weights(var_request());
  const trainer::RunConfig config = trainer::read_config({folder_ / "var" / "model.yaml"}, {});
  EXPECT_EQ(config.model.depth, 2);
  EXPECT_EQ(config.model.init, (folder_ / "var" / "model.h5").string());  // never a word like "teacher"
  EXPECT_EQ(config.tokenizer.from, (folder_ / "vq").string());
  EXPECT_EQ(config.model.vq.codebook_size, 32);
  EXPECT_THAT(config.run.name, IsEmpty());
  EXPECT_EQ(config.places.count("model.vq.patch_nums"), 1U);  // of the tokenizer whose tokens it speaks
  EXPECT_EQ(config.places.count("model.dit") + config.places.count("model.raster"), 0U);
}

TEST_F(WeightsImport, SectionsOfATrainingCheckpoint) {
  import_weights(vq_request());
  ImportRequest request = var_request();
  request.file = torch_file("var_training.pt");  // "model" holds one tensor, "ema" all of them
  const ImportReport report = import_weights(request);
  EXPECT_EQ(report.section, "ema");
  EXPECT_THAT(report.other_sections, ElementsAre("model", "opt/state/0"));
  EXPECT_THAT(report.loaded.dtypes, ElementsAre("float16"));
  const LoadedModel loaded = load_model(folder_ / "var");
  EXPECT_EQ(loaded.origin.weights, Weights::ema);
  EXPECT_EQ(loaded.origin.imported_from, "var_training.pt, section ema");

  request = var_request("other");
  request.file = torch_file("var_training.pt");
  request.section = "model";
  EXPECT_THAT(refusal(request), AllOf(HasSubstr("var_training.pt"), HasSubstr("missing: pos_start")));
  request.section = "exponential";
  EXPECT_THAT(refusal(request), AllOf(HasSubstr("no tensors in exponential"), HasSubstr("ema, model")));
  request.section.reset();
  request.config.model.attn_l2_norm = true;
  request.config.model.depth = 3;  // fits neither section
  EXPECT_THAT(refusal(request), AllOf(HasSubstr("3 sections could be meant"), HasSubstr("model (1 tensors)"),
                                      HasSubstr("--section")));
}

}  // namespace
}  // namespace bitlaw::launch
