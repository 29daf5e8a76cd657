// Which divergence is meant, checked once against the vocabulary, free of tensors.
#pragma once

#include <cstdint>

#include "distill/config.h"

namespace bitlaw::distill {

// Formulas: docs/distillation.md. All fields are those of DistillConfig, resolved.
struct DivergenceSpec {
  Loss loss = Loss::topkld;
  std::int64_t top_k = 900;  // 0 <= top_k <= V
  Direction head = Direction::forward;
  Direction tail = Direction::reverse;
  Norm norm = Norm::generalised;
  double lambda_head = 1.0;
  double lambda_tail = 1.0;
  SetSource set_source = SetSource::teacher;
  double temperature =
      1.0;            // ignored by mse (its loss does not depend on it) and cross_entropy (data has none)
  double beta = 0.5;  // jsd mixture; cakld: mean maximum teacher probability, measured by the caller
  double alpha = 0.1;
  double head_mass = 0.5;
};

// The spec that `config` describes for V = vocab_size classes. Without top_k it is V * 900 / 4096, rounded.
// data::InputError: top_k outside 0..V; head reverse + tail forward + norm naive; no term left; a mixture
// that makes the loss constant. vocab_size >= 1.
DivergenceSpec divergence_spec(const DistillConfig& config, std::int64_t vocab_size);

// Whether the loss compares with a teacher (all but cross_entropy), or needs data tokens (cross_entropy).
constexpr bool needs_teacher(const DivergenceSpec& spec) {
  return spec.loss != Loss::cross_entropy;
}
constexpr bool needs_targets(const DivergenceSpec& spec) {
  return spec.loss == Loss::cross_entropy;
}

}  // namespace bitlaw::distill
