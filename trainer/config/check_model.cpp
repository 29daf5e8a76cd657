// Geometry of the network that a configuration asks for, as far as no data are needed.
#include <algorithm>

#include "trainer/config/check_parts.h"
#include "trainer/config/field_writer.h"

namespace bitlaw::trainer {

namespace {

std::int64_t heads_of(const distill::ModelConfig& model) {
  return model.num_heads > 0 ? model.num_heads : std::max<std::int64_t>(1, model.width / 64);
}

void check_heads(const distill::ModelConfig& model, Problems& problems) {
  const std::int64_t heads = heads_of(model);
  if (model.width % heads != 0) {
    problems.add("model.num_heads: " + std::to_string(heads) + " heads do not divide width " +
                     std::to_string(model.width),
                 "every head has width / num_heads channels", "choose a divisor of model.width");
  }
}

void check_mlp(const distill::ModelConfig& model, Problems& problems) {
  const double hidden = model.mlp_ratio * static_cast<double>(model.width);
  if (hidden != static_cast<double>(static_cast<std::int64_t>(hidden))) {
    problems.add("model.mlp_ratio: " + format_number(model.mlp_ratio) + " x width " +
                     std::to_string(model.width) + " is no whole number",
                 "it is the hidden width of the MLP", "choose a ratio that gives a whole number");
  }
}

void check_patches(const distill::ModelConfig& model, Problems& problems) {
  if (model.dit.latent_side % model.dit.patch_size != 0) {
    problems.add("model.dit.patch_size: " + std::to_string(model.dit.patch_size) +
                     " does not divide latent_side " + std::to_string(model.dit.latent_side),
                 "the latents are cut into whole patches", "choose a divisor of model.dit.latent_side");
  }
  if (model.width % 4 != 0) {
    problems.add("model.width: " + std::to_string(model.width) + " is no multiple of 4",
                 "a position is a sine and a cosine of its row and of its column", "choose a multiple of 4");
  }
}

void check_rotation(const distill::ModelConfig& model, Problems& problems) {
  const std::int64_t heads = heads_of(model);
  if (model.width % heads == 0 && model.width / heads % 4 != 0) {
    problems.add("model.num_heads: " + std::to_string(heads) + " heads of " +
                     std::to_string(model.width / heads) + " channels",
                 "half of a head's channels are turned in pairs by the row, half by the column",
                 "choose heads of a multiple of 4 channels");
  }
}

// `section`: of the keys; `widths`: the key, or keys, that the widths of the levels follow from.
void check_groups(const std::string& section, std::int64_t groups, const std::vector<std::int64_t>& levels,
                  const std::string& widths, Problems& problems) {
  for (const std::int64_t channels : levels) {
    if (channels % groups != 0) {
      problems.add(section + ".group_norm_groups: " + std::to_string(groups) +
                       " groups do not divide a level of " + std::to_string(channels) + " channels",
                   "GroupNorm splits the channels of every level evenly",
                   "choose " + widths + " and group_norm_groups that fit");
      break;
    }
  }
}

void check_levels(const std::string& key, const std::vector<std::int64_t>& levels, Problems& problems) {
  if (levels.empty()) {
    problems.add(key + " is empty", "there is one level for each of them", "give at least one");
  }
}

void check_autoencoder(const distill::SdVaeConfig& model, Problems& problems) {
  check_levels("model.sd_vae.channels", model.channels, problems);
  check_groups("model.sd_vae", model.group_norm_groups, model.channels, "channels", problems);
}

void check_widths(const distill::VqConfig& vq, Problems& problems) {
  check_levels("model.vq.channel_multipliers", vq.channel_multipliers, problems);
  std::vector<std::int64_t> levels;
  for (const std::int64_t multiplier : vq.channel_multipliers) {
    levels.push_back(vq.base_channels * multiplier);
  }
  check_groups("model.vq", vq.group_norm_groups, levels, "base_channels", problems);
}

void check_scales(const distill::VqConfig& vq, Problems& problems) {
  const auto& sides = vq.patch_nums;
  const bool rising = std::adjacent_find(sides.begin(), sides.end(), std::greater_equal<>{}) == sides.end();
  if (sides.empty() || !rising) {
    problems.add("model.vq.patch_nums: " + flow_list(sides) + " does not rise",
                 "each scale is finer than the one before", "give rising sides like [1, 2, 4, 8]");
  }
  if (vq.phi_convolutions > static_cast<std::int64_t>(sides.size())) {
    problems.add("model.vq.phi_convolutions: " + std::to_string(vq.phi_convolutions) + " for " +
                     std::to_string(sides.size()) + " scales",
                 "some would never be used or trained", "give at most one for each of model.vq.patch_nums");
  }
}

void check_codebook(const distill::VqConfig& vq, Problems& problems) {
  if (vq.codebook == distill::CodebookTraining::ema && vq.codebook_decay >= 1.0) {
    problems.add("model.vq.codebook_decay: 1 with codebook: ema", "the codes would never move",
                 "use a value such as 0.99");
  }
}

}  // namespace

void check_model(const RunConfig& config, Problems& problems) {
  const distill::ModelConfig& model = config.model;
  switch (model.family) {
    case distill::Family::var:
      check_heads(model, problems);
      check_mlp(model, problems);
      break;
    case distill::Family::vq:
      check_widths(model.vq, problems);
      check_scales(model.vq, problems);
      check_codebook(model.vq, problems);
      break;
    case distill::Family::dit:
      check_heads(model, problems);
      check_mlp(model, problems);
      check_patches(model, problems);
      break;
    case distill::Family::raster:
      check_heads(model, problems);
      check_rotation(model, problems);
      break;
    case distill::Family::sd_vae:
      check_autoencoder(model.sd_vae, problems);
      break;
  }
}

}  // namespace bitlaw::trainer
