// Post-training quantisation of a whole VAR: the walk over its layers.
//
// Stage by stage (what all blocks share, each block, the head): the inputs of the stage's layers are measured
// in one pass over the calibration samples, reduced over ranks, and each layer is quantised by the method of
// its configuration, ranks sharing the layers (distill/shared_codes.h). Within a stage consumers come before
// the producers that absorb their input multipliers (distill/fold.h). Masters become the weights that the
// codes stand for. Static scales of inputs are then observed in a second pass over the stage, its weights
// quantised and its inputs not yet (with calibration.inputs: full in one pass at the end, no input
// quantised). Statistics of one stage are kept at a time, and no activations: memory does not depend on the
// number of samples, and the blocks before a stage are computed again for it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "distill/models/var.h"
#include "distill/shared_codes.h"
#include "quant/config.h"
#include "quant/statistics.h"

namespace bitlaw::distill {

// What the walk is given from above. Called by all ranks alike.
struct CalibrationRun {
  // Runs this rank's calibration samples through the first `blocks` blocks, depth + 1: the head too.
  std::function<void(std::int64_t blocks)> forward;
  // The merge over all ranks, the same on each.
  std::function<quant::Statistics(const quant::Statistics&)> reduce;
  RankGroup ranks = {};
};

enum class MultiplierPlace { none, folded, kept };  // folded: a producer absorbed it

struct CalibratedLayer {
  std::string name;
  double rows = 0.0;                   // inputs seen; 0: the method looks at none
  std::int64_t constant_channels = 0;  // of its input
  double relative_error = 0.0;         // |(W' - W) x|^2 / |W x|^2 over the inputs seen, else of the weight
  MultiplierPlace multiplier = MultiplierPlace::none;  // of its input
};

// `model` was prepared with `config` (quant/prepare.h), its masters are full-precision weights. InputError,
// naming the layer: an input that is not finite, or the same in every row; a method that cannot do a spec.
std::vector<CalibratedLayer> calibrate(Var& model, const quant::QuantConfig& config,
                                       const CalibrationRun& run);

std::string to_string(const std::vector<CalibratedLayer>& layers);  // table for the log

}  // namespace bitlaw::distill
