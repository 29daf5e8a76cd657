#include "tests/quant/containers/reference_readers.h"

#include <algorithm>

namespace bitlaw::tests {

namespace {

using quant::CompressedFormat;
using quant::CompressedLayer;
using quant::Strategy;

std::size_t word_bit(std::size_t i, int bits, quant::WordLayout layout) {
  const auto width = static_cast<std::size_t>(bits);
  const std::size_t in_word = 32 / width;
  return layout == quant::WordLayout::dense ? i * width : i / in_word * 32 + i % in_word * width;
}

struct Extents {
  std::size_t out;
  std::size_t in;
};

Extents extents_of(const CompressedLayer& layer) {
  const quant::Members& m = layer.members;
  if (m.count("weight_shape") > 0) {
    return {static_cast<std::size_t>(element<std::int64_t>(m.at("weight_shape"), 0)),
            static_cast<std::size_t>(element<std::int64_t>(m.at("weight_shape"), 1))};
  }
  const auto& shape = m.count("weight") > 0 ? m.at("weight").shape : m.at("weight_packed").shape;
  return {static_cast<std::size_t>(shape[0]), static_cast<std::size_t>(shape[1] * 8 / layer.spec.bits())};
}

// Row and column of the scale of an element.
std::size_t scale_index(const CompressedLayer& layer, std::size_t o, std::size_t i, std::size_t in) {
  const auto& fields = layer.spec.fields();
  switch (fields.strategy) {
    case Strategy::tensor:
      return 0;
    case Strategy::channel:
      return o;
    case Strategy::block:
      return o / static_cast<std::size_t>(fields.block_structure[0]) *
                 (in / static_cast<std::size_t>(fields.block_structure[1])) +
             i / static_cast<std::size_t>(fields.block_structure[1]);
    default:
      break;
  }
  const std::size_t groups = in / static_cast<std::size_t>(fields.group_size);
  const std::size_t group =
      layer.members.count("weight_g_idx") > 0
          ? static_cast<std::size_t>(element<std::int32_t>(layer.members.at("weight_g_idx"), i))
          : i / static_cast<std::size_t>(fields.group_size);
  return o * groups + group;
}

float scale_value(const CompressedLayer& layer, std::size_t index) {
  const quant::Members& m = layer.members;
  switch (layer.format) {
    case CompressedFormat::nvfp4_pack_quantized:
      return small_float(element<std::uint8_t>(m.at("weight_scale"), index), 4, 3) /
             element<float>(m.at("weight_global_scale"), 0);
    case CompressedFormat::mxfp4_pack_quantized:
    case CompressedFormat::mxfp6_pack_quantized:
    case CompressedFormat::mxfp8_quantized:
      return std::ldexp(1.0F, element<std::uint8_t>(m.at("weight_scale"), index) - 127);
    default:
      return element<float>(m.at("weight_scale"), index);
  }
}

int zero_value(const CompressedLayer& layer, std::size_t o, std::size_t index, quant::WordLayout layout) {
  const auto found = layer.members.find("weight_zero_point");
  if (found == layer.members.end()) {
    return 0;
  }
  if (found->second.dtype == data::DType::int8) {
    return element<std::int8_t>(found->second, index);
  }
  const auto columns = static_cast<std::size_t>(found->second.shape[1]);
  const std::size_t group = index % columns;
  unsigned code = 0;
  for (int i = 0; i < layer.spec.bits(); ++i) {
    const std::size_t bit = word_bit(o, layer.spec.bits(), layout) + static_cast<std::size_t>(i);
    code |= (element<std::uint32_t>(found->second, bit / 32 * columns + group) >> (bit % 32) & 1U) << i;
  }
  return static_cast<int>(code) - (1 << (layer.spec.bits() - 1));
}

float level_value(const CompressedLayer& layer, std::size_t o, std::size_t i, std::size_t in,
                  quant::WordLayout layout) {
  const quant::Members& m = layer.members;
  const int bits = layer.spec.bits();
  const std::size_t at = o * in + i;
  switch (layer.format) {
    case CompressedFormat::pack_quantized: {
      const auto& words = m.at("weight_packed");
      const std::byte* row = words.bytes.data() + o * static_cast<std::size_t>(words.shape[1]) * 4;
      return static_cast<float>(static_cast<int>(bits_at(row, word_bit(i, bits, layout), bits)) -
                                (1 << (bits - 1)));
    }
    case CompressedFormat::int_quantized:
      return element<std::int8_t>(m.at("weight"), at);
    case CompressedFormat::float_quantized:
    case CompressedFormat::mxfp8_quantized:
      return small_float(element<std::uint8_t>(m.at("weight"), at), 4, 3);
    case CompressedFormat::mxfp6_pack_quantized:
      return small_float(bits_at(m.at("weight_packed").bytes.data(), at * 6, 6), 2, 3);
    default:
      return small_float(bits_at(m.at("weight_packed").bytes.data(), at * 4, 4), 2, 1);
  }
}

}  // namespace

std::vector<float> compressed_values(const CompressedLayer& layer, quant::WordLayout layout) {
  const auto [out, in] = extents_of(layer);
  std::vector<float> values(out * in);
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t i = 0; i < in; ++i) {
      const std::size_t index = scale_index(layer, o, i, in);
      const auto zero = static_cast<float>(zero_value(layer, o, index, layout));
      values[o * in + i] = (level_value(layer, o, i, in, layout) - zero) * scale_value(layer, index);
    }
  }
  return values;
}

