// What a quantizer of inputs holds before and after it is observed, and at the ends of its types.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "quant/affine.h"
#include "quant/input_quantizer.h"
#include "quant/observer.h"
#include "tests/quant/input_quantizers.h"
#include "tests/quant/tensors.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using test::message_of;
using testing::HasSubstr;

TEST(InputQuantizer, ObservedScalesBecomeTheParameters) {
  const at::Tensor x = at::tensor({-1.0F, 0.25F, 4.0F}).view({1, 3});
  const StaticScale symmetric = [&] {
    Statistics seen;
    observe({ObserverKind::minmax}, "a", x, seen);
    return static_scale({ObserverKind::minmax}, "a", seen, QuantSpec::parse("int8.tensor.sym"));
  }();
  for (const InputMethod method : {InputMethod::fixed, InputMethod::lsq, InputMethod::pact}) {
    EXPECT_EQ(observed("int8.tensor.sym", method, x).grid().scale, symmetric.scale);
  }
  for (const InputMethod method : {InputMethod::fixed, InputMethod::lsq, InputMethod::lsq_plus}) {
    const InputGrid grid = observed("int4.tensor.asym", method, x).grid();
    EXPECT_EQ(grid.zero_point, -5.0F);  // -8 + 1 / (5 / 15)
    EXPECT_EQ(grid.scale, round_to(5.0F / 15, ScaleType::float16));
  }
  EXPECT_THAT(message_of([&] { observed("int4.tensor.asym", InputMethod::pact, x); }),
              HasSubstr("the input of fc1 has negative values"));
  const InputGrid positive = observed("int4.tensor.asym", InputMethod::pact, x.abs()).grid();
  EXPECT_EQ(positive.zero_point, -8.0F);
}

// Whether PACT may clip at zero does not depend on how many bits tell the negative values from it.
TEST(InputQuantizer, PactFromZeroWantsNoNegativeValueAtAll) {
  const at::Tensor gelu = at::gelu(at::linspace(-4.0, 11.0, 64)).view({1, 64});
  for (const std::string spec : {"int3.tensor.asym", "int4.tensor.asym", "int8.tensor.asym"}) {
    for (const ObserverKind kind :
         {ObserverKind::minmax, ObserverKind::moving_average, ObserverKind::percentile, ObserverKind::mse}) {
      const auto found = [&](const at::Tensor& x) {
        InputQuantizer quantizer(InputPlan{QuantSpec::parse(spec), InputMethod::pact, {kind, 90.0}});
        Statistics seen;
        observe(quantizer.plan().observer, "fc1", x, seen);
        observe(quantizer.plan().observer, "fc1", x.abs() + 3.0, seen);
        return message_of([&] { quantizer.adopt("fc1", seen); });
      };
      EXPECT_THAT(found(gelu), HasSubstr("the input of fc1 has negative values"));
      EXPECT_EQ(found(gelu.abs()), "");
    }
  }
}

// Where another method goes on with a scale that is there: the same grid.
TEST(InputQuantizer, AFilesScaleIsTakenAsItIs) {
  const at::Tensor x = normal_tensor({4, 8}, 38) + 0.3;
  for (const Case& item : kCases) {
    const PackedInput packed = observed(item.spec, InputMethod::fixed, x).pack();
    InputQuantizer quantizer(plan_of(item.spec, item.method));
    EXPECT_FALSE(quantizer.is_known());
    quantizer.adopt(packed);
    EXPECT_TRUE(quantizer.is_known());
    EXPECT_NEAR(*quantizer.pack().scale, *packed.scale, 5e-7 * static_cast<double>(*packed.scale));
    if (packed.spec.fields().scale_dtype != ScaleType::float32) {
      EXPECT_EQ(quantizer.pack(), packed) << item.spec;
    }
    InputQuantizer other(plan_of("int5.tensor.sym", InputMethod::lsq));
    EXPECT_THAT(message_of([&] { other.adopt(packed); }),
                testing::AllOf(HasSubstr("int5.tensor.sym"), HasSubstr(packed.spec.to_string())));
  }
  InputQuantizer dynamic(plan_of("int8.token.sym"));
  EXPECT_TRUE(dynamic.is_known());
  dynamic.adopt(QuantSpec::parse("int8.token.sym"));
  EXPECT_THAT(message_of([&] { dynamic.adopt(QuantSpec::parse("int4.token.sym")); }), HasSubstr("int4"));
  InputQuantizer positive(plan_of("int4.tensor.asym", InputMethod::pact));
  EXPECT_THAT(message_of([&] { positive.adopt(observed("int4.tensor.asym", InputMethod::fixed, x).pack()); }),
              HasSubstr("PACT clips to 0 ... alpha"));
}

TEST(InputQuantizer, NamesOfState) {
  const auto names = [](const std::string& spec, InputMethod method) {
    InputQuantizer quantizer(plan_of(spec, method));
    std::vector<std::string> found = quantizer.named_parameters().keys();
    for (const std::string& name : quantizer.named_buffers().keys()) found.push_back(name);
    return found;
  };
  using testing::ElementsAre;
  EXPECT_THAT(names("int8.tensor.sym", InputMethod::fixed), ElementsAre("scale"));
  EXPECT_THAT(names("int8.tensor.asym", InputMethod::fixed), ElementsAre("scale", "zero_point"));
  EXPECT_THAT(names("int8.tensor.asym", InputMethod::lsq), ElementsAre("log_scale", "zero_point"));
  EXPECT_THAT(names("int8.tensor.asym", InputMethod::lsq_plus), ElementsAre("log_scale", "offset"));
  EXPECT_THAT(names("int8.tensor.sym", InputMethod::pact), ElementsAre("alpha"));
  EXPECT_THAT(names("int8.tensor.asym", InputMethod::pact), ElementsAre("alpha"));
  EXPECT_THAT(names("int8.token.sym", InputMethod::fixed), ElementsAre());
}

TEST(InputQuantizer, AnUnknownScaleIsNeverUsed) {
  const at::Tensor x = normal_tensor({2, 4}, 37);
  for (const Case& item : kCases) {
    InputQuantizer quantizer(plan_of(item.spec, item.method));
    EXPECT_THROW(quantizer.forward(x), std::logic_error) << item.spec;
    EXPECT_THROW(quantizer.pack(), std::logic_error) << item.spec;
  }
}

TEST(InputQuantizer, AClippingValueBelowZeroKeepsTheSmallestScale) {
  InputQuantizer quantizer(plan_of("int8.tensor.sym", InputMethod::pact));
  set(quantizer, "alpha", -3.0F);
  EXPECT_EQ(quantizer.grid().scale, 0x1p-14F);
}

TEST(InputQuantizer, OffsetsBeyondTheirTypeAreClamped) {
  InputQuantizer quantizer(plan_of("int4.tensor.asym", InputMethod::lsq_plus));
  set(quantizer, "log_scale", 0.0F);
  set(quantizer, "offset", 100.0F);
  EXPECT_EQ(quantizer.grid().zero_point, -8.0F);
  InputQuantizer real(plan_of("int4.tensor.asym.float16.zp_float16", InputMethod::lsq_plus));
  set(real, "log_scale", 0.0F);
  set(real, "offset", 1.1F);
  EXPECT_EQ(real.grid().zero_point, round_to(-1.1F, ScaleType::float16));
}

}  // namespace
}  // namespace bitlaw::quant
