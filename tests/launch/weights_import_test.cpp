// Published weights -> an export that the other commands take, and everything that is refused on the way.
#include "launch/weights_import.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "data/formats/safetensors.h"
#include "data/formats/tensor_io.h"
#include "distill/models/published_models.h"
#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"
#include "quant/containers/model_state.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/write_limit.h"
#include "trainer/config/reader.h"

namespace bitlaw::launch {
namespace {
namespace fs = std::filesystem;

using test::message_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Tensors = std::map<std::string, at::Tensor>;

constexpr std::int64_t kClasses = 5;

// The geometry of tests/distill/models/files, and a tokenizer of its scales.
trainer::RunConfig var_config() {
  trainer::RunConfig config;
  config.model.depth = 2;
  config.model.width = 16;
  config.model.num_heads = 2;
  return config;
}

trainer::RunConfig vq_config() {
  trainer::RunConfig config;
  config.model.family = distill::Family::vq;
  distill::VqConfig& vq = config.model.vq;
  vq.base_channels = 4;
  vq.channel_multipliers = {1, 2};
  vq.res_blocks = 1;
  vq.group_norm_groups = 4;
  vq.latent_channels = 8;
  vq.codebook_size = 32;
  vq.patch_nums = {1, 2, 3};
  vq.phi_convolutions = 3;
  vq.codebook = distill::CodebookTraining::gradient;
  return config;
}

std::string torch_file(const std::string& name) {
  return std::string(BITLAW_SOURCE_DIR) + "/tests/distill/models/files/" + name;
}

// All tensors of a published file: parameters, and the buffers that it carries beside them.
Tensors published_tensors(torch::nn::Module& model) {
  Tensors tensors;
  for (const auto& item : model.named_parameters()) {
    tensors.emplace(item.key(), item.value().detach());
  }
  for (const auto& item : model.named_buffers()) {
    tensors.emplace(item.key(), item.value());
  }
  return tensors;
}

void write_tensors(const fs::path& path, const Tensors& tensors) {
  data::SafetensorsFile file;
  for (const auto& [name, tensor] : tensors) {
    file.tensors.emplace(name, data::raw_tensor_of(tensor));
  }
  data::write_safetensors(path, file);
}

class WeightsImport : public testing::Test {
 protected:
  WeightsImport() : vq_(std::make_shared<distill::VqTokenizer>(vq_config().model.vq)) {
    distill::initialise(*vq_, 3);
    var_ = std::make_shared<distill::Var>(distill::var_shape(var_config().model, vq_->config(), kClasses));
    distill::initialise(*var_, 0.5, 4);
    write_tensors(vq_file(), published_tensors(*vq_));
    write_tensors(var_file(), published_tensors(*var_));
  }

  fs::path vq_file() const { return folder_ / "vq.safetensors"; }
  fs::path var_file() const { return folder_ / "var.safetensors"; }
  ImportRequest vq_request(const std::string& out = "vq") const {
    return {vq_file(), std::nullopt, "", vq_config(), folder_ / out};
  }
  ImportRequest var_request(const std::string& out = "var") const {
    ImportRequest request{var_file(), std::nullopt, "", var_config(), folder_ / out};
    request.config.tokenizer.from = (folder_ / "vq").string();
    return request;
  }
  std::string refusal(const ImportRequest& request) const {
    const std::string message = message_of([&] { import_weights(request); });
    if (fs::is_directory(request.out)) {
      for (const fs::directory_entry& entry : fs::directory_iterator(request.out)) {
        EXPECT_NE(entry.path().extension(), ".unproved");
      }
    }
    return message;
  }

