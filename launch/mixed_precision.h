// Mixed precision by measurement: each layer's loss at each width, and the best widths for a budget of bits.
//
// The loss of a layer at a width is the mean over tokens of KL(full precision, that layer alone rounded to
// nearest) on the calibration samples. Losses of layers are taken to add up; under that assumption the choice
// is exact (quant/bit_allocation.h). It becomes quant.overrides, one for each layer whose width was chosen.
//
// The user's overrides hold: one that says num_bits, format or another type than int decides its layers,
// which have this one choice and count in the budget; what another one says (a group size) holds at every
// width.
#pragma once

#include <string>
#include <vector>

#include "launch/layer_sensitivity.h"
#include "launch/plot.h"
#include "launch/training_sources.h"
#include "quant/bit_allocation.h"
#include "trainer/comm/collective.h"
#include "trainer/config/run_config.h"

namespace bitlaw::launch {

struct MixedPrecision {
  std::vector<LayerSensitivity> layers;
  std::vector<quant::BitAllocation> frontier;
  quant::BitAllocation chosen;

  // {"widths", "layers": [{name, weights, widths, bits, kl, chosen}], "frontier": [{bits_per_weight, kl}],
  // "chosen": {...}}
  std::string to_json() const;
  // Layers by falling loss per bit saved, with the width that each got.
  std::string to_string() const;
  // The frontier, what was chosen, and each width for all layers alike.
  Plot frontier_plot() const;
};

// The best widths within a budget over all layers. InputError: a budget that no choice of widths meets.
MixedPrecision choose_widths(std::vector<LayerSensitivity> layers, double bits_per_weight);

// Called by all ranks; every rank gets the same. `bits_per_weight`: the budget over all layers that `config`
// quantises. InputError: as choose_widths, measure_sensitivity, or the samples (calibration_samples.h).
MixedPrecision find_mixed_precision(const trainer::RunConfig& config, const TrainingSources& sources,
                                    trainer::Collective& collective, double bits_per_weight);

// Adds an override with its width for each layer that no override decides.
void apply(const MixedPrecision& found, quant::QuantConfig& config);

}  // namespace bitlaw::launch
