// Nearest vector of a codebook.
#pragma once

#include <ATen/core/Tensor.h>

namespace bitlaw::distill {

// argmin_v |z_n - e_v|^2, ties to the lower index: z float32 [N, C], codes float32 [V, C] -> int64 [N].
// Computed in blocks of rows: memory is bounded whatever N and V.
at::Tensor nearest_code(const at::Tensor& z_NC, const at::Tensor& codes_VC);

}  // namespace bitlaw::distill
