// First values of parameters, each a function of (seed, name, index): they depend neither on the order of
// construction nor on what else a model has.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace bitlaw::distill {

// Normal with this standard deviation, clamped to [-2, 2] as trunc_normal_ with its default bounds. Float32;
// written in place, on any device.
void fill_normal(const at::Tensor& parameter, const std::string& name, double deviation, std::uint64_t seed);
// Uniform in [-bound, bound).
void fill_uniform(const at::Tensor& parameter, const std::string& name, double bound, std::uint64_t seed);

}  // namespace bitlaw::distill
