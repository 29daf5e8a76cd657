// Scales between the float32 of memory and the bytes of their storage type.
#include "quant/containers/scale_bytes.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "quant/affine.h"
#include "quant/block_format.h"
#include "quant/float_format.h"

namespace bitlaw::quant {

namespace {

// IEEE binary16 of a value that it holds exactly.
std::uint16_t half_bits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000U);
  const float magnitude = std::abs(value);
  if (magnitude < 0x1p-14F) {  // subnormal: multiples of 2^-24
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(magnitude * 0x1p24F));
  }
  return static_cast<std::uint16_t>(sign | (((bits & 0x7FFFFFFFU) >> 13) - (112U << 10)));
}

float from_half_bits(std::uint16_t bits) {
  const bool negative = (bits & 0x8000U) != 0;
  const unsigned exponent = bits >> 10 & 31U;
  const auto fraction = static_cast<float>(bits & 0x3FFU);
  float magnitude = fraction * 0x1p-24F;
  if (exponent == 31) {
    magnitude = fraction == 0.0F ? INFINITY : NAN;
  } else if (exponent > 0) {
    magnitude = std::ldexp(1.0F + fraction * 0x1p-10F, static_cast<int>(exponent) - 15);
  }
  return negative ? -magnitude : magnitude;
}

std::uint8_t byte_of_scale(float value, ScaleType type) {
  return type == ScaleType::e8m0 ? e8m0_byte(value) : pattern_of(value, FloatFormat::e4m3);
}

float scale_of_byte(std::uint8_t byte, ScaleType type) {
  return type == ScaleType::e8m0 ? e8m0_value(byte) : value_of_pattern(FloatFormat::e4m3, byte);
}

std::uint16_t bits_of_scale(float value, ScaleType type) {
  return type == ScaleType::float16 ? half_bits(value)
                                    : static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
}

float scale_of_bits(std::uint16_t bits, ScaleType type) {
  return type == ScaleType::float16 ? from_half_bits(bits)
                                    : std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

template <class T>
void append(std::vector<std::byte>& bytes, T value) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof(value));
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

}  // namespace

data::DType dtype_of(ScaleType type) {
  switch (type) {
    case ScaleType::float16:
      return data::DType::float16;
    case ScaleType::bfloat16:
      return data::DType::bfloat16;
    case ScaleType::e8m0:
    case ScaleType::e4m3:
      return data::DType::uint8;
    case ScaleType::float32:
      break;
  }
  return data::DType::float32;
}

std::vector<std::byte> encode_scales(std::span<const float> scales, ScaleType type) {
  std::vector<std::byte> bytes;
  for (const float scale : scales) {
    if (!std::isfinite(scale) || round_to(scale, type) != scale) {
      throw std::invalid_argument("scale " + std::to_string(scale) + " is not exact in " +
                                  std::string(data::enum_name(type)));
    }
    if (type == ScaleType::float32) {
      append(bytes, scale);
    } else if (bits_of(type) == 8) {
      append(bytes, byte_of_scale(scale, type));
    } else {
      append(bytes, bits_of_scale(scale, type));
    }
  }
  return bytes;
}

std::vector<float> decode_scales(std::span<const std::byte> bytes, ScaleType type) {
  if (type == ScaleType::float32) {
    std::vector<float> scales(bytes.size() / sizeof(float));
    std::memcpy(scales.data(), bytes.data(), scales.size() * sizeof(float));
    return scales;
  }
  std::vector<float> scales;
  if (bits_of(type) == 8) {
    for (const std::byte byte : bytes) {
      scales.push_back(scale_of_byte(static_cast<std::uint8_t>(byte), type));
    }
    return scales;
  }
  for (std::size_t at = 0; at + 2 <= bytes.size(); at += 2) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + at, sizeof(bits));
    scales.push_back(scale_of_bits(bits, type));
  }
  return scales;
}

}  // namespace bitlaw::quant
