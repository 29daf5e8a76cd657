// Tensors that compressed-tensors 0.20 and gguf 0.19 wrote, with what their own readers make of them.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "quant/containers/compressed_tensors_layer.h"
#include "quant/containers/gguf_weight.h"
#include "tests/support/golden_file.h"

namespace bitlaw::quant {
namespace {

using data::DType;

// A dataset of the golden file as the type that the container has.
template <class T>
data::RawTensor raw(const at::Tensor& tensor, DType dtype, at::ScalarType type) {
  const at::Tensor values = tensor.to(type).contiguous();
  std::vector<T> elements(values.const_data_ptr<T>(), values.const_data_ptr<T>() + values.numel());
  return raw_tensor(dtype, values.sizes().vec(), elements);
}

data::RawTensor words(const at::Tensor& tensor) {
  return raw<std::int32_t>(tensor, DType::int32, at::kInt);
}
data::RawTensor bytes(const at::Tensor& tensor, DType dtype = DType::uint8) {
  return raw<std::uint8_t>(tensor, dtype, at::kByte);
}
data::RawTensor floats(const at::Tensor& tensor) {
  return raw<float>(tensor, DType::float32, at::kFloat);
}

std::vector<float> values_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kFloat).contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

std::vector<std::uint32_t> bits_of_values(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), values.size() * sizeof(float));
  return bits;
}

class GoldenContainers : public testing::Test {
 protected:
  tests::GoldenFile file_{"quant.h5"};
};

TEST_F(GoldenContainers, PackedIntegersOfCompressedTensors) {
  int seen = 0;
  for (const std::string& name : file_.names("compressed_tensors")) {
    if (!name.starts_with("pack_int")) {
      continue;
    }
    const std::string group = "compressed_tensors/" + name + "/";
    const std::string spec = "int" + name.substr(8, 1) + ".g64" +
                             (name.find("asym") != std::string::npos ? ".asym" : ".sym") + ".float32";
    Members members;
    members["weight_packed"] = words(file_.tensor(group + "weight_packed"));
    members["weight_scale"] = floats(file_.tensor(group + "weight_scale"));
    members["weight_shape"] =
        raw<std::int64_t>(file_.tensor(group + "weight_shape"), DType::int64, at::kLong);
    if (file_.contains(group + "weight_zero_point")) {
      members["weight_zero_point"] = words(file_.tensor(group + "weight_zero_point"));
    }
    const PackedTensor packed = from_compressed_tensors(members, QuantSpec::parse(spec),
                                                        CompressedFormat::pack_quantized, std::nullopt);
    EXPECT_EQ(bits_of_values(dequantise(packed)),
              bits_of_values(values_of(file_.tensor(group + "decompressed"))))
        << name;
    EXPECT_EQ(to_compressed_tensors(packed, {}).members, members) << name;
    ++seen;
  }
  EXPECT_EQ(seen, 12);  // 2, 3, 4, 5, 6 and 8 bits, symmetric and not
}

TEST_F(GoldenContainers, BlockFormatsOfCompressedTensors) {
  const auto check = [&](const std::string& name, const char* spec, CompressedFormat format,
                         Members members) {
    const PackedTensor packed =
        from_compressed_tensors(members, QuantSpec::parse(spec), format, std::nullopt);
    std::vector<float> values = dequantise(packed);
    for (float& value : values) {
      value = round_to(value, ScaleType::bfloat16);  // the package's readers of these formats return bfloat16
    }
    EXPECT_EQ(bits_of_values(values),
              bits_of_values(values_of(file_.tensor("compressed_tensors/" + name + "/decompressed"))))
        << name;
    if (packed.spec.fields().scale_dtype != ScaleType::float32) {
      EXPECT_EQ(to_compressed_tensors(packed, {}).members, members) << name;
    }
  };
  const auto tensor = [&](const char* name) {
    return file_.tensor(std::string("compressed_tensors/") + name);
  };
  check("mxfp4", "e2m1.g32.sym.e8m0", CompressedFormat::mxfp4_pack_quantized,
        {{"weight_packed", bytes(tensor("mxfp4/weight_packed"))},
         {"weight_scale", bytes(tensor("mxfp4/weight_scale"))}});
  check("mxfp6", "e2m3.g32.sym.e8m0", CompressedFormat::mxfp6_pack_quantized,
        {{"weight_packed", bytes(tensor("mxfp6/weight_packed"))},
         {"weight_scale", bytes(tensor("mxfp6/weight_scale"))}});
  check("mxfp8", "e4m3.g32.sym.e8m0", CompressedFormat::mxfp8_quantized,
        {{"weight", bytes(tensor("mxfp8/weight"), DType::float8_e4m3fn)},
         {"weight_scale", bytes(tensor("mxfp8/weight_scale"))}});
  check("nvfp4", "e2m1.g16.sym.e4m3", CompressedFormat::nvfp4_pack_quantized,
        {{"weight_packed", bytes(tensor("nvfp4/weight_packed"))},
         {"weight_scale", bytes(tensor("nvfp4/weight_scale"), DType::float8_e4m3fn)},
         {"weight_global_scale", floats(tensor("nvfp4/weight_global_scale"))}});
}