// One block at `b` -> its values.
namespace {

float half_at(const std::byte* b, std::size_t at) {
  return half_value(static_cast<std::uint16_t>(std::to_integer<unsigned>(b[at]) |
                                               std::to_integer<unsigned>(b[at + 1]) << 8));
}

unsigned nibble(const std::byte* b, std::size_t j, bool high) {
  return std::to_integer<unsigned>(b[j]) >> (high ? 4 : 0) & 15U;
}

void nibble_block(quant::BlockType type, const std::byte* b, float* w) {
  const bool five = type == quant::BlockType::q5_0 || type == quant::BlockType::q5_1;
  const bool minimum = type == quant::BlockType::q4_1 || type == quant::BlockType::q5_1;
  const std::byte* high = b + (minimum ? 4 : 2);
  const std::byte* low = high + (five ? 4 : 0);
  for (std::size_t j = 0; j < 32; ++j) {
    unsigned q = nibble(low, j % 16, j >= 16);
    if (five) {
      q |= bits_at(high, j, 1) << 4;
    }
    const auto level = static_cast<float>(q);
    w[j] = minimum ? level * half_at(b, 0) + half_at(b, 2) : (level - (five ? 16.0F : 8.0F)) * half_at(b, 0);
  }
}

void small_block(quant::BlockType type, const std::byte* b, float* w) {
  switch (type) {
    case quant::BlockType::q8_0:
      for (std::size_t j = 0; j < 32; ++j) {
        w[j] = static_cast<float>(static_cast<std::int8_t>(b[2 + j])) * half_at(b, 0);
      }
      return;
    case quant::BlockType::q2_0:
      for (std::size_t j = 0; j < 64; ++j) {
        w[j] = (static_cast<float>(bits_at(b + 2, 2 * j, 2)) - 1.0F) * half_at(b, 0);
      }
      return;
    case quant::BlockType::tq2_0:
      for (std::size_t j = 0; j < 256; ++j) {
        const std::byte* chunk = b + (j < 128 ? 0 : 32);
        w[j] =
            (static_cast<float>(std::to_integer<unsigned>(chunk[j % 32]) >> (j % 128 / 32 * 2) & 3U) - 1.0F) *
            half_at(b, 64);
      }
      return;
    case quant::BlockType::mxfp4:
      for (std::size_t j = 0; j < 32; ++j) {
        w[j] = small_float(nibble(b + 1, j % 16, j >= 16), 2, 1) *
               std::ldexp(1.0F, std::to_integer<int>(b[0]) - 127);
      }
      return;
    default:
      for (std::size_t j = 0; j < 64; ++j) {
        const std::byte* half = b + 4 + j / 16 * 8;
        w[j] = small_float(nibble(half, j % 8, j % 16 >= 8), 2, 1) *
               small_float(std::to_integer<unsigned>(b[j / 16]), 4, 3);
      }
  }
}

}  // namespace

std::vector<float> gguf_values(const quant::GgufWeight& weight, std::size_t count) {
  const quant::BlockFacts& facts = quant::facts_of(weight.type);
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count / facts.elements; ++i) {
    const std::byte* block = weight.bytes.data() + i * facts.bytes;
    float* to = values.data() + i * facts.elements;
    switch (weight.type) {
      case quant::BlockType::q4_0:
      case quant::BlockType::q4_1:
      case quant::BlockType::q5_0:
      case quant::BlockType::q5_1:
        nibble_block(weight.type, block, to);
        break;
      default:
        small_block(weight.type, block, to);
    }
  }
  if (weight.global_scale) {
    for (float& value : values) {
      value *= *weight.global_scale;
    }
  }
  return values;
}

}  // namespace bitlaw::tests
