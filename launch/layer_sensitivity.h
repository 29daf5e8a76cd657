// What each layer's rounding alone costs at each width.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/batch.h"
#include "distill/tasks/var_task.h"
#include "quant/bit_allocation.h"
#include "quant/config.h"
#include "quant/prepare.h"
#include "quant/statistics.h"

namespace bitlaw::launch {

struct LayerSensitivity {
  std::string name;
  std::int64_t weights = 0;
  quant::SpecConfig rule;                 // what an override says about the layer beside the width
  bool is_decided = false;                // an override says the width (or another type): one choice
  std::vector<std::int64_t> widths;       // of each choice
  std::vector<quant::BitChoice> choices;  // bits as stored, scales and zero points included
};

// The samples, and the merge over ranks. Called by all ranks alike.
struct SensitivityRun {
  std::function<void(const std::function<void(const data::Batch&)>&)> for_each_batch;
  std::function<quant::Statistics(const quant::Statistics&)> reduce;
};

inline const std::vector<std::int64_t> kTriedWidths = {2, 3, 4, 8};

// The layers of `report` that `config` quantises, with the bits of each width and without losses: from shapes
// alone. InputError: a layer without a width of its own whose weights are no integers.
std::vector<LayerSensitivity> layer_choices(const quant::PrepareReport& report,
                                            const quant::QuantConfig& config);

// Mean over tokens of KL(full precision, the layer alone rounded to nearest), in nats, of every layer that
// `config` quantises. The model of `task` was prepared with `config` as `report` says; it is in full
// precision (rest_dtype) afterwards. InputError: as layer_choices. distill::NotFiniteError, on all ranks:
// logits in full precision that are not finite, or a divergence, naming layer and width.
std::vector<LayerSensitivity> measure_sensitivity(distill::VarTask& task, const quant::PrepareReport& report,
                                                  const quant::QuantConfig& config,
                                                  const SensitivityRun& run);

}  // namespace bitlaw::launch
