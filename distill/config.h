// Configuration of the sections task, model, tokenizer and distill.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/field.h"

namespace bitlaw::distill {

enum class TaskKind { tokenizer, pretrain, distill };
enum class Family { var, vq, dit, raster, sd_vae };
enum class Loss {
  topkld,
  forward_kl,
  reverse_kl,
  jsd,
  cakld,
  skew_forward_kl,
  skew_reverse_kl,
  akl,
  mse,
  cross_entropy
};
enum class Direction { forward, reverse, none };
enum class Norm { naive, generalised, conditional, ghost };
enum class SetSource { teacher, student, union_of_both };
enum class TeacherWeights { model, ema };
enum class CodebookTraining { gradient, ema };

// Multi-scale residual VQ tokenizer. Widths are base_channels * channel_multipliers; the image side is
// last patch_num * 2^(levels - 1). The published VAR tokenizer: base_channels 160, multipliers 1,1,2,2,4, two
// residual blocks, attention at the last level, latent_channels 32, codebook_size 4096, ten patch_nums, four
// phi convolutions.
struct VqConfig {
  std::int64_t image_channels = 3;
  std::int64_t base_channels = 160;
  std::vector<std::int64_t> channel_multipliers = {1, 1, 2, 2, 4};
  std::int64_t res_blocks = 2;  // of a level of the encoder; the decoder has one more
  bool attention = true;        // at the last level and in the middle
  bool middle = true;           // the two residual blocks (and attention) between encoder levels and latents
  std::int64_t group_norm_groups = 32;
  std::int64_t latent_channels = 32;
  std::int64_t codebook_size = 4096;
  std::vector<std::int64_t> patch_nums = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
  std::int64_t phi_convolutions = 4;  // shared over the scales as published; equal to the scales: one each
  double commitment = 0.25;           // beta
  CodebookTraining codebook = CodebookTraining::ema;
  double codebook_decay = 0.99;
  double dead_code_threshold = 0.1;  // a code whose averaged count falls below it is revived from the batch
};

// What a DiT has beside depth, width, num_heads and mlp_ratio: its latents. The published ones are of the
// tokenizer of Stable Diffusion, which is an eighth of the image's side.
struct DitConfig {
  std::int64_t patch_size = 2;
  std::int64_t latent_side = 32;
  std::int64_t latent_channels = 4;
  bool learn_sigma = true;
};

// What a LlamaGen has beside depth, width and num_heads: its tokens.
struct RasterConfig {
  std::int64_t vocab_size = 16384;
  std::int64_t tokens_per_side = 16;
  bool dropped_label = true;
};

// The variational autoencoder of Stable Diffusion (arXiv 2112.10752), which made the latents that DiT was
// trained on: defaults are the published ones. Latents have 1 / 2^(levels - 1) of the image's side.
struct SdVaeConfig {
  std::int64_t image_channels = 3;
  std::int64_t latent_channels = 4;  // the encoder gives as many means and log variances
  std::vector<std::int64_t> channels = {128, 256, 512, 512};  // of each level, from the image inwards
  std::int64_t res_blocks = 2;                                // of a level; one more in the decoder
  std::int64_t group_norm_groups = 32;
};

struct ModelConfig {
  Family family = Family::var;
  std::int64_t depth = 16;
  std::int64_t width = 1024;
  std::int64_t num_heads = 0;  // 0: width / 64, at least 1
  double mlp_ratio = 4.0;
  bool attn_l2_norm = true;
  bool shared_ada_lin = false;
  double ada_lin_gamma = 1e-3;  // initial factor of the gates' rows
  std::string init = "random";  // random | teacher | path of a run or an export
  VqConfig vq;
  DitConfig dit;
  RasterConfig raster;
  SdVaeConfig sd_vae;
};

struct TokenizerConfig {
  std::string from;  // run or export
};

struct DistillConfig {
  std::string teacher;
  TeacherWeights teacher_weights = TeacherWeights::ema;
  Loss loss = Loss::topkld;
  std::optional<std::int64_t> top_k;  // absent: 900 of 4096 classes, the same fraction of other vocabularies
  Direction head = Direction::forward;
  Direction tail = Direction::reverse;
  Norm norm = Norm::generalised;
  double lambda_head = 1.0;
  double lambda_tail = 1.0;
  SetSource set_source = SetSource::teacher;
  double temperature = 1.0;
  double ce_weight = 0.0;
  double beta = 0.5;                  // jsd
  double alpha = 0.1;                 // skew_forward_kl, skew_reverse_kl
  double head_mass = 0.5;             // akl
  std::vector<double> scale_weights;  // one per scale; empty: all 1
};

struct TaskConfig {
  TaskKind kind = TaskKind::pretrain;
  double label_drop = 0.1;
};

template <class Visitor>
void visit_fields(Visitor& visitor, VqConfig& config) {
  using data::Field;
  visitor(Field{"image_channels", "channels of the images", 1, 4}, config.image_channels);
  visitor(Field{"base_channels", "width of the first level", 1, 4096}, config.base_channels);
  visitor(Field{"channel_multipliers", "width of each level over base_channels", 1, 64},
          config.channel_multipliers);
  visitor(Field{"res_blocks", "residual blocks of an encoder level; a decoder level has one more", 0, 8},
          config.res_blocks);
  visitor(Field{"attention", "self-attention at the last level and in the middle"}, config.attention);
  visitor(Field{"middle", "residual blocks between the last level and the latents"}, config.middle);
  visitor(Field{"group_norm_groups", "groups of GroupNorm", 1, 1024}, config.group_norm_groups);
  visitor(Field{"latent_channels", "width of a code vector", 1, 1024}, config.latent_channels);
  visitor(Field{"codebook_size", "number of codes, V", 2, 65536}, config.codebook_size);
  visitor(Field{"patch_nums", "side of each scale, rising", 1, 256}, config.patch_nums);
  visitor(Field{"phi_convolutions", "convolutions after upsampling, shared over the scales", 1, 64},
          config.phi_convolutions);
  visitor(Field{"commitment", "weight of the commitment term, beta", 0, 100}, config.commitment);
  visitor(Field{"codebook", "gradient, or moving averages of the assigned vectors (ema)"}, config.codebook);
  visitor(Field{"codebook_decay", "decay of those averages", 0, 1}, config.codebook_decay);
  visitor(Field{"dead_code_threshold", "averaged count a step below which a code is revived", 0, 1e6},
          config.dead_code_threshold);
}

template <class Visitor>
void visit_fields(Visitor& visitor, DitConfig& config) {
  using data::Field;
  visitor(Field{"patch_size", "side of a patch of latents, which is one token", 1, 64}, config.patch_size);
  visitor(Field{"latent_side", "side of the latents: an eighth of the image's", 1, 1024}, config.latent_side);
  visitor(Field{"latent_channels", "channels of the latents", 1, 1024}, config.latent_channels);
  visitor(Field{"learn_sigma", "the output holds the variance beside the noise"}, config.learn_sigma);
}

template <class Visitor>
void visit_fields(Visitor& visitor, RasterConfig& config) {
  using data::Field;
  visitor(Field{"vocab_size", "number of codes, V", 2, 1 << 20}, config.vocab_size);
  visitor(Field{"tokens_per_side", "side of the grid of tokens: a sixteenth of the image's", 1, 1024},
          config.tokens_per_side);
  visitor(Field{"dropped_label", "the label table has a row for the dropped label"}, config.dropped_label);
}

template <class Visitor>
void visit_fields(Visitor& visitor, SdVaeConfig& config) {
  using data::Field;
  visitor(Field{"image_channels", "channels of the images", 1, 4}, config.image_channels);
  visitor(Field{"latent_channels", "channels of the latents", 1, 1024}, config.latent_channels);
  visitor(Field{"channels", "width of each level, from the image inwards", 1, 65536}, config.channels);
  visitor(Field{"res_blocks", "residual blocks of an encoder level; a decoder level has one more", 1, 8},
          config.res_blocks);
  visitor(Field{"group_norm_groups", "groups of GroupNorm", 1, 1024}, config.group_norm_groups);
}

template <class Visitor>
void visit_fields(Visitor& visitor, ModelConfig& config) {
  using data::Field;
  visitor(Field{"family",
                "var (transformer over scales of tokens), vq (its tokenizer); dit (diffusion transformer) "
                "and raster (LlamaGen): imported, quantised and exported, not trained; sd_vae (Stable "
                "Diffusion's autoencoder): imported and converted"},
          config.family);
  visitor(Field{"depth", "transformer blocks", 1, 200}, config.depth);
  visitor(Field{"width", "channels of the transformer", 8, 65536}, config.width);
  visitor(Field{"num_heads", "attention heads; 0 is width / 64", 0, 1024}, config.num_heads);
  visitor(Field{"mlp_ratio", "hidden width of the MLP over width", 0.5, 16}, config.mlp_ratio);
  visitor(Field{"attn_l2_norm", "queries and keys of unit length with a learned temperature"},
          config.attn_l2_norm);
  visitor(Field{"shared_ada_lin", "one AdaLN layer for all blocks"}, config.shared_ada_lin);
  visitor(Field{"ada_lin_gamma", "initial factor of the gates of AdaLN", 0, 10}, config.ada_lin_gamma);
  visitor(Field{"init", "random, teacher, or the path of a run or an export"}, config.init);
  visitor(Field{"vq", "tokenizer geometry (family: vq)"}, config.vq);
  visitor(Field{"dit", "latents (family: dit)"}, config.dit);
  visitor(Field{"raster", "tokens (family: raster)"}, config.raster);
  visitor(Field{"sd_vae", "autoencoder of images (family: sd_vae)"}, config.sd_vae);
}

template <class Visitor>
void visit_fields(Visitor& visitor, TokenizerConfig& config) {
  visitor(data::Field{"from", "run folder or export of the tokenizer"}, config.from);
}

template <class Visitor>
void visit_fields(Visitor& visitor, DistillConfig& config) {
  using data::Field;
  visitor(
      Field{"teacher",
            "run folder or export of the teacher; it must have the vocabulary and the scales of the student"},
      config.teacher);
  visitor(Field{"teacher_weights",
                "which weights of the run teach: as trained (model), or their moving averages (ema)"},
          config.teacher_weights);
  visitor(Field{"loss", "divergence between teacher and student, mean over tokens"}, config.loss);
  visitor(Field{"top_k",
                "topkld: the K most probable classes are the head, the others the tail. Unset: vocabulary x "
                "900 / 4096",
                0, 65536},
          config.top_k);
  visitor(
      Field{"head", "topkld: on the head, forward sums p log(p/q), reverse q log(q/p); p teacher, q student"},
      config.head);
  visitor(Field{"tail", "topkld: the same on the tail; none leaves it free"}, config.tail);
  visitor(Field{"norm",
                "topkld: naive: plain partial sums, no divergence; generalised: with mass terms; "
                "conditional: mass, head and tail apart; ghost: conditional with the tail as one bucket"},
          config.norm);
  visitor(Field{"lambda_head", "topkld: weight of the head", 0, 1e3}, config.lambda_head);
  visitor(Field{"lambda_tail", "topkld: weight of the tail", 0, 1e3}, config.lambda_tail);
  visitor(Field{"set_source", "topkld: whose top K make the head; union takes both"}, config.set_source);
  visitor(Field{"temperature", "T of both softmaxes; the loss is multiplied by T^2", 0.01, 100},
          config.temperature);
  visitor(Field{"ce_weight", "weight of cross entropy with the data beside the divergence", 0, 1e3},
          config.ce_weight);
  visitor(Field{"beta", "mixture weight of jsd", 0, 1}, config.beta);
  visitor(Field{"alpha", "mixture weight of the skew divergences", 0, 1}, config.alpha);
  visitor(Field{"head_mass", "cumulative teacher mass of akl's head", 0, 1}, config.head_mass);
  visitor(Field{"scale_weights", "weight of each scale of tokens; empty: all 1", 0, 1e3},
          config.scale_weights);
}

template <class Visitor>
void visit_fields(Visitor& visitor, TaskConfig& config) {
  using data::Field;
  visitor(Field{"kind", "tokenizer, pretrain (cross entropy; with quant: QAT without a teacher), distill"},
          config.kind);
  visitor(Field{"label_drop", "probability of dropping the class label, for classifier-free guidance", 0, 1},
          config.label_drop);
}

// For messages: "is a tokenizer".
constexpr std::string_view noun_of(Family family) {
  constexpr std::string_view kNouns[] = {"a VAR", "a tokenizer", "a DiT", "a LlamaGen",
                                         "an autoencoder of images"};
  return kNouns[static_cast<int>(family)];
}

}  // namespace bitlaw::distill

