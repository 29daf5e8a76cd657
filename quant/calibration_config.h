// Configuration of post-training methods: which samples the layers' inputs are measured on, and the options
// of the methods that need them.
#pragma once

#include <cstdint>

#include "data/formats/field.h"

namespace bitlaw::quant {

// What the layers of a block are given while their inputs are measured: the outputs of blocks that are
// quantised already, or of full-precision ones.
enum class CalibrationInputs { quantised, full };
// In this order, before the method: move the spread of loud channels into the weight, then rotate.
enum class TransformKind { smooth, hadamard };

struct CalibrationConfig {
  std::int64_t samples = 128;
  CalibrationInputs inputs = CalibrationInputs::quantised;
  double damping = 0.01;
  bool act_order = false;
  bool static_groups = false;
  double smooth_alpha = 0.5;
  std::int64_t clip_steps = 400;
  double clip_lr = 1e-2;
  std::int64_t block_epochs = 2;
  std::int64_t block_batch_size = 2;
  double block_lr = 0.0;
  double block_scale_lr = 1e-4;
};

template <class Visitor>
void visit_fields(Visitor& visitor, CalibrationConfig& config) {
  visitor(data::Field{"samples",
                      "training samples that the inputs of layers are measured on, spread over the ranks", 1,
                      1e9},
          config.samples);
  visitor(
      data::Field{
          "inputs",
          "quantised: each block is measured behind the blocks that are quantised already; full: behind "
          "full-precision ones"},
      config.inputs);
  visitor(
      data::Field{"damping", "gptq: added to the diagonal of the second moments, times its mean", 1e-12, 1e6},
      config.damping);
  visitor(data::Field{"act_order", "gptq: inputs of large second moment are rounded first"},
          config.act_order);
  visitor(data::Field{"static_groups",
                      "gptq: scales from the original weights, so that act_order leaves groups contiguous"},
          config.static_groups);
  visitor(data::Field{"smooth_alpha", "smooth: how much of the inputs' spread goes into the weight", 0, 1},
          config.smooth_alpha);
  visitor(data::Field{"clip_steps", "omniquant: steps of learning the clipping", 1, 1e6}, config.clip_steps);
  visitor(data::Field{"clip_lr", "omniquant: learning rate of the clipping's logits", 1e-9, 10},
          config.clip_lr);
  visitor(data::Field{"block_epochs", "block_ap: how often each block sees the samples", 1, 1e6},
          config.block_epochs);
  visitor(data::Field{"block_batch_size", "block_ap: samples of a step, all ranks together", 1, 1e6},
          config.block_batch_size);
  visitor(
      data::Field{"block_lr",
                  "block_ap: learning rate of weights; 0: the authors', 2e-5 at 2 bits, 1e-5 above", 0, 1},
      config.block_lr);
  visitor(data::Field{"block_scale_lr", "block_ap: the same of zero points and of the logarithms of scales",
                      0, 1},
          config.block_scale_lr);
}

}  // namespace bitlaw::quant

template <>
struct bitlaw::data::EnumNames<bitlaw::quant::CalibrationInputs> {
  static constexpr std::string_view names[] = {"quantised", "full"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::TransformKind> {
  static constexpr std::string_view names[] = {"smooth", "hadamard"};
};
