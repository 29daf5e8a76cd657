// What a container's tensors mean, element by element and straight from the description of each layout: the
// second implementation that the readers are tested against.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "quant/containers/compressed_tensors_layer.h"
#include "quant/containers/gguf_weight.h"
#include "quant/containers/gptq_layer.h"
#include "quant/containers/members.h"

namespace bitlaw::tests {

template <class T>
T element(const data::RawTensor& tensor, std::size_t index) {
  T value{};
  std::memcpy(&value, tensor.bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

// b bits that begin at `bit` of a stream of bytes, lowest first.
inline unsigned bits_at(const std::byte* bytes, std::size_t bit, int count) {
  unsigned value = 0;
  for (int i = 0; i < count; ++i, ++bit) {
    value |= (std::to_integer<unsigned>(bytes[bit / 8]) >> (bit % 8) & 1U) << i;
  }
  return value;
}

inline float half_value(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const auto fraction = static_cast<float>(bits & 1023);
  const float magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024.0F + fraction, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

inline float small_float(unsigned code, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(code >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const auto fraction = static_cast<float>(code & ((1U << mantissa_bits) - 1));
  const float magnitude = exponent == 0 ? std::ldexp(fraction, 1 - bias - mantissa_bits)
                                        : std::ldexp(fraction + static_cast<float>(1 << mantissa_bits),
                                                     exponent - bias - mantissa_bits);
  return (code >> (exponent_bits + mantissa_bits) & 1U) != 0 ? -magnitude : magnitude;
}

// Bits of one code of a row along `in`, where words[r][o] lie along out (GPTQ).
inline unsigned gptq_code(const data::RawTensor& words, std::size_t in, std::size_t out, int bits) {
  const auto columns = static_cast<std::size_t>(words.shape[1]);
  unsigned value = 0;
  for (int i = 0; i < bits; ++i) {
    const std::size_t bit = in * static_cast<std::size_t>(bits) + static_cast<std::size_t>(i);
    const auto word = element<std::uint32_t>(words, bit / 32 * columns + out);
    value |= (word >> (bit % 32) & 1U) << i;
  }
  return value;
}

inline std::vector<float> gptq_values(const quant::GptqLayer& layer, quant::GptqVersion version) {
  const quant::Members& m = layer.members;
  const int bits = layer.spec.bits();
  const auto in = static_cast<std::size_t>(m.at("g_idx").shape[0]);
  const auto out = static_cast<std::size_t>(m.at("qweight").shape[1]);
  const auto zero_words = static_cast<std::size_t>(m.at("qzeros").shape[1]);
  std::vector<float> values(out * in);
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t i = 0; i < in; ++i) {
      const auto group = static_cast<std::size_t>(element<std::int32_t>(m.at("g_idx"), i));
      const std::byte* zeros = m.at("qzeros").bytes.data() + group * zero_words * 4;
      const int zero = static_cast<int>(bits_at(zeros, o * static_cast<std::size_t>(bits), bits)) +
                       (version == quant::GptqVersion::v1 ? 1 : 0);
      const int code = static_cast<int>(gptq_code(m.at("qweight"), i, o, bits));
      values[o * in + i] = static_cast<float>(code - zero) *
                           half_value(element<std::uint16_t>(m.at("scales"), group * out + o));
    }
  }
  return values;
}

inline std::vector<float> awq_values(const quant::Members& m) {
  constexpr std::size_t kPlace[8] = {0, 4, 1, 5, 2, 6, 3, 7};  // nibble that holds output o mod 8
  const auto in = static_cast<std::size_t>(m.at("qweight").shape[0]);
  const auto words = static_cast<std::size_t>(m.at("qweight").shape[1]);
  const auto groups = static_cast<std::size_t>(m.at("scales").shape[0]);
  const std::size_t out = words * 8;
  const auto nibble = [&](const char* name, std::size_t row, std::size_t o) {
    const auto word = element<std::uint32_t>(m.at(name), row * words + o / 8);
    return static_cast<int>(word >> (4 * kPlace[o % 8]) & 15U);
  };
  std::vector<float> values(out * in);
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t i = 0; i < in; ++i) {
      const std::size_t group = i / (in / groups);
      values[o * in + i] = static_cast<float>(nibble("qweight", i, o) - nibble("qzeros", group, o)) *
                           half_value(element<std::uint16_t>(m.at("scales"), group * out + o));
    }
  }
  return values;
}

std::vector<float> compressed_values(const quant::CompressedLayer& layer, quant::WordLayout layout);
std::vector<float> gguf_values(const quant::GgufWeight& weight, std::size_t count);

}  // namespace bitlaw::tests
