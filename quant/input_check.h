// What the inputs of quantised layers can be: one check for configurations and for files. Torch-free.
#pragma once

#include "quant/spec.h"

namespace bitlaw::quant {

// Of completed fields. InputError for what inputs cannot be: outputs or blocks that share a scale, quantiles,
// ternary numbers, floats of two scales, a scale of scales, and zero points between two levels where no zero
// point is stored (strategies token and group).
void check_input_fields(const QuantSpecFields& fields);

}  // namespace bitlaw::quant
