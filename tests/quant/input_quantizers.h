// Quantizers of inputs of every kind, observed or not, for tests.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "quant/input_quantizer.h"

namespace bitlaw::quant {

inline InputPlan plan_of(const std::string& spec, InputMethod method = InputMethod::fixed) {
  return {QuantSpec::parse(spec), method, {ObserverKind::minmax, 99.99}};
}

// Observed on x, by its extremes.
inline InputQuantizer observed(const std::string& spec, InputMethod method, const at::Tensor& x) {
  InputQuantizer quantizer(plan_of(spec, method));
  Statistics seen;
  observe(quantizer.plan().observer, "fc1", x, seen);
  quantizer.adopt("fc1", seen);
  return quantizer;
}

inline at::Tensor& parameter(InputQuantizer& quantizer, const char* name) {
  return quantizer.named_parameters()[name];
}

inline float scalar(const at::Tensor& x) {
  return x.detach().item<float>();
}

inline void set(InputQuantizer& quantizer, const char* name, float value) {
  const at::NoGradGuard no_grad;
  parameter(quantizer, name).fill_(value);
}

struct Case {
  const char* spec;
  InputMethod method;
};
const inline std::vector<Case> kCases = {{"int8.tensor.sym", InputMethod::fixed},
                                         {"int4.tensor.asym.float32", InputMethod::fixed},
                                         {"int3h.tensor.sym.bfloat16", InputMethod::fixed},
                                         {"e4m3.tensor.sym", InputMethod::fixed},
                                         {"int4.tensor.sym", InputMethod::lsq},
                                         {"int4.tensor.asym", InputMethod::lsq},
                                         {"e2m1.tensor.sym.float32", InputMethod::lsq},
                                         {"int4.tensor.asym", InputMethod::lsq_plus},
                                         {"int3.tensor.asym.float32.zp_float16", InputMethod::lsq_plus},
                                         {"int4.tensor.sym", InputMethod::pact},
                                         {"int8.tensor.sym.float32", InputMethod::pact}};

}  // namespace bitlaw::quant
