// Errors of one layer, with its name in front.
#pragma once

#include <string>

#include "data/formats/input_error.h"

namespace bitlaw::quant {

// work(). An InputError that it throws says first which layer it is about.
template <class Work>
auto naming(const std::string& layer, const Work& work) {
  try {
    return work();
  } catch (const data::InputError& error) {
    throw data::InputError(layer + ": " + error.what());
  }
}

}  // namespace bitlaw::quant
