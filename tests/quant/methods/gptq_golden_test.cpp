// GPTQ and round-to-nearest against the authors' own code: group gptq of the golden file, every setting
// there.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>

#include "quant/methods/gptq.h"
#include "quant/methods/rtn.h"
#include "tests/support/golden_file.h"

namespace bitlaw::quant {
namespace {

// A setting by its name: b<bits>_g<group size, -1: channel>_<sym|asym>[_act][_static][_mse].
struct Setting {
  QuantSpec spec;
  GptqOptions options;
};

bool has(const std::string& name, const std::string& part) {
  return name.find("_" + part) != std::string::npos;
}

Setting setting_of(const std::string& name) {
  QuantSpecFields fields;
  fields.num_bits = std::stoll(name.substr(1));
  fields.symmetric = !has(name, "asym");
  fields.scale_dtype = ScaleType::float32;  // the authors' scales are not rounded
  const std::int64_t group = std::stoll(name.substr(name.find("_g") + 2));
  fields.strategy = group < 0 ? Strategy::channel : Strategy::group;
  fields.group_size = group < 0 ? 0 : group;
  GptqOptions options;
  options.act_order = has(name, "act");
  options.static_groups = has(name, "static");
  options.scales.search = has(name, "mse") ? ScaleSearch::mse : ScaleSearch::absmax;
  return {QuantSpec(fields), options};
}

class GptqGolden : public testing::Test {
 protected:
  GptqGolden() : file("quant.h5"), weight(file.tensor("weight")) {
    Statistics statistics;
    for (const at::Tensor& batch : file.tensor("input").split(128)) {
      observe_input(statistics, "layer", batch);
    }
    inputs = input_statistics(statistics, "layer");
  }
  std::vector<std::string> settings() const {
    std::vector<std::string> names;
    for (const std::string& name : file.names("gptq")) {
      if (file.contains("gptq/" + name + "/dequantised")) {
        names.push_back(name);
      }
    }
    return names;
  }
  tests::GoldenFile file;
  at::Tensor weight;
  InputStatistics inputs;
};

// Levels that differ by more than rounding of the scales' last bits.
std::int64_t differing_levels(const at::Tensor& ours, const at::Tensor& theirs) {
  const double scale = theirs.abs().max().item<double>();
  return (ours - theirs).abs().gt(1e-5 * scale).sum().item<std::int64_t>();
}

TEST_F(GptqGolden, MomentsAreTheAuthorsHessian) {
  const at::Tensor theirs = file.tensor("gptq/hessian").to(at::kDouble);
  const at::Tensor ours = inputs.gram * (2.0 / 4.0);  // they count each batch of 128 rows as one sample
  EXPECT_LT(((ours - theirs).abs().max() / theirs.abs().max()).item<double>(), 1e-6);
  EXPECT_EQ(inputs.count, 512.0);
}

TEST_F(GptqGolden, GivesTheAuthorsCodesInEverySetting) {
  ASSERT_EQ(settings().size(), 6U);
  for (const std::string& name : settings()) {
    const Setting setting = setting_of(name);
    const LayerCodes codes = gptq(weight, inputs, setting.spec, setting.options);
    const at::Tensor ours = dequantise(codes, setting.spec);
    EXPECT_EQ(differing_levels(ours, file.tensor("gptq/" + name + "/dequantised")), 0) << name;
    EXPECT_EQ(codes.group_index.defined(), name == "b4_g64_asym_act") << name;
  }
}

TEST_F(GptqGolden, RoundsToNearestAsTheAuthorsDo) {
  for (const std::string& name : settings()) {
    const Setting setting = setting_of(name);
    const at::Tensor ours =
        dequantise(round_to_nearest(weight, setting.spec, setting.options.scales), setting.spec);
    EXPECT_EQ(differing_levels(ours, file.tensor("gptq/" + name + "/rtn")), 0) << name;
  }
}

TEST_F(GptqGolden, BeatsRoundToNearestOnTheOutput) {
  for (const std::string& name : settings()) {
    const Setting setting = setting_of(name);
    const double theirs = inputs.output_error(file.tensor("gptq/" + name + "/dequantised") - weight);
    const double ours = inputs.output_error(
        dequantise(gptq(weight, inputs, setting.spec, setting.options), setting.spec) - weight);
    const double nearest = inputs.output_error(
        dequantise(round_to_nearest(weight, setting.spec, setting.options.scales), setting.spec) - weight);
    EXPECT_NEAR(ours, theirs, 1e-4 * theirs) << name;
    EXPECT_LT(ours, 0.5 * nearest) << name;
  }
}

}  // namespace
}  // namespace bitlaw::quant
