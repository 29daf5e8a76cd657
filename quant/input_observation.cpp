#include "quant/input_observation.h"

#include <cstdio>

namespace bitlaw::quant {

InputObservation::InputObservation(const std::vector<NamedLinear>& layers) {
  for (const auto& [name, linear] : layers) {
    if (!linear->input_quantizer() || linear->input_quantizer()->is_known()) {
      continue;
    }
    layers_.emplace_back(name, linear);
    InputQuantizer& inputs = *linear->input_quantizer();
    inputs.set_observer([this, layer = name, options = inputs.plan().observer](const at::Tensor& x) {
      observe(options, layer, x, seen_);
    });
  }
}

InputObservation::~InputObservation() {
  for (const auto& [name, linear] : layers_) {
    linear->input_quantizer()->set_observer(nullptr);
  }
}

void InputObservation::adopt(const Statistics& merged) const {
  for (const auto& [name, linear] : layers_) {
    linear->input_quantizer()->adopt(name, merged);
  }
}

std::string static_inputs_text(const std::vector<NamedLinear>& layers) {
  std::string text;
  for (const auto& [name, linear] : layers) {
    if (!linear->input_quantizer() || !linear->input_quantizer()->is_static()) {
      continue;
    }
    const InputGrid grid = linear->input_quantizer()->grid();
    char line[160];
    std::snprintf(line, sizeof line, "%-32s %-24s %-12.6g %g\n", name.c_str(),
                  linear->input_quantizer()->spec().to_string().c_str(), static_cast<double>(grid.scale),
                  static_cast<double>(grid.zero_point));
    text += line;
  }
  return text.empty()
             ? text
             : "layer                            input's spec             scale        zero point\n" + text;
}

}  // namespace bitlaw::quant
