// What must hold of quantiser state that came out of a file: the forward looks up levels by its codes and
// scales by its group indices, and divides by its scales.
#pragma once

#include <string>

#include "quant/layers.h"

namespace bitlaw::quant {

// Of the quantizers of the layer that is called `name`, where it has any. InputError naming the tensor: a
// code without a level, groups that are not those of the spec, a zero point that is no code, a scale that is
// not positive and finite, a static scale of inputs that was never observed.
void check_quantizer_state(const std::string& name, const Linear& linear);

}  // namespace bitlaw::quant
