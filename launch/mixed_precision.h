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

#include <cstdint>
#include <filesystem>
#include <optional>
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
  double budget_bits = 0.0;  // a weight, as asked for
  std::vector<LayerSensitivity> layers;
  std::vector<quant::BitAllocation> frontier;
  quant::BitAllocation chosen;

  // {"budget_bits", "widths", "layers": [{name, weights, widths, bits, kl, chosen, decided}],
  // "frontier": [{bits_per_weight, kl}], "chosen": {...}}; decided: by an override, not by the search
  std::string to_json() const;
  // Layers by falling loss per bit saved, with the width that each got.
  std::string to_string() const;
  // The frontier, what was chosen, and each width for all layers alike.
  Plot frontier_plot() const;
};

// The best widths within a budget over all layers. InputError: a budget that no choice of widths meets
// (bit_budget.h says so before anything is measured).
MixedPrecision choose_widths(std::vector<LayerSensitivity> layers, double bits_per_weight);

// Called by all ranks; every rank gets the same. `bits_per_weight`: the budget over all layers that `config`
// quantises. InputError: as check_budget, measure_sensitivity, or the samples (calibration_samples.h).
MixedPrecision find_mixed_precision(const trainer::RunConfig& config, const TrainingSources& sources,
                                    trainer::Collective& collective, double bits_per_weight);

// A layer whose width the search chose: no override decides it.
struct LayerWidth {
  std::string name;
  std::int64_t num_bits = 0;
};
std::vector<LayerWidth> chosen_widths(const MixedPrecision& found);
// Those in the mixed_precision.json of a run that is finished and had the same budget, so that it is not
// measured again; nothing otherwise. Called by all ranks; every rank gets the same.
std::optional<std::vector<LayerWidth>> recorded_widths(const std::filesystem::path& run,
                                                       double bits_per_weight,
                                                       trainer::Collective& collective);
inline constexpr const char* kMixedPrecisionFile = "mixed_precision.json";

// Adds an override with its width for each of the layers, behind those that are there.
void apply_widths(const std::vector<LayerWidth>& widths, quant::QuantConfig& config);

}  // namespace bitlaw::launch
