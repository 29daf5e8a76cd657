// Counter-based initial values, made on the CPU and copied to where the parameter lives.
#include "distill/models/initialise.h"

#include <ATen/ATen.h>

#include <span>

#include "data/seed.h"

namespace bitlaw::distill {

namespace {

data::RandomKey key_of(const std::string& name, std::uint64_t seed) {
  return {.seed = seed, .purpose = data::Purpose::initialise, .step = data::hash_name(name), .sample = 0};
}

std::span<float> values_of(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

}  // namespace

void fill_normal(const at::Tensor& parameter, const std::string& name, double deviation, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  at::Tensor values = at::empty(parameter.sizes(), at::kFloat);
  data::fill_normal(key_of(name, seed), values_of(values));
  parameter.copy_(values.mul_(deviation).clamp_(-2, 2));
}

void fill_uniform(const at::Tensor& parameter, const std::string& name, double bound, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  at::Tensor values = at::empty(parameter.sizes(), at::kFloat);
  data::fill_uniform(key_of(name, seed), values_of(values));
  parameter.copy_(values.mul_(2 * bound).sub_(bound));
}

}  // namespace bitlaw::distill
