#include "quant/containers/bit_matrix.h"

#include "quant/pack.h"

namespace bitlaw::quant {

namespace {

std::size_t in_a_word(int bits) {
  return static_cast<std::size_t>(32 / bits);
}

void pack_words(std::span<const std::uint8_t> values, int bits, std::span<std::uint32_t> words) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto shift = static_cast<int>(i % in_a_word(bits)) * bits;
    words[i / in_a_word(bits)] |= std::uint32_t{values[i]} << shift;
  }
}

void unpack_words(std::span<const std::uint32_t> words, int bits, std::span<std::uint8_t> values) {
  const std::uint32_t mask = (1U << bits) - 1;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto shift = static_cast<int>(i % in_a_word(bits)) * bits;
    values[i] = static_cast<std::uint8_t>(words[i / in_a_word(bits)] >> shift & mask);
  }
}

}  // namespace

std::size_t words_of_row(std::size_t columns, int bits, WordLayout layout) {
  return layout == WordLayout::dense
             ? static_cast<std::size_t>(packed_words(static_cast<std::int64_t>(columns), bits))
             : (columns + in_a_word(bits) - 1) / in_a_word(bits);
}

std::vector<std::uint32_t> pack_matrix(std::span<const std::uint8_t> values, std::size_t columns, int bits,
                                       WordLayout layout) {
  const std::size_t width = words_of_row(columns, bits, layout);
  const std::size_t rows = columns == 0 ? 0 : values.size() / columns;
  std::vector<std::uint32_t> words(rows * width);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto from = values.subspan(row * columns, columns);
    const auto to = std::span(words).subspan(row * width, width);
    layout == WordLayout::dense ? pack_row(from, bits, to) : pack_words(from, bits, to);
  }
  return words;
}

std::vector<std::uint8_t> unpack_matrix(std::span<const std::uint32_t> words, std::size_t columns, int bits,
                                        WordLayout layout) {
  const std::size_t width = words_of_row(columns, bits, layout);
  const std::size_t rows = width == 0 ? 0 : words.size() / width;
  std::vector<std::uint8_t> values(rows * columns);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto from = words.subspan(row * width, width);
    const auto to = std::span(values).subspan(row * columns, columns);
    layout == WordLayout::dense ? unpack_row(from, bits, to) : unpack_words(from, bits, to);
  }
  return values;
}

}  // namespace bitlaw::quant
