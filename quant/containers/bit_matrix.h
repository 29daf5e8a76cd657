// Matrices of small unsigned numbers as 32-bit words, in the layouts that containers of others use.
//
// dense: number i of a row in bits [i*b, (i+1)*b) of the row's words, straddling them (quant/pack.h).
// words: floor(32/b) numbers a word, lowest bits first, the upper bits unused (compressed-tensors before
// 0.18). The two are the same where b divides 32. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bitlaw::quant {

enum class WordLayout { dense, words };

// Words of a row of `columns` numbers.
std::size_t words_of_row(std::size_t columns, int bits, WordLayout layout);

// [rows, columns] numbers below 2^bits -> [rows, words_of_row].
std::vector<std::uint32_t> pack_matrix(std::span<const std::uint8_t> values, std::size_t columns, int bits,
                                       WordLayout layout = WordLayout::dense);
// [rows, words_of_row] -> [rows, columns]; bits beyond the last number are not looked at.
std::vector<std::uint8_t> unpack_matrix(std::span<const std::uint32_t> words, std::size_t columns, int bits,
                                        WordLayout layout = WordLayout::dense);

// [rows, columns] -> [columns, rows].
template <class T>
std::vector<T> transposed(std::span<const T> values, std::size_t columns) {
  const std::size_t rows = columns == 0 ? 0 : values.size() / columns;
  std::vector<T> result(values.size());
  constexpr std::size_t kTile = 64;  // both sides of a tile stay in the first cache
  for (std::size_t top = 0; top < rows; top += kTile) {
    for (std::size_t left = 0; left < columns; left += kTile) {
      for (std::size_t row = top; row < rows && row < top + kTile; ++row) {
        for (std::size_t column = left; column < columns && column < left + kTile; ++column) {
          result[column * rows + row] = values[row * columns + column];
        }
      }
    }
  }
  return result;
}

}  // namespace bitlaw::quant