namespace bitlaw::data {
template <>
struct EnumNames<distill::TaskKind> {
  static constexpr std::string_view names[] = {"tokenizer", "pretrain", "distill"};
};
template <>
struct EnumNames<distill::Family> {
  static constexpr std::string_view names[] = {"var", "vq", "dit", "raster", "sd_vae"};
};
template <>
struct EnumNames<distill::Loss> {
  static constexpr std::string_view names[] = {"topkld", "forward_kl",      "reverse_kl",      "jsd",
                                               "cakld",  "skew_forward_kl", "skew_reverse_kl", "akl",
                                               "mse",    "cross_entropy"};
};
template <>
struct EnumNames<distill::Direction> {
  static constexpr std::string_view names[] = {"forward", "reverse", "none"};
};
template <>
struct EnumNames<distill::Norm> {
  static constexpr std::string_view names[] = {"naive", "generalised", "conditional", "ghost"};
};
template <>
struct EnumNames<distill::SetSource> {
  static constexpr std::string_view names[] = {"teacher", "student", "union"};
};
template <>
struct EnumNames<distill::TeacherWeights> {
  static constexpr std::string_view names[] = {"model", "ema"};
};
template <>
struct EnumNames<distill::CodebookTraining> {
  static constexpr std::string_view names[] = {"gradient", "ema"};
};
}  // namespace bitlaw::data
