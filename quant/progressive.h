// Progressive bit lowering: the width of a training's codes as a function of its step alone. Torch-free.
#pragma once

#include <cstdint>

#include "quant/config.h"

namespace bitlaw::quant {

// The configuration of a state after `step` updates: `progressive` is resolved into weights.num_bits and
// those of overrides. Before steps[i] every width is at least num_bits[i]; overrides that name a format,
// quantiles or ternary numbers keep their width.
QuantConfig config_at(const QuantConfig& config, std::int64_t step);
// Whether config_at(step) has other widths than config_at(step - 1).
bool changes_at(const QuantConfig& config, std::int64_t step);

// InputError: lists of different lengths, widths that do not fall, steps that do not rise or reach max_steps;
// a method or a format that cannot change its width; specs that there are not at one of the widths, with the
// step and the override.
void check_progressive(const QuantConfig& config, std::int64_t max_steps);

}  // namespace bitlaw::quant
