// Everything that is refused on the way of published weights into an export.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <string>

#include "distill/models/published_models.h"
#include "quant/containers/model_state.h"
#include "tests/launch/import_fixture.h"
#include "tests/support/write_limit.h"

namespace bitlaw::launch {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

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
