// A weight whose codes are given and whose scales are learned (EfficientQAT's second phase, arXiv
// 2407.11062):
//   w' = (level(code) - zero point) * s        d w' / d s = level(code) - zero point
// as PackedTensor says (quant/pack.h), by the same float32 operations. There is no master weight.
#pragma once

#include <ATen/core/Tensor.h>

#include "quant/fake_quant_function.h"
#include "quant/spec.h"

namespace bitlaw::quant {

struct FrozenCodes {
  at::Tensor codes;        // uint8 [out, in]
  at::Tensor group_index;  // int32 [in]: group of each input; undefined: i / group width
};

// Values in `type`: the float32 product, rounded once. Of `inputs` the weight is not used. The gradients of
// log scales are those of LSQ (fake_quant_function.h).
at::Tensor dequantise_frozen(const QuantSpec& spec, const FrozenCodes& frozen, const FakeQuantInputs& inputs,
                             at::ScalarType type);

}  // namespace bitlaw::quant