  test::TemporaryFolder folder_;
  std::shared_ptr<distill::VqTokenizer> vq_;
  std::shared_ptr<distill::Var> var_;
};

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

TEST_F(WeightsImport, WhatDoesNotFitIsListedAtOnce) {
  import_weights(vq_request());
  ImportRequest request = var_request();
  request.config.model.depth = 3;
  request.config.model.width = 32;
  const std::string message = refusal(request);
  EXPECT_THAT(message, AllOf(HasSubstr("missing: blocks.2.attn.mat_qkv.weight"),
                             HasSubstr("head.weight: shape [32, 16], the model has [32, 32]")));
  EXPECT_FALSE(fs::exists(request.out));
  request = var_request();
  request.config.model.depth = 1;
  EXPECT_THAT(refusal(request), HasSubstr("unused: blocks.1.ffn.fc1.weight"));
}

TEST_F(WeightsImport, AnotherPublishedSizeIsNamed) {
  const distill::PublishedModel d16 = distill::published_model("var-d16");
  Tensors tensors;  // of one element each, seen as the published shapes
  for (const auto& weight : distill::weights_of(distill::published_model("var-vq").config, 0)) {
    tensors.emplace(weight.name, at::zeros(weight.shape));
  }
  tensors.erase("quantize.ema_vocab_hit_SV");
  write_tensors(folder_ / "published.safetensors", tensors);
  ImportRequest request = vq_request("published");
  request.file = folder_ / "published.safetensors";
  EXPECT_THAT(refusal(request), AllOf(HasSubstr("decoder.conv_in.weight: shape [640, 32, 3, 3]"),
                                      HasSubstr("the file has the shapes of --model var-vq")));
  EXPECT_EQ(d16.num_classes, 1000);
}

TEST_F(WeightsImport, TokenizersThatDoNotFit) {
  ImportRequest request = var_request();
  request.config.tokenizer.from.clear();
  EXPECT_THAT(refusal(request), HasSubstr("--tokenizer is missing"));
  request.config.tokenizer.from = (folder_ / "nowhere").string();
  EXPECT_THAT(refusal(request), HasSubstr("nowhere"));
  import_weights(vq_request());
  import_weights(var_request());
  request = var_request("other");
  request.config.tokenizer.from = (folder_ / "var").string();
  EXPECT_THAT(refusal(request), HasSubstr("is no tokenizer"));
  request = var_request("other");
  request.published = "var-d16";
  request.config.model = {};
  EXPECT_THAT(refusal(request), AllOf(HasSubstr("has scales [1, 2, 3], var-d16 speaks [1, 2, 3, 4, 5"),
                                      HasSubstr("var-vq-512")));
}

TEST_F(WeightsImport, GeometriesThatAreNone) {
  ImportRequest request = vq_request();
  request.published = "var-d17";
  request.config.model = {};
  EXPECT_THAT(refusal(request), AllOf(HasSubstr("--model: there is no published model 'var-d17'"),
                                      HasSubstr("var-d16, var-d20")));
  request.published = "var-vq";
  request.config.model.depth = 3;
  EXPECT_THAT(refusal(request), HasSubstr("--model: var-vq beside keys of model"));
  request = vq_request();
  request.config.model.vq.group_norm_groups = 3;
  request.config.quant.method = quant::Method::rtn;
  EXPECT_THAT(refusal(request), HasSubstr("what is imported is in full precision"));
  request.config.quant.method = quant::Method::none;
  EXPECT_THAT(refusal(request), HasSubstr("model.vq.group_norm_groups"));
}

TEST_F(WeightsImport, ValuesThatAreNone) {
  Tensors tensors = published_tensors(*vq_);
  tensors["encoder.conv_in.bias"] = at::full({4}, std::numeric_limits<float>::quiet_NaN());
  write_tensors(vq_file(), tensors);
  EXPECT_THAT(refusal(vq_request()), HasSubstr("encoder.conv_in.bias: NaN or infinity"));
  tensors["encoder.conv_in.bias"] = at::full({4}, 0.1, at::kDouble);
  write_tensors(vq_file(), tensors);
  EXPECT_THAT(refusal(vq_request()), HasSubstr("float64 that float32 does not hold"));
  tensors["encoder.conv_in.bias"] = at::full({4}, 0.125, at::kDouble);
  write_tensors(vq_file(), tensors);
  EXPECT_THAT(import_weights(vq_request()).loaded.dtypes, ElementsAre("float32", "float64"));
}

TEST_F(WeightsImport, AnotherMaskIsAnotherModel) {
  import_weights(vq_request());
  Tensors tensors = published_tensors(*var_);
  tensors["lvl_1L"] = at::zeros_like(tensors["lvl_1L"]);
  write_tensors(var_file(), tensors);
  EXPECT_THAT(refusal(var_request()), HasSubstr("lvl_1L: other values than the model computes"));
  tensors.erase("lvl_1L");  // a file need not hold it
  write_tensors(var_file(), tensors);
  EXPECT_EQ(import_weights(var_request()).loaded.skipped.size(), 3U);
}

TEST_F(WeightsImport, DamagedFilesAndFullDisks) {
  fs::resize_file(vq_file(), fs::file_size(vq_file()) - 100);
  EXPECT_THAT(refusal(vq_request()), HasSubstr("vq.safetensors"));
  ImportRequest request = vq_request();
  request.file = folder_ / "text.pth";
  std::ofstream(request.file) << "no archive";
  EXPECT_THAT(refusal(request), HasSubstr("that torch.save wrote, or a .safetensors file"));
  Tensors quantised = published_tensors(*vq_);
  quantised["encoder.conv_in.qweight"] = at::zeros({4, 4}, at::kInt);
  request.file = folder_ / "codes.safetensors";
  write_tensors(request.file, quantised);
  EXPECT_THAT(refusal(request), HasSubstr("is quantised already (it holds encoder.conv_in.qweight)"));
  request.file = folder_ / "missing.pth";
  EXPECT_THAT(refusal(request), HasSubstr("missing.pth"));
  EXPECT_FALSE(fs::exists(request.out));
  write_tensors(vq_file(), published_tensors(*vq_));
  {
    const test::WriteLimit limit(20000);
    EXPECT_THAT(refusal(vq_request()), HasSubstr("model.h5"));
  }
  EXPECT_FALSE(fs::exists(folder_ / "vq"));
}

TEST_F(WeightsImport, WhatIsThereStays) {
  import_weights(vq_request());
  EXPECT_THAT(refusal(vq_request()), HasSubstr("model.h5 is there already"));
  fs::remove(folder_ / "vq" / "model.h5");
  EXPECT_THAT(refusal(vq_request()), HasSubstr("model.yaml is there already"));
  fs::create_directory(folder_ / "other");
  std::ofstream(folder_ / "other" / "model.gguf") << "x";
  EXPECT_THAT(refusal(vq_request("other")), HasSubstr("model.gguf is there already"));
  EXPECT_FALSE(fs::exists(folder_ / "other" / "model.h5"));
  std::ofstream(folder_ / "file") << "x";
  EXPECT_THAT(refusal(vq_request("file")), HasSubstr("--out: "));
}

}  // namespace
}  // namespace bitlaw::launch
