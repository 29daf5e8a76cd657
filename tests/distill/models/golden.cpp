// Models rebuilt from the attributes and states of a golden file.
#include "tests/distill/models/golden.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "quant/containers/model_state.h"

namespace bitlaw::tests {

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  const at::Tensor reference = b.to(at::kDouble);
  const double scale = reference.abs().max().item<double>();
  const double difference = (a.detach().to(at::kDouble) - reference).abs().max().item<double>();
  return scale > 0 ? difference / scale : difference;
}

distill::VqConfig tokenizer_config(const GoldenFile& file) {
  distill::VqConfig config;
  config.base_channels = file.integer("/", "ch");
  config.codebook_size = file.integer("/", "V");
  config.latent_channels = file.integer("/", "Cvae");
  config.patch_nums = file.integers("/", "patch_nums");
  config.codebook = distill::CodebookTraining::gradient;
  return config;
}

std::shared_ptr<distill::VqTokenizer> golden_tokenizer(const GoldenFile& file) {
  auto tokenizer = std::make_shared<distill::VqTokenizer>(tokenizer_config(file));
  quant::load_state(*tokenizer, file.tensors("tokenizer/state"));
  return tokenizer;
}

std::vector<std::string> transformer_groups(const GoldenFile& file) {
  std::vector<std::string> groups;
  for (const std::string& name : file.names("/"))
    if (file.has_attribute(name, "embed_dim")) groups.push_back(name);
  return groups;
}

std::shared_ptr<distill::Var> golden_var(const GoldenFile& file, const std::string& group) {
  distill::ModelConfig config;
  config.depth = file.integer(group, "depth");
  config.width = file.integer(group, "embed_dim");
  config.num_heads = file.integer(group, "num_heads");
  config.attn_l2_norm = file.integer(group, "attn_l2_norm") != 0;
  config.shared_ada_lin = file.integer(group, "shared_aln") != 0;
  const std::int64_t num_classes = file.integer(group, "num_classes");
  auto model = std::make_shared<distill::Var>(var_shape(config, tokenizer_config(file), num_classes));
  quant::load_state(*model, file.tensors(group + "/state"));
  return model;
}

std::shared_ptr<distill::Dit> golden_dit(const GoldenFile& file) {
  distill::DitShape shape;
  shape.depth = file.integer("/", "depth");
  shape.width = file.integer("/", "hidden_size");
  shape.num_heads = file.integer("/", "num_heads");
  shape.patch_size = file.integer("/", "patch_size");
  shape.latent_side = file.integer("/", "input_size");
  shape.latent_channels = file.integer("/", "in_channels");
  shape.num_classes = file.integer("/", "num_classes");
  shape.mlp_ratio = static_cast<double>(file.integer("/", "mlp_ratio"));
  shape.learn_sigma = file.integer("/", "learn_sigma") != 0;
  auto model = std::make_shared<distill::Dit>(shape);
  quant::load_state(*model, file.tensors("state"));
  return model;
}

std::shared_ptr<distill::RasterAr> golden_raster(const GoldenFile& file) {
  distill::RasterShape shape;
  shape.depth = file.integer("/", "n_layer");
  shape.width = file.integer("/", "dim");
  shape.num_heads = file.integer("/", "n_head");
  shape.num_classes = file.integer("/", "num_classes");
  shape.vocab_size = file.integer("/", "vocab_size");
  shape.tokens_per_side = std::llround(std::sqrt(static_cast<double>(file.integer("/", "block_size"))));
  shape.has_dropped_label =
      file.tensor("state/cls_embedding.embedding_table.weight").size(0) > shape.num_classes;
  auto model = std::make_shared<distill::RasterAr>(shape);
  quant::load_state(*model, file.tensors("state"));
  return model;
}

void expect_gradients(const torch::nn::Module& model, const GoldenFile& file, const std::string& group) {
  const auto expected = file.tensors(group);
  std::size_t compared = 0;
  for (const auto& parameter : model.named_parameters()) {
    SCOPED_TRACE(parameter.key());
    const auto found = expected.find(parameter.key());
    ASSERT_NE(found, expected.end());
    ASSERT_TRUE(parameter.value().grad().defined());
    const double bound = parameter.key() == "t_embedder.mlp.0.weight" ? 1e-4 : kGradientBound;
    EXPECT_LT(relative_difference(parameter.value().grad(), found->second), bound);
    ++compared;
  }
  EXPECT_EQ(compared, expected.size());
}

}  // namespace bitlaw::tests