struct GgufCase {
  const char* name;
  BlockType type;
  bool same_bytes;  // written again: its scales are positive
};

TEST_F(GoldenContainers, BlocksOfGgml) {
  for (const GgufCase& one : {GgufCase{"Q4_0", BlockType::q4_0, false},
                              {"Q5_0", BlockType::q5_0, false},
                              {"Q8_0", BlockType::q8_0, true},
                              {"TQ2_0", BlockType::tq2_0, true},
                              {"MXFP4", BlockType::mxfp4, true}}) {
    const std::string group = std::string("gguf/") + one.name + "/";
    const data::RawTensor blocks = bytes(file_.tensor(group + "bytes"));
    const at::Tensor wanted = file_.tensor(group + "dequantised");
    const PackedTensor packed =
        from_gguf({one.type, wanted.size(0), wanted.size(1), blocks.bytes, std::nullopt, 0});
    EXPECT_EQ(dequantise(packed), values_of(wanted)) << one.name;
    if (one.same_bytes) {
      EXPECT_EQ(to_gguf(packed, false).bytes, blocks.bytes) << one.name;
    }
  }
}

TEST_F(GoldenContainers, MinimaThatAreNoMultiplesAreRefused) {
  for (const auto& [name, type] : {std::pair{"Q4_1", BlockType::q4_1}, std::pair{"Q5_1", BlockType::q5_1}}) {
    const std::string group = std::string("gguf/") + name + "/";
    const data::RawTensor blocks = bytes(file_.tensor(group + "bytes"));
    const at::Tensor wanted = file_.tensor(group + "dequantised");
    EXPECT_THROW(from_gguf({type, wanted.size(0), wanted.size(1), blocks.bytes, std::nullopt, 0}),
                 data::InputError);
  }
}

// Block by block, since one scale that is no number refuses all. ggml's readers do not look at the highest
// bit of an NVFP4 scale, which no writer sets; we refuse it.
TEST_F(GoldenContainers, RandomBlocksOfSmallFloats) {
  for (const auto& [name, type] :
       {std::pair{"MXFP4", BlockType::mxfp4}, std::pair{"NVFP4", BlockType::nvfp4}}) {
    const std::string group = std::string("gguf_random/") + name + "/";
    const auto elements = static_cast<std::int64_t>(facts_of(type).elements);
    const at::Tensor blocks =
        file_.tensor(group + "bytes").reshape({-1, static_cast<std::int64_t>(facts_of(type).bytes)});
    const at::Tensor wanted = file_.tensor(group + "dequantised").reshape({-1, elements});
    int read = 0;
    for (std::int64_t row = 0; row < blocks.size(0); ++row) {
      data::RawTensor one = bytes(blocks[row]);
      for (std::size_t i = 0; type == BlockType::nvfp4 && i < 4; ++i) {
        one.bytes[i] &= std::byte{0x7F};
      }
      try {
        const PackedTensor packed = from_gguf({type, 1, elements, one.bytes, std::nullopt, 0});
        EXPECT_EQ(dequantise(packed), values_of(wanted[row])) << name;
        ++read;
      } catch (const data::InputError& error) {
        EXPECT_NE(std::string(error.what()).find("it is no number"), std::string::npos) << error.what();
      }
    }
    EXPECT_GT(read, 5) << name;
  }
}

}  // namespace
}  // namespace bitlaw::quant
