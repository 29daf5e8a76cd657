// Groups of a token against the weight quantiser on the same numbers.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "quant/input_quantizer.h"
#include "quant/quantizer.h"
#include "tests/quant/input_quantizers.h"
#include "tests/quant/tensors.h"

namespace bitlaw::quant {
namespace {

TEST(GroupsOfInputs, AreRowsOfTheirOwn) {
  const at::Tensor x = normal_tensor({3, 5, 96}, 38);
  for (const std::string spec : {"int8.g32.sym", "int4.g16.asym", "e4m3.g48.sym", "e2m1.g32.sym.e8m0",
                                 "e2m3.g32.sym.e8m0", "e4m3.g32.sym.e8m0", "int8.g32.sym.e8m0"}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor input = x.to(type);
      const at::Tensor flat = input.to(at::kFloat).view({15, 96});
      Quantizer weights(QuantSpec::parse(spec), Method::ste, 15, 96);
      weights.initialise(flat, ScaleSearch::absmax);
      EXPECT_TRUE(same_bits(InputQuantizer(plan_of(spec)).forward(input),
                            weights.forward(flat, type).view(x.sizes())))
          << spec;
    }
  }
}

TEST(GroupsOfInputs, PassTheGradientButWhereBlocksSaturate) {
  const at::Tensor grad = normal_tensor({4, 64}, 40);
  for (const std::string spec : {"int8.g32.sym", "e2m1.g32.sym.e8m0", "int8.g32.sym.e8m0"}) {
    const at::Tensor x = normal_tensor({4, 64}, 39).requires_grad_();
    InputQuantizer(plan_of(spec)).forward(x).backward(grad);
    Quantizer weights(QuantSpec::parse(spec), Method::ste, 4, 64);
    weights.initialise(x.detach(), ScaleSearch::absmax);
    const at::Tensor w = x.detach().clone().requires_grad_();
    weights.forward(w).backward(grad);
    const bool mx = spec.find("e8m0") != std::string::npos;
    EXPECT_TRUE(same_bits(x.grad(), mx ? w.grad() : grad)) << spec;
    EXPECT_EQ(x.grad().eq(0.0).any().item<bool>(), spec == "e2m1.g32.sym.e8m0") << spec;
  }
}

TEST(GroupsOfInputs, AGroupWithAnInfinityIsNaNAndTheOthersAreNot) {
  for (const std::string spec : {"int8.g32.sym", "e2m1.g32.sym.e8m0", "int8.g32.sym.e8m0"}) {
    at::Tensor x = normal_tensor({1, 64}, 41);
    x[0][40] = std::numeric_limits<float>::infinity();
    const at::Tensor y = InputQuantizer(plan_of(spec)).forward(x);
    EXPECT_TRUE(at::isfinite(y.narrow(1, 0, 32)).all().item<bool>()) << spec;
    EXPECT_TRUE(at::isnan(y.narrow(1, 32, 32)).all().item<bool>()) << spec;
  }
}

}  // namespace
}  // namespace bitlaw::quant
