// Finding the static scales of layers' inputs: what calibration does once, before the first step.
//
// While an InputObservation lives, the inputs of its layers pass unquantised, as they meet the weight (after
// the layer's input transform), and are counted. The counts merge over batches and ranks (quant/observer.h),
// so every rank that adopts the merged ones has the same scales to the bit.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "quant/layers.h"
#include "quant/statistics.h"

namespace bitlaw::quant {

using NamedLinear = std::pair<std::string, Linear*>;

class InputObservation {
 public:
  // Layers whose inputs have no static scale, or know it already, are left alone.
  explicit InputObservation(const std::vector<NamedLinear>& layers);
  ~InputObservation();
  InputObservation(const InputObservation&) = delete;
  InputObservation& operator=(const InputObservation&) = delete;

  bool empty() const { return layers_.empty(); }
  const Statistics& seen() const { return seen_; }
  // Sets every layer's scale by `merged`; InputError naming the layer, as InputQuantizer::adopt.
  void adopt(const Statistics& merged) const;

 private:
  std::vector<NamedLinear> layers_;
  Statistics seen_;
};

// Table for the log: layer, spec, scale, zero point of every layer with a static scale; empty without any.
std::string static_inputs_text(const std::vector<NamedLinear>& layers);

}  // namespace bitlaw::quant
