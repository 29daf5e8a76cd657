// Products of bfloat16 matrices with float32 sums, by the AVX512-BF16 dot-product instruction: what the
// kernels of this folder share. Included by files that run only after bf16_products_supported(). Torch-free.
//
// An operand A is row-major [M, K]. An operand B is "paired": [K / 2, N] words of two bfloat16, word (j, n) =
// (b[2j][n], b[2j+1][n]); K is even (padded with zeros), N a multiple of 16. C is float32, row-major.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#define BITLAW_BF16_CODE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define BITLAW_BF16_INLINE BITLAW_BF16_CODE __attribute__((always_inline)) inline

namespace bitlaw::distill::kernels {

inline constexpr std::int64_t kLanes = 16;

constexpr std::int64_t padded_to_lanes(std::int64_t count) {
  return (count + kLanes - 1) / kLanes * kLanes;
}
constexpr std::int64_t padded_to_pairs(std::int64_t count) {
  return (count + 1) / 2 * 2;
}

BITLAW_BF16_INLINE __m512 load_bf16(const std::uint16_t* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

BITLAW_BF16_INLINE void store_bf16(std::uint16_t* into, __m512 x) {  // nearest, half to even
  const __m256bh halves = _mm512_cvtneps_pbh(x);
  std::memcpy(into, &halves, sizeof halves);
}

BITLAW_BF16_INLINE __m512bh as_bf16(__m512i words) {
  __m512bh halves;
  std::memcpy(&halves, &words, sizeof halves);
  return halves;
}

// exp(x) for x <= 0 (and a little above), relative error 2e-7; 0 below -87.
BITLAW_BF16_INLINE __m512 exp_nonpositive(__m512 x) {
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504F)), 8);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375F), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4F), r);
  __m512 y = _mm512_fmadd_ps(r, _mm512_set1_ps(1.3814540088e-3F), _mm512_set1_ps(8.3687451076e-3F));
  y = _mm512_fmadd_ps(r, y, _mm512_set1_ps(4.1668390785e-2F));
  y = _mm512_fmadd_ps(r, y, _mm512_set1_ps(1.6666520399e-1F));
  y = _mm512_fmadd_ps(r, y, _mm512_set1_ps(4.9999993432e-1F));
  y = _mm512_add_ps(_mm512_fmadd_ps(_mm512_mul_ps(r, r), y, r), _mm512_set1_ps(1.0F));
  const __mmask16 large = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0F), _CMP_GE_OQ);
  return _mm512_maskz_scalef_ps(large, y, n);
}

struct Product {
  const std::uint16_t* a = nullptr;
  std::int64_t a_stride = 0;  // elements between rows
  const std::uint32_t* b = nullptr;
  std::int64_t b_stride = 0;  // words between pairs of rows
  float* c = nullptr;
  std::int64_t c_stride = 0;
  std::int64_t pairs = 0;          // K / 2
  const float* c_start = nullptr;  // row to start from (a bias), or null
  bool accumulate = false;         // start from what C holds
};

