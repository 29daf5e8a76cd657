// Lists of published weights: parameter counts of the published tables, and single names and shapes.
#include "distill/models/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "data/formats/input_error.h"
#include "tests/support/file_bytes.h"

namespace bitlaw::distill {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

std::int64_t elements(const std::vector<WeightShape>& weights) {
  return parameter_count(weights);
}

TEST(PublishedWeights, ParametersOfVarAndItsTokenizer) {
  EXPECT_EQ(elements(var_weights(published_var("d16"))), 310'283'520);
  EXPECT_EQ(elements(var_weights(published_var("d20"))), 600'917'136);
  EXPECT_EQ(elements(var_weights(published_var("d24"))), 1'033'399'360);
  EXPECT_EQ(elements(var_weights(published_var("d30"))), 2'010'020'356);
  EXPECT_EQ(elements(var_weights(published_var("d36-s"))), 2'353'893'904);
  EXPECT_EQ(elements(vq_weights(published_vq())), 108'948'355);
  // Of the tokenizer's parts.
  std::int64_t encoder = 0;
  std::int64_t decoder = 0;
  for (const WeightShape& weight : vq_weights(published_vq())) {
    const std::int64_t count = elements({weight});
    encoder += weight.name.starts_with("encoder.") ? count : 0;
    decoder += weight.name.starts_with("decoder.") ? count : 0;
  }
  EXPECT_EQ(encoder, 44'107'872);
  EXPECT_EQ(decoder, 64'653'923);
}

TEST(PublishedWeights, ParametersOfDit) {
  EXPECT_EQ(elements(dit_weights(published_dit("S/2"))), 32'963'360);
  EXPECT_EQ(elements(dit_weights(published_dit("B/2"))), 130'512'416);
  EXPECT_EQ(elements(dit_weights(published_dit("L/2"))), 458'102'816);
  EXPECT_EQ(elements(dit_weights(published_dit("XL/2"))), 675'129'632);
  // 512 pixels and larger patches change pos_embed, the patch layer and the final layer alone.
  DitShape large = published_dit("XL/2");
  large.latent_side = 64;
  EXPECT_EQ(elements(dit_weights(large)), 675'129'632 + (1024 - 256) * 1152);
  EXPECT_EQ(elements(dit_weights(published_dit("S/4"))),
            32'963'360 - (256 - 64) * 384 + 384 * 4 * (16 - 4) + (16 - 4) * 8 * (384 + 1));
}

TEST(PublishedWeights, ParametersOfLlamaGenInMillions) {
  const auto millions = [](const char* name) {
    return (elements(raster_weights(published_raster(name))) + 500'000) / 1'000'000;
  };
  EXPECT_EQ(millions("B"), 111);
  EXPECT_EQ(millions("L"), 343);
  EXPECT_EQ(millions("XL"), 775);
  EXPECT_EQ(millions("XXL"), 1411);
  EXPECT_EQ(millions("3B"), 3097);
}

TEST(PublishedWeights, ParametersOfTheAutoencoderOfStableDiffusion) {
  const auto list = sd_vae_weights();
  EXPECT_EQ(elements(list), 83'653'863);
  EXPECT_THAT(
      list, Contains(WeightShape{"encoder.down_blocks.2.resnets.0.conv_shortcut.weight", {512, 256, 1, 1}}));
  EXPECT_THAT(list, Contains(WeightShape{"encoder.mid_block.attentions.0.query.weight", {512, 512}}));
  EXPECT_THAT(list, Contains(WeightShape{"encoder.conv_out.bias", {8}}));
  EXPECT_THAT(list,
              Contains(WeightShape{"decoder.up_blocks.3.resnets.0.conv_shortcut.weight", {128, 256, 1, 1}}));
  EXPECT_THAT(list, Contains(WeightShape{"decoder.up_blocks.2.upsamplers.0.conv.weight", {256, 256, 3, 3}}));
  EXPECT_THAT(list, Contains(WeightShape{"post_quant_conv.weight", {4, 4, 1, 1}}));
}

// Fields beside depth and width change the lists as they change the networks.
TEST(PublishedWeights, OptionsOfDitAndLlamaGen) {
  DitShape dit = published_dit("S/2");
  const std::int64_t all = elements(dit_weights(dit));
  dit.learn_sigma = false;
  EXPECT_EQ(elements(dit_weights(dit)), all - 2 * 2 * 4 * (384 + 1));
  dit.mlp_ratio = 2.0;
  EXPECT_THAT(dit_weights(dit), Contains(WeightShape{"blocks.3.mlp.fc1.weight", {768, 384}}));
  RasterShape raster = published_raster("B");
  EXPECT_THAT(raster_weights(raster),
              Contains(WeightShape{"cls_embedding.embedding_table.weight", {1001, 768}}));
  raster.has_dropped_label = false;
  EXPECT_THAT(raster_weights(raster),
              Contains(WeightShape{"cls_embedding.embedding_table.weight", {1000, 768}}));
  EXPECT_EQ(published_dit("XL/4").num_heads, 16);
  EXPECT_EQ(published_dit("S/8").num_heads, 6);
  EXPECT_EQ(published_raster("3B").num_heads, 32);
}

TEST(PublishedWeights, SingleNamesAndShapes) {
  const auto var = var_weights(published_var("d16"));
  EXPECT_THAT(var, Contains(WeightShape{"blocks.15.attn.mat_qkv.weight", {3072, 1024}}));
  EXPECT_THAT(var, Contains(WeightShape{"blocks.0.attn.scale_mul_1H11", {1, 16, 1, 1}}));
  EXPECT_THAT(var, Contains(WeightShape{"head_nm.ada_lin.1.bias", {2048}}));
  EXPECT_THAT(var, Contains(WeightShape{"attn_bias_for_masking", {1, 1, 680, 680}, true}));
  const auto shared = var_weights(published_var("d36-s"));
  EXPECT_THAT(shared, Contains(WeightShape{"shared_ada_lin.1.weight", {6 * 2304, 2304}}));
  EXPECT_THAT(shared, Contains(WeightShape{"blocks.35.ada_gss", {1, 1, 6, 2304}}));
  EXPECT_THAT(shared, Contains(WeightShape{"pos_1LC", {1, 2240, 2304}}));
  const auto vq = vq_weights(published_vq());
  EXPECT_THAT(vq, Contains(WeightShape{"encoder.down.4.attn.1.qkv.weight", {1920, 640, 1, 1}}));
  EXPECT_THAT(vq, Contains(WeightShape{"decoder.up.3.block.0.nin_shortcut.weight", {320, 640, 1, 1}}));
  EXPECT_THAT(vq, Contains(WeightShape{"quantize.ema_vocab_hit_SV", {10, 4096}, true}));
  const auto dit = dit_weights(published_dit("XL/2"));
  EXPECT_THAT(dit, Contains(WeightShape{"final_layer.linear.weight", {32, 1152}}));
  EXPECT_THAT(dit, Contains(WeightShape{"y_embedder.embedding_table.weight", {1001, 1152}}));
  const auto raster = raster_weights(published_raster("B"));
  EXPECT_THAT(raster, Contains(WeightShape{"layers.11.feed_forward.w2.weight", {768, 2048}}));
  for (const auto& list : {var, shared, vq, dit, raster, sd_vae_weights()}) {
    std::set<std::string> names;
    for (const WeightShape& weight : list) {
      EXPECT_TRUE(names.insert(weight.name).second) << weight.name;
    }
  }
}

TEST(PublishedWeights, OtherSizesAreRefusedWithAList) {
  EXPECT_THAT(test::message_of([] { published_var("d17"); }), HasSubstr("d16, d20, d24, d30, d36-s"));
  EXPECT_THAT(test::message_of([] { published_dit("XL"); }), HasSubstr("name for example XL/2"));
  EXPECT_THAT(test::message_of([] { published_dit("M/2"); }), HasSubstr("no DiT of size 'M'"));
  EXPECT_THAT(test::message_of([] { published_raster("d16"); }), HasSubstr("no LlamaGen of size 'd16'"));
}

}  // namespace
}  // namespace bitlaw::distill
