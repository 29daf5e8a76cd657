#include "distill/fold.h"

#include <ATen/ATen.h>

#include <limits>

#include "quant/ste.h"

namespace bitlaw::distill {

namespace {

Fold modulation(const std::string& producer, std::int64_t scale_row, std::int64_t shift_row) {
  return {Fold::Into::modulation, producer, producer + ".bias", 0, scale_row, shift_row};
}

// The distance between 1 and the next number.
double epsilon_of(quant::RestType type) {
  switch (type) {
    case quant::RestType::bfloat16:
      return 0x1p-7;
    case quant::RestType::float16:
      return 0x1p-10;
    case quant::RestType::float32:
      break;
  }
  return std::numeric_limits<float>::epsilon();
}

}  // namespace

std::map<std::string, Fold> var_folds(const VarShape& shape) {
  const std::int64_t width = shape.width;
  std::map<std::string, Fold> folds;
  folds["head"] = modulation("head_nm.ada_lin.1", 0, width);
  for (std::int64_t i = 0; i < shape.depth; ++i) {
    const std::string block = "blocks." + std::to_string(i) + ".";
    const std::string qkv = block + "attn.mat_qkv";
    folds[block + "attn.proj"] = {Fold::Into::values, qkv, block + "attn.v_bias", 2 * width, 2 * width, -1};
    if (!shape.shared_ada_lin) {  // gamma1, gamma2, scale1, scale2, shift1, shift2
      folds[qkv] = modulation(block + "ada_lin.1", 2 * width, 4 * width);
      folds[block + "ffn.fc1"] = modulation(block + "ada_lin.1", 3 * width, 5 * width);
    }
  }
  return folds;
}

at::Tensor exact_multiplier(const Fold& where, const at::Tensor& bias, const at::Tensor& multiplier,
                            quant::RestType rest_dtype) {
  if (where.into == Fold::Into::values) {
    return multiplier;
  }
  const at::NoGradGuard no_grad;
  const at::Tensor m = multiplier.to(at::kDouble);
  const at::Tensor scale = 1.0 + bias.narrow(0, where.first_row - where.bias_row, m.size(0)).to(at::kDouble);
  const at::Tensor wanted = scale.sign() * (scale.abs() * m).clamp_min(epsilon_of(rest_dtype));
  const at::Tensor stored = 1.0 + quant::round_straight_through((wanted - 1.0).to(at::kFloat), rest_dtype);
  const at::Tensor found = stored.to(at::kDouble) / scale;
  const at::Tensor is_nearer = (found / m).log().abs().lt(m.log().abs());  // false for NaN
  return at::where(is_nearer, found, at::ones_like(m)).to(multiplier.scalar_type());
}

void fold(const Fold& where, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& multiplier) {
  const at::NoGradGuard no_grad;
  const at::Tensor m = multiplier.to(weight.scalar_type());
  const std::int64_t count = m.size(0);
  const auto rows = [&](const at::Tensor& of, std::int64_t first) { return of.narrow(0, first, count); };
  rows(weight, where.first_row).mul_(m.unsqueeze(1));
  const at::Tensor own = rows(bias, where.first_row - where.bias_row);
  if (where.into == Fold::Into::values) {
    own.mul_(m);
    return;
  }
  own.add_(1.0).mul_(m).sub_(1.0);
  rows(weight, where.shift_row).mul_(m.unsqueeze(1));
  rows(bias, where.shift_row - where.bias_row).mul_(m);
}

}  // namespace bitlaw::distill
