#include "distill/models/published_models.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "data/formats/input_error.h"
#include "distill/models/model_shapes.h"

namespace bitlaw::distill {

namespace {

constexpr std::string_view kVar = "var-";
constexpr std::string_view kTokenizer = "var-vq";
constexpr std::string_view kLargeTokenizer = "var-vq-512";
constexpr std::string_view kDit = "dit-";
constexpr std::string_view kLargeDit = "-512";
constexpr std::string_view kRaster = "llamagen-";
constexpr std::string_view kLargeRaster = "-384";
constexpr std::string_view kAutoencoder = "sd-vae";

PublishedModel tokenizer_of(std::vector<std::int64_t> patch_nums) {
  PublishedModel model;
  model.config.family = Family::vq;
  model.config.vq = published_vq();
  model.config.vq.patch_nums = std::move(patch_nums);
  return model;
}

PublishedModel var_of(const VarShape& shape) {
  PublishedModel model = tokenizer_of(shape.patch_nums);
  ModelConfig& config = model.config;
  config.family = Family::var;
  config.depth = shape.depth;
  config.width = shape.width;
  config.num_heads = shape.num_heads;
  config.mlp_ratio = shape.mlp_ratio;
  config.attn_l2_norm = shape.attn_l2_norm;
  config.shared_ada_lin = shape.shared_ada_lin;
  model.num_classes = shape.num_classes;
  return model;
}

// "xl-2" -> "XL/2", "3b" -> "3B": as their authors write the sizes.
std::string published_size(std::string_view name) {
  std::string size(name);
  for (char& letter : size) {
    letter = letter == '-' ? '/' : static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  }
  return size;
}

bool take_suffix(std::string_view& name, std::string_view suffix) {
  const bool found = name.ends_with(suffix);
  name.remove_suffix(found ? suffix.size() : 0);
  return found;
}

PublishedModel dit_of(std::string_view name) {
  const bool is_large = take_suffix(name, kLargeDit);
  const DitShape shape = published_dit(published_size(name));
  PublishedModel model;
  ModelConfig& config = model.config;
  config.family = Family::dit;
  config.depth = shape.depth;
  config.width = shape.width;
  config.num_heads = shape.num_heads;
  config.mlp_ratio = shape.mlp_ratio;
  config.dit = {shape.patch_size, is_large ? 2 * shape.latent_side : shape.latent_side, shape.latent_channels,
                shape.learn_sigma};
  model.num_classes = shape.num_classes;
  return model;
}

PublishedModel raster_of(std::string_view name) {
  const bool is_large = take_suffix(name, kLargeRaster);
  const RasterShape shape = published_raster(published_size(name));
  PublishedModel model;
  ModelConfig& config = model.config;
  config.family = Family::raster;
  config.depth = shape.depth;
  config.width = shape.width;
  config.num_heads = shape.num_heads;
  config.raster = {shape.vocab_size, is_large ? 24 : shape.tokens_per_side, shape.has_dropped_label};
  model.num_classes = shape.num_classes;
  return model;
}

}  // namespace

std::vector<std::string> published_models() {
  std::vector<std::string> names;
  for (const char* size : {"d16", "d20", "d24", "d30", "d36-s"}) {
    names.push_back(std::string(kVar).append(size));
  }
  names.emplace_back(kTokenizer);
  names.emplace_back(kLargeTokenizer);
  for (const char* size : {"s", "b", "l", "xl"}) {
    for (const char* patch : {"-2", "-4", "-8"}) {
      names.push_back(std::string(kDit).append(size).append(patch));
    }
  }
  names.push_back(std::string(kDit).append("xl-2").append(kLargeDit));
  for (const std::string_view pixels : {std::string_view(), kLargeRaster}) {
    for (const char* size : {"b", "l", "xl", "xxl", "3b"}) {
      names.push_back(std::string(kRaster).append(size).append(pixels));
    }
  }
  names.emplace_back(kAutoencoder);
  return names;
}

PublishedModel published_model(std::string_view name) {
  const std::vector<std::string> names = published_models();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    std::string list;
    for (const std::string& known : names) {
      list.append(list.empty() ? "" : ", ").append(known);
    }
    throw data::InputError("there is no published model '" + std::string(name) + "'", "there are " + list,
                           "name one of them, or give a geometry of your own");
  }
  if (name.starts_with(kDit)) {
    return dit_of(name.substr(kDit.size()));
  }
  if (name.starts_with(kRaster)) {
    return raster_of(name.substr(kRaster.size()));
  }
  if (name == kAutoencoder) {
    PublishedModel model;
    model.config.family = Family::sd_vae;
    return model;
  }
  if (name == kTokenizer) {
    return tokenizer_of(published_vq().patch_nums);
  }
  if (name == kLargeTokenizer) {
    return tokenizer_of(published_var("d36-s").patch_nums);
  }
  return var_of(published_var(name.substr(kVar.size())));
}

std::vector<WeightShape> weights_of(const ModelConfig& model, std::int64_t num_classes) {
  switch (model.family) {
    case Family::vq:
      return vq_weights(model.vq);
    case Family::dit:
      return dit_weights(dit_shape(model, num_classes));
    case Family::raster:
      return raster_weights(raster_shape(model, num_classes));
    case Family::sd_vae:
      return sd_vae_weights(model.sd_vae);
    case Family::var:
      break;
  }
  return var_weights(var_shape(model, model.vq, num_classes));
}

std::string class_table(Family family) {
  constexpr std::string_view kTables[] = {"class_emb.weight", "", "y_embedder.embedding_table.weight",
                                          "cls_embedding.embedding_table.weight", ""};
  return std::string(kTables[static_cast<int>(family)]);
}

std::int64_t class_count(const ModelConfig& model, std::int64_t table_rows) {
  const bool has_dropped_label = model.family != Family::raster || model.raster.dropped_label;
  return table_rows - (has_dropped_label ? 1 : 0);
}

}  // namespace bitlaw::distill