template <int kRows, int kVectors>
BITLAW_BF16_INLINE void multiply_tile(const Product& p, std::int64_t row, std::int64_t column) {
  __m512 sums[kRows][kVectors];
  float* c = p.c + row * p.c_stride + column;
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = p.accumulate           ? _mm512_loadu_ps(c + r * p.c_stride + v * kLanes)
                   : p.c_start != nullptr ? _mm512_loadu_ps(p.c_start + column + v * kLanes)
                                          : _mm512_setzero_ps();
    }
  }
  const std::uint16_t* a = p.a + row * p.a_stride;
  const std::uint32_t* b = p.b + column;
  for (std::int64_t j = 0; j < p.pairs; ++j) {
    __m512bh b_words[kVectors];
    for (int v = 0; v < kVectors; ++v)
      b_words[v] = as_bf16(_mm512_loadu_si512(b + j * p.b_stride + v * kLanes));
    for (int r = 0; r < kRows; ++r) {
      std::int32_t pair;
      std::memcpy(&pair, a + r * p.a_stride + 2 * j, sizeof pair);
      const __m512bh a_words = as_bf16(_mm512_set1_epi32(pair));
      for (int v = 0; v < kVectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], a_words, b_words[v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(c + r * p.c_stride + v * kLanes, sums[r][v]);
}

// All rows of kVectors columns of vectors.
template <int kRows, int kVectors>
BITLAW_BF16_INLINE void multiply_columns(const Product& p, std::int64_t rows, std::int64_t column) {
  std::int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) multiply_tile<kRows, kVectors>(p, row, column);
  if constexpr (kRows > 4)
    for (; row + 4 <= rows; row += 4) multiply_tile<4, kVectors>(p, row, column);
  for (; row + 2 <= rows; row += 2) multiply_tile<2, kVectors>(p, row, column);
  for (; row < rows; ++row) multiply_tile<1, kVectors>(p, row, column);
}

// C [rows, columns] = A B (+ start); columns a multiple of 16.
BITLAW_BF16_INLINE void multiply(const Product& p, std::int64_t rows, std::int64_t columns) {
  std::int64_t column = 0;
  for (std::int64_t left = columns / kLanes; left > 0;) {
    if (left == 4) {
      multiply_columns<6, 4>(p, rows, column);
      left = 0;
    } else if (left >= 3) {
      multiply_columns<8, 3>(p, rows, column);
      column += 3 * kLanes;
      left -= 3;
    } else if (left == 2) {
      multiply_columns<8, 2>(p, rows, column);
      left = 0;
    } else {
      multiply_columns<8, 1>(p, rows, column);
      left = 0;
    }
  }
}

// The first `count` of 16 lanes.
BITLAW_BF16_INLINE __mmask16 first_lanes(std::int64_t count) {
  return static_cast<__mmask16>(count >= kLanes ? 0xFFFF : count <= 0 ? 0 : (1 << count) - 1);
}

// 16 x 16 words, rows to columns, in registers.
BITLAW_BF16_INLINE void transpose_tile(__m512i (&rows)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {  // rows[4 b + i]: column 4 l + i of rows 4 b .. 4 b + 3 in its quarter l
    t[i] = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0xDD);
    t[8 + i] = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0xDD);
  }
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
    rows[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xDD);
    rows[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
    rows[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xDD);
  }
}

// Words [rows, columns] -> [columns, row_stride]. Rows that are not there give zeros up to the next multiple
// of 16.
BITLAW_BF16_INLINE void transpose_words(const std::uint32_t* from, std::int64_t rows, std::int64_t columns,
                                        std::uint32_t* into, std::int64_t row_stride) {
  for (std::int64_t row = 0; row < rows; row += kLanes) {
    for (std::int64_t column = 0; column < columns; column += kLanes) {
      const __mmask16 mask = first_lanes(columns - column);
      __m512i tile[16];
      for (std::int64_t r = 0; r < kLanes; ++r) {
        tile[r] = row + r < rows ? _mm512_maskz_loadu_epi32(mask, from + (row + r) * columns + column)
                                 : _mm512_setzero_si512();
      }
      transpose_tile(tile);
      for (std::int64_t c = 0; c < std::min(kLanes, columns - column); ++c)
        _mm512_storeu_si512(into + (column + c) * row_stride + row, tile[c]);
    }
  }
}

// Rows 2j and 2j + 1 of bfloat16 -> words [ceil(rows / 2), columns]; columns a multiple of 16. A missing last
// row is zero.
BITLAW_BF16_INLINE void pair_rows(const std::uint16_t* from, std::int64_t row_stride, std::int64_t rows,
                                  std::int64_t columns, std::uint32_t* into) {
  for (std::int64_t row = 0; row < rows; row += 2) {
    for (std::int64_t column = 0; column < columns; column += kLanes) {
      const std::uint16_t* low = from + row * row_stride + column;
      const __m512i low_words =
          _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(low)));
      __m512i words = low_words;
      if (row + 1 < rows) {
        const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low + row_stride));
        words = _mm512_or_si512(low_words, _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
      }
      _mm512_storeu_si512(into + row / 2 * columns + column, words);
    }
  }
}

}  // namespace bitlaw::distill::kernels
