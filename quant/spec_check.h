// Which fields of a spec follow from others, and which contradict each other. Torch-free.
#pragma once

#include "quant/spec.h"

namespace bitlaw::quant {

// A format sets num_bits; num_bits of a floating type without format sets the format, unless there is none of
// that width; ternary has 2 bits.
QuantSpecFields completed_fields(QuantSpecFields fields);

// Of completed fields; data::InputError with the reason, data::InputErrors when there are several.
void check_fields(const QuantSpecFields& fields);

}  // namespace bitlaw::quant
