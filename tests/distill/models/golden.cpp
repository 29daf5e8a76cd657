// Models rebuilt from the attributes and states of a golden file.
#include "tests/distill/models/golden.h"

#include <ATen/ATen.h>

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

}  // namespace bitlaw::tests
