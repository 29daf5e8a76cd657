#include "quant/ste.h"

#include <torch/csrc/autograd/custom_function.h>

namespace bitlaw::quant {

namespace {

struct RoundStraightThrough : torch::autograd::Function<RoundStraightThrough> {
  static at::Tensor forward(torch::autograd::AutogradContext* /*context*/, const at::Tensor& x,
                            at::ScalarType type) {
    return x.to(type).to(x.scalar_type());
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* /*context*/,
                                                 const torch::autograd::variable_list& gradients) {
    return {gradients[0], at::Tensor()};
  }
};

}  // namespace

at::ScalarType scalar_type_of(RestType type) {
  switch (type) {
    case RestType::bfloat16:
      return at::kBFloat16;
    case RestType::float16:
      return at::kHalf;
    case RestType::float32:
      break;
  }
  return at::kFloat;
}

at::Tensor round_straight_through(const at::Tensor& x, RestType type) {
  if (!x.defined() || type == RestType::float32) {
    return x;
  }
  return RoundStraightThrough::apply(x, scalar_type_of(type));
}

at::Tensor round_straight_through(const at::Tensor& x, RestType type, at::ScalarType compute) {
  if (!x.defined()) {
    return x;
  }
  // The gradient of a conversion is the gradient, converted back: straight through as well.
  return scalar_type_of(type) == compute ? x.to(compute) : round_straight_through(x, type).to(compute);
}

}  // namespace bitlaw::quant
