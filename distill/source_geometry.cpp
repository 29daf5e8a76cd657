#include "distill/source_geometry.h"

#include <utility>

#include "distill/models/dit.h"
#include "distill/models/model_shapes.h"
#include "distill/models/raster_ar.h"
#include "distill/models/sd_vae.h"
#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {

namespace {

class Comparison {
 public:
  void of(const std::string& key, std::int64_t here, std::int64_t there) {
    if (here != there) {
      differences_.push_back(std::string(key).append(" is ").append(std::to_string(there)));
      differences_.back().append(" there, ").append(std::to_string(here)).append(" here");
    }
  }
  std::vector<std::string> take() { return std::move(differences_); }

 private:
  std::vector<std::string> differences_;
};

void compare(const VarShape& here, const VarShape& there, Comparison& comparison) {
  comparison.of("model.num_heads", here.num_heads, there.num_heads);
}

void compare(const DitShape& here, const DitShape& there, Comparison& comparison) {
  comparison.of("model.num_heads", here.num_heads, there.num_heads);
  comparison.of("model.dit.latent_side", here.latent_side, there.latent_side);
}

void compare(const RasterShape& here, const RasterShape& there, Comparison& comparison) {
  comparison.of("model.num_heads", here.num_heads, there.num_heads);
  comparison.of("model.raster.tokens_per_side", here.tokens_per_side, there.tokens_per_side);
}

}  // namespace

std::vector<std::string> geometry_differences(const torch::nn::Module& model, const SourceModel& source) {
  const ModelConfig& there = source.config;
  Comparison comparison;
  if (const auto* var = dynamic_cast<const Var*>(&model)) {
    compare(var->shape(), var_shape(there, source.tokenizer, source.num_classes), comparison);
  } else if (const auto* dit = dynamic_cast<const Dit*>(&model)) {
    compare(dit->shape(), dit_shape(there, source.num_classes), comparison);
  } else if (const auto* raster = dynamic_cast<const RasterAr*>(&model)) {
    compare(raster->shape(), raster_shape(there, source.num_classes), comparison);
  } else if (const auto* tokenizer = dynamic_cast<const VqTokenizer*>(&model)) {
    comparison.of("model.vq.group_norm_groups", tokenizer->config().group_norm_groups,
                  there.vq.group_norm_groups);
  } else if (const auto* autoencoder = dynamic_cast<const SdVae*>(&model)) {
    comparison.of("model.sd_vae.group_norm_groups", autoencoder->config().group_norm_groups,
                  there.sd_vae.group_norm_groups);
  }
  return comparison.take();
}

}  // namespace bitlaw::distill
