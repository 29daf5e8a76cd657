// Mixed precision by measurement: each layer's loss at each width, and the best widths for a budget of bits.
//
// The loss of a layer at a width is the mean over tokens of KL(full precision, that layer alone rounded to
// nearest) on the calibration samples. Losses of layers are taken to add up; under that assumption the choice
// is exact (quant/bit_allocation.h). It becomes quant.overrides, one for each layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launch/plot.h"
#include "launch/training_sources.h"
#include "quant/bit_allocation.h"
#include "trainer/comm/collective.h"
#include "trainer/config/run_config.h"

namespace bitlaw::launch {

struct LayerSensitivity {
  std::string name;
  std::int64_t weights = 0;
  std::vector<quant::BitChoice> choices;  // of each width; bits as stored, scales and zero points included
};

struct MixedPrecision {
  std::vector<std::int64_t> widths;
  std::vector<LayerSensitivity> layers;
  std::vector<quant::BitAllocation> frontier;
  quant::BitAllocation chosen;

  // {"widths", "layers": [{name, weights, bits, kl}], "frontier": [{bits_per_weight, kl}], "chosen": {...}}
  std::string to_json() const;
  // Layers by falling loss per bit saved, with the width that each got.
  std::string to_string() const;
  // The frontier, what was chosen, and each width for all layers alike.
  Plot frontier_plot() const;
};

// Called by all ranks; every rank gets the same. `bits_per_weight`: the budget over all layers that `config`
// quantises. InputError: a budget that no choice of widths meets, or the samples (calibration_samples.h).
MixedPrecision find_mixed_precision(const trainer::RunConfig& config, const TrainingSources& sources,
                                    trainer::Collective& collective, double bits_per_weight);

// Adds an override with its width for each layer.
void apply(const MixedPrecision& found, quant::QuantConfig& config);

}  // namespace bitlaw::launch
