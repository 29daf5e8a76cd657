// What golden tests of the models share: the models of a file and the measure of a difference.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "distill/models/dit.h"
#include "distill/models/raster_ar.h"
#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"
#include "tests/support/golden_file.h"

namespace bitlaw::tests {

inline constexpr double kOutputBound = 3e-6;
inline constexpr double kGradientBound = 1e-5;
inline constexpr double kImageBound = 5e-5;

// max |a - b| / max |b|; infinite when shapes differ.
double relative_difference(const at::Tensor& a, const at::Tensor& b);

distill::VqConfig tokenizer_config(const GoldenFile& file);
std::shared_ptr<distill::VqTokenizer> golden_tokenizer(const GoldenFile& file);
// Groups that hold a transformer: those with an attribute "embed_dim".
std::vector<std::string> transformer_groups(const GoldenFile& file);
std::shared_ptr<distill::Var> golden_var(const GoldenFile& file, const std::string& group);
std::shared_ptr<distill::Dit> golden_dit(const GoldenFile& file);
std::shared_ptr<distill::RasterAr> golden_raster(const GoldenFile& file);

// Every gradient of the group is there and agrees; no parameter is left out. DiT's first timestep layer has
// the bound 1e-4: its gradient moves by 3e-5 with the last bit of the sines that it is given.
void expect_gradients(const torch::nn::Module& model, const GoldenFile& file, const std::string& group);

}  // namespace bitlaw::tests
