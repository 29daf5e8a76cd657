// EfficientQAT's first phase, Block-AP (arXiv 2407.11062), of a VAR: one transformer block at a time, all
// weights, scales and zero points of its linear layers are trained so that the block's output, of inputs that
// passed the quantised blocks before it, is that of the full-precision network, of inputs in full precision.
//
// Loss: mean square over all elements of the output. AdamW without decay, betas 0.9 and 0.999; both learning
// rates follow half a cosine down to a twentieth. Weights, scales and zero points have the gradients of
// method lsq with learned zero points (quant/quantizer.h): scales are trained as logarithms, rounded to
// scale_dtype straight through, and the outermost codes pass the gradient. Everything runs in float32. Layers
// outside the blocks (an AdaLN layer that blocks share, the head) are rounded to nearest.
//
// Dynamic inputs are quantised while a block trains, inputs of static scales are not: those are observed
// afterwards, behind the trained weights (quant/input_observation.h).
//
// The full-precision network is kept beside the other, and each step computes the blocks before its own
// again: memory does not depend on the number of samples.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "distill/models/var.h"
#include "distill/tasks/token_input.h"
#include "quant/config.h"
#include "quant/statistics.h"

namespace bitlaw::distill {

// What the training is given from above. Called by all ranks alike.
struct BlockSamples {
  std::int64_t batches = 0;  // of one pass over the samples, the same on all ranks
  // This rank's part of batch i; nothing where the batch is too small for all ranks.
  std::function<std::optional<TokenInput>(std::int64_t i)> part;
  // The merge over all ranks, the same on each.
  std::function<quant::Statistics(const quant::Statistics&)> reduce;
};

// Mean square errors over all samples.
struct TrainedBlock {
  std::string name;
  double first_loss = 0.0;  // weights rounded to nearest
  double last_loss = 0.0;   // as the block stays
};

// `model` was prepared with `config` (method block_ap), its masters are full-precision weights; afterwards
// they are the weights that the codes stand for; static scales of inputs are still to be observed.
// InputError, naming the block: a loss that is not finite; naming the layer: a weight that is not finite, or
// whose codes float32 cannot tell apart.
std::vector<TrainedBlock> train_blocks(Var& model, const quant::QuantConfig& config,
                                       const BlockSamples& samples);

std::string to_string(const std::vector<TrainedBlock>& blocks);  // table for the log

}  // namespace bitlaw::distill
