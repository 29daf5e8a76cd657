// Names and shapes of the weights that published checkpoints hold, as functions of the geometry. Torch-free.
//
// Order is that of the tables below, not of the files. Buffers that a file carries beside its parameters
// (masks, levels, usage counts) are listed too and marked. Sources: FoundationVision/VAR (arXiv 2404.02905),
// facebookresearch/DiT (arXiv 2212.09748), FoundationVision/LlamaGen (arXiv 2406.06525), Stable Diffusion's
// autoencoder (arXiv 2112.10752).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "distill/config.h"
#include "distill/models/var_shape.h"

namespace bitlaw::distill {

struct WeightShape {
  std::string name;
  std::vector<std::int64_t> shape;
  bool is_buffer = false;

  bool operator==(const WeightShape&) const = default;
};

struct DitShape {
  std::int64_t depth = 0;
  std::int64_t width = 0;
  std::int64_t num_heads = 16;  // of L and XL
  std::int64_t patch_size = 2;
  std::int64_t latent_side = 32;  // image side / 8
  std::int64_t latent_channels = 4;
  std::int64_t num_classes = 1000;  // the dropped label is index num_classes
  double mlp_ratio = 4.0;
  bool learn_sigma = true;  // the output holds latent_channels of noise, and as many of the variance
};

// The raster-order language model of LlamaGen, class-conditional.
struct RasterShape {
  std::int64_t depth = 0;
  std::int64_t width = 0;
  std::int64_t num_heads = 12;  // of B
  std::int64_t num_classes = 1000;
  std::int64_t vocab_size = 16384;
  std::int64_t tokens_per_side = 16;  // image side / 16; no weight depends on it
  bool has_dropped_label = true;      // the class table's last row, index num_classes
};

std::vector<WeightShape> var_weights(const VarShape& shape);
std::vector<WeightShape> vq_weights(const VqConfig& config);  // the multi-scale tokenizer of VAR
std::vector<WeightShape> dit_weights(const DitShape& shape);
std::vector<WeightShape> raster_weights(const RasterShape& shape);
// Names as in diffusers' files of sd-vae-ft-ema and sd-vae-ft-mse, whose attention layers are called query,
// key, value and proj_attn.
std::vector<WeightShape> sd_vae_weights(const SdVaeConfig& config = {});
// Two thirds of 4 width, rounded up to a multiple of 256.
std::int64_t feed_forward_width(const RasterShape& shape);

// Elements of all that is no buffer.
std::int64_t parameter_count(std::span<const WeightShape> weights);

// Geometries that were published; InputError that lists them for another name.
VarShape published_var(std::string_view name);        // d16, d20, d24, d30, d36-s
VqConfig published_vq();                              // vae_ch160v4096z32
DitShape published_dit(std::string_view name);        // S/2, S/4, S/8, B/2, ..., XL/8, of 256 pixels
RasterShape published_raster(std::string_view name);  // B, L, XL, XXL, 3B

}  // namespace bitlaw::distill
