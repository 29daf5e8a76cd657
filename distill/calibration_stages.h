// The order in which the layers of a VAR are calibrated.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "distill/fold.h"
#include "distill/models/var.h"
#include "quant/layers.h"

namespace bitlaw::distill {

// A layer that is quantised in the walk.
struct StageLayer {
  std::string name;
  quant::Linear* linear = nullptr;
  std::shared_ptr<quant::Quantizer> quantizer;    // kept here while the layer has none
  std::shared_ptr<quant::InputQuantizer> inputs;  // likewise
};

// Layers that are measured in one pass over the first `blocks` blocks.
struct Stage {
  std::int64_t blocks = 0;
  std::vector<StageLayer> layers;
};

// The layers that have quantizers, which are taken off them: until it is its turn, a layer is in full
// precision. What all blocks share, each block, the head.
std::vector<Stage> take_stages(Var& model);

// Layers in waves, none before a layer whose multiplier it may absorb: those of a wave do not depend on each
// other.
std::vector<std::vector<StageLayer>> consumers_first(std::vector<StageLayer> layers,
                                                     const std::map<std::string, Fold>& folds);

}  // namespace bitlaw::distill
