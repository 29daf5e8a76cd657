// Torch tensors in and out of a file, bit for bit.
#include "data/formats/tensor_io.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "data/formats/input_error.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0);
}

TEST(TensorIo, EveryTypeAndShapeComesBackBitForBit) {
  test::TemporaryFolder folder;
  std::map<std::string, at::Tensor> tensors;
  const at::Tensor values = at::arange(-60, 60, at::kFloat) * 1.37F;
  for (int i = 0; i <= static_cast<int>(DType::float8_e5m2fnuz); ++i) {
    const auto dtype = static_cast<DType>(i);
    tensors[std::string(name_of(dtype))] = values.abs().to(scalar_type_of(dtype)).reshape({2, 3, 20});
    EXPECT_EQ(dtype_of(tensors[std::string(name_of(dtype))]), dtype);
  }
  tensors["scalar"] = at::scalar_tensor(3.5, at::kDouble);
  tensors["empty"] = at::empty({0, 7}, at::kBFloat16);
  tensors["group/special"] = at::tensor({NAN, INFINITY, -INFINITY, -0.0F, 1e-45F});
  TensorFile file = TensorFile::create(folder / "x.h5");
  for (const auto& [name, tensor] : tensors) {
    put_tensor(file, name, tensor);
  }
  file.commit();
  const TensorFile back = TensorFile::open(folder / "x.h5");
  EXPECT_EQ(back.names().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_TRUE(same_bits(read_tensor(back, name), tensor)) << name;
  }
}

TEST(TensorIo, StridedAndGradientTensorsAreStoredAsTheyLook) {
  test::TemporaryFolder folder;
  const at::Tensor base = at::arange(12, at::kFloat).reshape({3, 4}).requires_grad_();
  TensorFile file = TensorFile::create(folder / "x.h5");
  put_tensor(file, "t", base.t());
  file.commit();
  const at::Tensor back = read_tensor(TensorFile::open(folder / "x.h5"), "t");
  EXPECT_TRUE(at::equal(back, base.detach().t()));
  EXPECT_FALSE(back.requires_grad());
}

TEST(TensorIo, RefusesTypesThatTheFormatLacks) {
  EXPECT_THROW(
      {
        try {
          dtype_of(at::zeros({1}, at::kComplexFloat));
        } catch (const InputError& error) {
          EXPECT_THAT(error.what(), testing::HasSubstr("ComplexFloat"));
          throw;
        }
      },
      InputError);
}

TEST(HashTensors, SeesValuesNotStrides) {
  const at::Tensor base = at::arange(12, at::kFloat).reshape({3, 4});
  const auto transposed = hash_tensors({{"w", base.t()}});
  EXPECT_EQ(transposed, hash_tensors({{"w", base.t().contiguous()}}));
  EXPECT_FALSE(transposed == hash_tensors({{"w", base}}));
  TensorHash by_hand;
  by_hand.add("w", std::as_bytes(std::span(base.const_data_ptr<float>(), 12)), 4);
  EXPECT_EQ(by_hand, hash_tensors({{"w", base}}));
}

}  // namespace
}  // namespace bitlaw::data
