// x W^T + bias with bfloat16 operands and a float32 result: the logits, which lose nothing more than their
// operands' rounding. AVX512-BF16: only after bf16_products_supported(). Torch-free.
#pragma once

#include <cstdint>

namespace bitlaw::distill::kernels {

struct HeadProduct {
  const std::uint16_t* x = nullptr;       // [rows, in] bfloat16
  const std::uint16_t* weight = nullptr;  // [out, in] bfloat16
  const float* bias = nullptr;            // [out], or null
  float* result = nullptr;                // [rows, out]
  std::int64_t in = 0;                    // even
  std::int64_t out = 0;                   // a multiple of 16
};

// Rows [first, last) of the result.
void head_product(const HeadProduct& product, std::int64_t first, std::int64_t last);

// bfloat16 copy of gradient [rows, columns], and the sums of its columns added to column_sums: one pass.
void round_and_sum_columns(const float* gradient, std::int64_t rows, std::int64_t columns,
                           std::uint16_t* rounded, float* column_sums);

}  // namespace bitlaw::distill::kernels
