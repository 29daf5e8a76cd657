// Writes a packed model of every kind of weight, and beside it the values that bitlaw reads from it.
//
//   native_sample DIR     DIR/model.h5, DIR/weight.<module>.f32, DIR/tensor.<name>.f32
#include <bit>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "data/seed.h"
#include "quant/affine.h"
#include "quant/containers/native.h"
#include "quant/learned_scale.h"
#include "quant/levels.h"

namespace {

using bitlaw::data::DType;
using bitlaw::quant::AffineParameters;
using bitlaw::quant::PackedModel;
using bitlaw::quant::PackedTensor;
using bitlaw::quant::QuantSpec;

constexpr std::int64_t kOut = 5;
constexpr std::int64_t kRows = 8;  // of version 2
constexpr std::int64_t kColumns = 96;
constexpr std::int64_t kIn = 44;  // no multiple of 32: the last word of a row is filled up

std::vector<float> weights(const std::string& name) {
  std::vector<float> w(kOut * kIn);
  bitlaw::data::fill_normal({bitlaw::data::hash_name(name), bitlaw::data::Purpose::synthetic, 0, 0}, w);
  return w;
}

PackedTensor quantised(const std::string& text) {
  const QuantSpec spec = QuantSpec::parse(text);
  const std::vector<float> w = weights(text);
  const AffineParameters found = find_parameters(w, kOut, kIn, spec, bitlaw::quant::ScaleSearch::absmax);
  const auto width = static_cast<std::size_t>(spec.group_width(kIn));
  std::vector<std::uint8_t> codes;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const std::size_t group = found.scale.size() == 1 ? 0 : i / width;
    const int zero_point = found.zero_point.empty() ? 0 : found.zero_point[group];
    codes.push_back(
        static_cast<std::uint8_t>(code_value(w[i], found.scale[group], zero_point, spec) - spec.q_min()));
  }
  return pack(spec, kOut, kIn, codes, found.scale, found.zero_point);
}

// Any code that is a level, and any scale and zero point of their types.
PackedTensor arbitrary(const std::string& text) {
  const QuantSpec spec = QuantSpec::parse(text);
  PackedTensor packed;
  packed.spec = spec;
  packed.out_features = kRows;
  packed.in_features = kColumns;
  std::uint64_t next = 0;
  const auto uniform = [&next, &text](std::uint64_t bound) {
    float x = 0.0F;
    bitlaw::data::fill_uniform({bitlaw::data::hash_name(text), bitlaw::data::Purpose::synthetic, 0, next++},
                               {&x, 1});
    return static_cast<std::uint64_t>(x * static_cast<float>(bound));
  };
  const auto levels = bitlaw::quant::levels_of(spec);
  std::vector<std::uint8_t> codes;
  while (codes.size() < kRows * kColumns) {
    const auto code = static_cast<std::uint8_t>(uniform(levels.size()));
    if (!std::isnan(levels[code])) {
      codes.push_back(code);
    }
  }
  const auto scale = [&] {
    const float x =
        std::ldexp(1.0F + static_cast<float>(uniform(1024)) / 1024.0F, static_cast<int>(uniform(9)) - 6);
    return bitlaw::quant::storable_scale(x, spec.fields().scale_dtype);
  };
  for (std::int64_t i = 0; i < spec.scale_rows(kRows) * spec.groups(kColumns); ++i) {
    packed.scale.push_back(scale());
    if (spec.has_negative_scale()) {
      packed.scale_negative.push_back(scale());
    }
    if (spec.has_zero_point()) {
      packed.zero_point_real.push_back(static_cast<float>(uniform(4096)) / 256.0F - 8.0F);
    }
  }
  if (spec.has_global_scale()) {
    packed.global_scale = 0.0625F;
  }
  return pack(std::move(packed), codes);
}

void add_second_version(PackedModel& model) {
  for (const std::string format :
       {"e2m1", "e3m0", "e2m2", "e3m1", "e2m3", "e3m2", "e4m3", "e5m2", "e1m1", "e2m0", "nf3", "nf4"}) {
    for (const std::string rest : {".channel.sym", ".g32.asym.bfloat16", ".b4x16.sym.float32"}) {
      model.weights.emplace(format + rest, arbitrary(format + rest));
    }
  }
  for (const char* text :
       {"e2m1.g32.sym.e8m0", "e2m3.g32.sym.e8m0", "e3m2.g32.sym.e8m0", "e4m3.g32.sym.e8m0",
        "e5m2.g32.sym.e8m0", "int8.g32.sym.e8m0", "e2m1.g16.sym.e4m3", "ternary.channel.sym",
        "ternary.g32.sym.float32", "int4.b4x16.sym", "int4.g32.asym.float16.zp_float16",
        "int2.channel.asym.bfloat16.zp_float16", "int8.tensor.asym.float32.zp_float16"}) {
    model.weights.emplace(text, arbitrary(text));
  }
  for (const char* text : {"int3.g32.sym", "e2m1.g32.asym", "nf4.g32.sym"}) {
    PackedTensor scattered = arbitrary(text);
    for (std::int64_t i = 0; i < kColumns; ++i) {
      scattered.group_index.push_back(static_cast<std::int32_t>(i * 7 % 3));
      scattered.input_multiplier.push_back(0.5F + static_cast<float>(i));
    }
    model.weights.emplace(std::string(text) + " scattered", scattered);
  }
}

PackedModel sample() {
  PackedModel model;
  add_second_version(model);
  for (const char* strategy : {"tensor", "channel", "g11", "g4"}) {
    for (const char* kind : {".sym", ".asym"}) {
      for (const char* type : {"", ".bfloat16", ".float32"}) {
        for (int bits = 2; bits <= 8; ++bits) {
          const std::string text = "int" + std::to_string(bits) + "." + strategy + kind + type;
          model.weights.emplace(text, quantised(text));
        }
      }
    }
  }
  model.weights.emplace("int2h.g4.sym", quantised("int2h.g4.sym"));
  model.weights.emplace("int5h.channel.sym.bfloat16", quantised("int5h.channel.sym.bfloat16"));
  std::vector<std::uint16_t> brain;
  for (const float x : weights("brain")) {
    brain.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16));
  }
  const auto bytes = std::as_bytes(std::span(brain));
  model.tensors.emplace("norm.weight",
                        bitlaw::data::RawTensor{DType::bfloat16, {kOut, kIn}, {bytes.begin(), bytes.end()}});
  return model;
}

void write_values(const std::filesystem::path& path, const std::vector<float>& values) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(float)));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: native_sample DIR\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  write_native(folder / "model.h5", sample());
  const PackedModel model = bitlaw::quant::read_native(folder / "model.h5");
  for (const auto& [name, weight] : model.weights) {
    write_values(folder / ("weight." + name + ".f32"), dequantise(weight));
  }
  for (const auto& [name, tensor] : model.tensors) {
    std::vector<float> values;
    for (std::size_t i = 0; i < tensor.bytes.size(); i += 2) {
      const auto bits = std::to_integer<std::uint32_t>(tensor.bytes[i]) |
                        std::to_integer<std::uint32_t>(tensor.bytes[i + 1]) << 8;
      values.push_back(std::bit_cast<float>(bits << 16));
    }
    write_values(folder / ("tensor." + name + ".f32"), values);
  }
  return 0;
}
