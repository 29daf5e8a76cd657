// Observers: ranges by hand, percentiles against sorting, mse against trying every range on the values
// themselves, merging of batches and ranks, static fake quantisation.
#include "quant/observer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "quant/histogram.h"
#include "tests/quant/tensors.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

const QuantSpec& int8() {
  static const QuantSpec spec = QuantSpec::parse("int8.tensor.sym.float32");
  return spec;
}

StaticScale scale_for(const ObserverOptions& options, const std::vector<at::Tensor>& batches,
                      const QuantSpec& spec) {
  Statistics seen;
  for (const at::Tensor& batch : batches) {
    observe(options, "fc1", batch, seen);
  }
  return static_scale(options, "fc1", seen, spec);
}

TEST(Observer, ExtremesAndTheirAverages) {
  const std::vector<at::Tensor> batches = {at::tensor({1.0F, -2.0F}), at::tensor({0.5F, 4.0F})};
  EXPECT_EQ(scale_for({ObserverKind::minmax}, batches, int8()).scale, 4.0F / 127.5F);
  EXPECT_EQ(scale_for({ObserverKind::moving_average}, batches, int8()).scale, 2.5F / 127.5F);
  const QuantSpec asymmetric = QuantSpec::parse("int4.tensor.asym.float32");
  const StaticScale found = scale_for({ObserverKind::minmax}, batches, asymmetric);
  EXPECT_EQ(found.scale, 6.0F / 15);
  EXPECT_EQ(found.zero_point, -3);  // -8 + 2 / 0.4
  EXPECT_EQ(scale_for({ObserverKind::minmax}, batches, QuantSpec::parse("e4m3.tensor.sym.float32")).scale,
            4.0F / 448);
}

TEST(Observer, EveryBinHoldsItsEdgesAndBinsAreInOrder) {
  for (int bin = 0; bin < kHistogramBins; ++bin) {
    const BinEdges edges = histogram_edges(bin);
    const double inner =
        bin < kHistogramSide ? edges.highest : edges.lowest;  // the edge nearer to zero is inside
    EXPECT_EQ(histogram_bin(static_cast<float>(inner)), bin);
    EXPECT_EQ(histogram_bin(static_cast<float>((edges.lowest + edges.highest) / 2)), bin);
    if (bin > 0 && bin != kHistogramSide && bin != kHistogramSide + 1) {
      EXPECT_EQ(edges.lowest, histogram_edges(bin - 1).highest);
    }
  }
  EXPECT_EQ(histogram_bin(0.0F), kHistogramSide);
  EXPECT_EQ(histogram_bin(-1e-20F), kHistogramSide);
  EXPECT_EQ(histogram_bin(1e30F), kHistogramBins - 1);
  EXPECT_EQ(histogram_bin(-1e30F), 0);
}

TEST(Observer, PercentilesAreThoseOfSortedValuesWithinABin) {
  const at::Tensor x = normal_tensor({20000}, 7);
  const at::Tensor sorted = std::get<0>(x.sort());
  const at::Tensor magnitudes = std::get<0>(x.abs().sort());
  for (const double percentile : {90.0, 99.0, 99.9}) {
    const ObserverOptions options{ObserverKind::percentile, percentile};
    const auto index = [&](double fraction) { return static_cast<std::int64_t>(fraction * 20000); };
    const double amax = magnitudes[index(percentile / 100)].item<double>();
    EXPECT_NEAR(scale_for(options, {x}, int8()).scale * 127.5, amax, 0.02 * amax) << percentile;
    const QuantSpec asymmetric = QuantSpec::parse("int8.tensor.asym.float32");
    const double outside = (1 - percentile / 100) / 2;
    const double width = (sorted[index(1 - outside)] - sorted[index(outside)]).item<double>();
    EXPECT_NEAR(scale_for(options, {x}, asymmetric).scale * 255, width, 0.02 * width) << percentile;
  }
}

double error_of(const at::Tensor& x, const QuantSpec& spec, const StaticScale& scale) {
  return (fake_quantise_static(x, spec, scale) - x).to(at::kDouble).square().sum().item<double>();
}

TEST(Observer, LeastErrorIsNearTheBestOfTheValuesThemselves) {
  for (const char* text : {"int4.tensor.sym.float32", "int4.tensor.asym.float32", "int8.tensor.sym.float32",
                           "e2m1.tensor.sym.float32"}) {
    const QuantSpec spec = QuantSpec::parse(text);
    at::Tensor x = normal_tensor({5000}, 9);
    x[17] = 12.0F;  // an outlier
    const double found = error_of(x, spec, scale_for({ObserverKind::mse}, {x}, spec));
    double best = std::numeric_limits<double>::infinity();
    for (int percent = 100; percent > 20; --percent) {
      best = std::min(best, error_of(x, spec,
                                     scale_for({ObserverKind::minmax},
                                               {x.clamp(-0.12 * percent, 0.12 * percent)}, spec)));
    }
    EXPECT_LT(found, best * 1.05) << text;
  }
}

TEST(Observer, BatchesAndRanksMerge) {
  const at::Tensor x = normal_tensor({4, 300}, 5);
  for (const ObserverKind kind : {ObserverKind::minmax, ObserverKind::percentile, ObserverKind::mse}) {
    const ObserverOptions options{kind, 99.0};
    Statistics first;
    Statistics second;
    observe(options, "fc1", x[0], first);
    observe(options, "fc1", x.slice(0, 1), second);
    first.merge(second);
    const StaticScale merged = static_scale(options, "fc1", first, int8());
    EXPECT_EQ(merged.scale, scale_for(options, {x}, int8()).scale);
  }
}

TEST(Observer, NothingSeenAndNaNAreErrorsThatNameTheLayer) {
  Statistics seen;
  EXPECT_THAT(message_of([&] { static_scale({}, "fc1", seen, int8()); }),
              AllOf(HasSubstr("no input of fc1"), HasSubstr("at least one batch")));
  for (const ObserverKind kind :
       {ObserverKind::minmax, ObserverKind::moving_average, ObserverKind::percentile, ObserverKind::mse}) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), INFINITY}) {
      // One rank saw it; both have the same names to merge, and both refuse.
      Statistics mine;
      Statistics theirs;
      observe({kind}, "fc1", at::tensor({1.0F, bad}), mine);
      observe({kind}, "fc1", at::tensor({1.0F, 2.0F}), theirs);
      EXPECT_NO_THROW(static_scale({kind}, "fc1", theirs, int8()));
      theirs.merge(mine);
      EXPECT_THAT(message_of([&] { static_scale({kind}, "fc1", theirs, int8()); }),
                  HasSubstr("input of fc1 holds NaN or infinity"));
    }
  }
}

TEST(Observer, StaticQuantisationPassesGradientsInsideTheRange) {
  const at::Tensor x = at::tensor({0.3F, -0.6F, 5.0F, -9.0F}).view({2, 2}).requires_grad_();
  const QuantSpec spec = QuantSpec::parse("int4.tensor.sym.float32");
  const at::Tensor y = fake_quantise_static(x, spec, {0.5F, 0});
  EXPECT_TRUE(at::equal(y, at::tensor({0.5F, -0.5F, 3.5F, -4.0F}).view({2, 2})));
  y.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), at::tensor({1.0F, 1.0F, 0.0F, 0.0F}).view({2, 2})));
  const at::Tensor half = x.detach().to(at::kBFloat16);
  EXPECT_EQ(fake_quantise_static(half, spec, {0.5F, 0}).scalar_type(), at::kBFloat16);
}

}  // namespace
}  // namespace bitlaw::quant
