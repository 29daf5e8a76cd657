// Static scales of inputs as compressed-tensors stores them: beside the layer's weight, "input_scale" F32 [1]
// and, for asymmetric integers, "input_zero_point" I8 [1]. Torch-free.
#pragma once

#include "quant/containers/members.h"
#include "quant/packed_input.h"

namespace bitlaw::quant {

// The package knows such inputs: integers of whole zero points and e4m3, with a scale for each token, for
// each group of a token or a static one; MXFP4, MXFP6 (e2m3) and MXFP8 (e4m3). NoExactForm (restate.h) if
// not.
void check_compressed_inputs(const QuantSpec& spec);

// Nothing for inputs whose scales are made at run time. Scales are float32 whatever their type, as those of
// weights.
void put_compressed_inputs(const PackedInput& input, Members& members);

// The input that `members` hold under the spec that the configuration states; takes its members out. A scale
// may be float32, float16 or bfloat16 and a scalar; zero points of symmetric inputs, which older versions
// store, must be 0. InputError: missing or unfit members, scales of inputs that have none.
PackedInput take_compressed_inputs(const QuantSpec& spec, Members& members);

}  // namespace bitlaw::quant
