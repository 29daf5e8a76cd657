// Greedy guided samples and the filter against tensors that the authors' own code produced.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "distill/samplers/var_sampler.h"
#include "tests/distill/models/golden.h"

namespace bitlaw::tests {
namespace {

TEST(VarSamplerGolden, GreedyGuidedSamples) {
  const GoldenFile file("var.h5");
  const auto tokenizer = golden_tokenizer(file);
  for (const std::string& group : transformer_groups(file)) {
    SCOPED_TRACE(group);
    const std::string greedy = group + "/greedy_cfg1.5";
    const auto observer = [&](std::int64_t scale, const at::Tensor& guided, const at::Tensor& tokens) {
      const std::string k = std::to_string(scale);
      EXPECT_LT(relative_difference(guided, file.tensor(greedy + "/guided_logits/" + k)), kOutputBound) << k;
      EXPECT_TRUE(tokens.equal(file.tensor(greedy + "/tokens/" + k))) << k;
    };
    const auto model = golden_var(file, group);
    const distill::SamplerSettings settings{.cfg = 1.5, .top_k = 1};
    const auto result = sample(*model, *tokenizer, file.tensor(group + "/labels"), settings, 0, observer);
    EXPECT_LT(relative_difference(result.images, file.tensor(greedy + "/image")), kImageBound);
  }
}

TEST(VarSamplerGolden, FilteredProbabilities) {
  const GoldenFile file("var.h5");
  const at::Tensor logits = file.tensor("filter/logits");
  int cases = 0;
  for (const std::string& name : file.names("filter")) {
    long long top_k = 0;
    double top_p = 0;
    if (std::sscanf(name.c_str(), "k%lld_p%lf", &top_k, &top_p) != 2) continue;
    const at::Tensor expected = file.tensor("filter/" + name);
    const at::Tensor probabilities = distill::filtered_probabilities(logits, top_k, top_p);
    EXPECT_LT(relative_difference(probabilities, expected), kOutputBound) << name;
    EXPECT_TRUE(probabilities.gt(0).equal(expected.gt(0))) << name;
    ++cases;
  }
  EXPECT_GT(cases, 0);
}

}  // namespace
}  // namespace bitlaw::tests
