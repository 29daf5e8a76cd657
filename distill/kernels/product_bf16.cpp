#include "distill/kernels/product_bf16.h"

#include <algorithm>
#include <vector>

#include "distill/kernels/bf16_instructions.h"

namespace bitlaw::distill::kernels {

namespace {

constexpr std::int64_t kColumnsOfBlock =
    3 * kLanes;                             // of packed weights: in / 2 x 48 words stay in the cache
constexpr std::int64_t kRowsOfBlock = 256;  // pages of the result that are open at once

const std::uint32_t* as_words(const std::uint16_t* halves) {
  return static_cast<const std::uint32_t*>(static_cast<const void*>(halves));
}

BITLAW_BF16_CODE void multiply_block(const HeadProduct& product, std::int64_t first, std::int64_t last,
                                     std::vector<std::uint32_t>& packed) {
  const std::int64_t pairs = product.in / 2;
  for (std::int64_t column = 0; column < product.out; column += kColumnsOfBlock) {
    const std::int64_t columns = std::min(kColumnsOfBlock, product.out - column);
    transpose_words(as_words(product.weight) + column * pairs, columns, pairs, packed.data(),
                    kColumnsOfBlock);
    for (std::int64_t row = first; row < last; row += kRowsOfBlock) {
      const Product block{.a = product.x + row * product.in,
                          .a_stride = product.in,
                          .b = packed.data(),
                          .b_stride = kColumnsOfBlock,
                          .c = product.result + row * product.out + column,
                          .c_stride = product.out,
                          .pairs = pairs,
                          .c_start = product.bias != nullptr ? product.bias + column : nullptr};
      multiply(block, std::min(kRowsOfBlock, last - row), columns);
    }
  }
}

BITLAW_BF16_CODE void round_rows(const float* gradient, std::int64_t rows, std::int64_t columns,
                                 std::uint16_t* rounded, float* column_sums) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = gradient + row * columns;
    for (std::int64_t i = 0; i < columns; i += kLanes) {
      const __m512 x = _mm512_loadu_ps(from + i);
      store_bf16(rounded + row * columns + i, x);
      _mm512_storeu_ps(column_sums + i, _mm512_add_ps(_mm512_loadu_ps(column_sums + i), x));
    }
  }
}

}  // namespace

void head_product(const HeadProduct& product, std::int64_t first, std::int64_t last) {
  std::vector<std::uint32_t> packed(static_cast<std::size_t>(product.in / 2 * kColumnsOfBlock));
  multiply_block(product, first, last, packed);
}

void round_and_sum_columns(const float* gradient, std::int64_t rows, std::int64_t columns,
                           std::uint16_t* rounded, float* column_sums) {
  round_rows(gradient, rows, columns, rounded, column_sums);
}

}  // namespace bitlaw::distill::kernels
