// Whether a budget of bits can be met, from the shapes of the layers alone.
#pragma once

#include <vector>

#include "launch/layer_sensitivity.h"
#include "quant/config.h"
#include "quant/prepare.h"

namespace bitlaw::launch {

inline constexpr double kBudgetSlack = 1e-9;  // relative: a decimal figure is meant as the exact one

// Bits a weight over all layers, scales included, with the narrowest and with the widest choice of each.
struct BudgetRange {
  double least = 0.0;
  double most = 0.0;
};
BudgetRange budget_range(const std::vector<LayerSensitivity>& layers);

// InputError, naming --budget-bits, when `bits` a weight are fewer or more than the layers of `report` can
// have under `config`, with the figure that is just possible; where overrides are the reason, it says so.
void check_budget(double bits, const quant::PrepareReport& report, const quant::QuantConfig& config);

}  // namespace bitlaw::launch
