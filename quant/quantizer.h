// The function between a master weight and the weight that is multiplied: fake quantisation, straight
// through.
//
// A Quantizer belongs to one weight [out, in]. Its forward IS the deployed form: scales rounded to
// scale_dtype, one float32 multiplication per element; `codes` gives the integers by the same arithmetic, so
// an export stores exactly what was trained. Forward and backward are fused, one pass over the weight each
// (quant/kernels/fake_quant.h).
//   rtn, gptq, awq, hqq, omniquant, block_ap: scales fixed, no gradient; all but rtn get them by adopt()
//   ste: scales fixed, dw' / dw = 1 inside the range and 0 outside
//   lsq: scales learned (Esser et al. 2020): ds = g * sum(dy * (rint(v) - v inside, q at the clipped ends)),
//   with
//        g = 1 / sqrt(n * q_max) and n the weights that share the scale; floats and quantiles: with the
//        largest level as q_max, and inside as level_quant_math.h says. The parameter is log_scale =
//        ln(scale), so that AdamW's steps are relative; scale = round(exp(log_scale)) to scale_dtype,
//        straight through. Zero points are fixed, or (LayerPlan) learned as EfficientQAT does (arXiv
//        2407.11062): rounded straight through, dz = g * sum(-scale * dy outside, 0 inside).
//   e2e_qp: codes and zero points fixed (freeze()), scales learned: ds = g * sum(dy * (level - zero point)),
//        log_scale as for lsq. There is no master: forward, codes and pack do not look at the weight.
// "Inside" is where the rounded position is a code, the outermost codes included.
// Masters or codes, log_scale (lsq, e2e_qp) or scale, and zero points are what is saved; a load restores them
// as they were.
#pragma once

#include <torch/nn/module.h>

#include <optional>

#include "quant/config.h"
#include "quant/fake_quant_function.h"
#include "quant/input_transform.h"
#include "quant/methods/layer_codes.h"
#include "quant/methods/method_plan.h"
#include "quant/pack.h"
#include "quant/spec.h"

namespace bitlaw::quant {

class Quantizer : public torch::nn::Module {
 public:
  // Allocates parameters for a weight of this shape; initialise() or a load of state fills them.
  Quantizer(const QuantSpec& spec, Method method, std::int64_t out_features, std::int64_t in_features,
            const LayerPlan& plan = {});

  void initialise(const at::Tensor& weight, ScaleSearch search);  // scales from the weight
  // From here on another spec, with scales from the weight; only num_bits, grid and format may differ.
  void restart(const QuantSpec& spec, const at::Tensor& weight, ScaleSearch search);
  // Takes over what a post-training method found. Returns the masters that belong to it: the weights that the
  // codes stand for, which have the same codes again. std::invalid_argument when they do not fit the plan;
  // InputError where float32 cannot tell the weights' levels apart.
  at::Tensor adopt(const LayerCodes& found);
  // e2e_qp: takes over codes, scales, zero points and input transform. InputError, naming both specs, when
  // they are of another spec, shape or rotation.
  void freeze(const PackedTensor& found);
  bool has_scattered_groups() const;  // a group index is stored
  bool has_frozen_codes() const { return method_ == Method::e2e_qp; }
  // float32 [out, in] -> [out, in] in float32, or in bfloat16: the float32 product rounded once.
  at::Tensor forward(const at::Tensor& weight, at::ScalarType type = at::kFloat);
  // uint8 [out, in], 0..2^b-1. InputError when the weight is not finite.
  at::Tensor codes(const at::Tensor& weight);
  PackedTensor pack(const at::Tensor& weight);
  at::Tensor scale() const;  // float32 [scale rows, groups], exact in scale_dtype, without the global scale
  at::Tensor scale_negative() const;  // like scale; undefined unless the spec has one
  std::optional<float> global_scale() const;
  at::Tensor zero_point() const;  // like scale: int8 or float16, as stored; or undefined
  InputTransform input_transform() const;
  // Makes the multiplier 1 everywhere: a producer has absorbed it.
  void clear_input_multiplier();
  const QuantSpec& spec() const { return spec_; }
  Method method() const { return method_; }

 private:
  void check_weight(const at::Tensor& weight) const;
  void check_fits(const LayerCodes& found) const;
  void check_same(const PackedTensor& found) const;
  // Columns in the order of their groups, and back; nothing where groups are contiguous.
  at::Tensor by_group(const at::Tensor& weight) const;
  at::Tensor by_input(const at::Tensor& weight) const;
  at::Tensor neighbouring_groups() const;  // int32 [in]: i / group width
  float global_factor() const;             // the global scale, or 1
  void set_scale(at::Tensor& state, const at::Tensor& scale) const;
  at::Tensor stored_scale(const at::Tensor& state) const;
  FakeQuantInputs inputs_of(const at::Tensor& weight) const;

  QuantSpec spec_;
  Method method_;
  std::int64_t out_features_;
  std::int64_t in_features_;
  at::Tensor scale_state_;  // learned: parameter "log_scale"; else buffer "scale" holds the scale itself
  at::Tensor
      negative_state_;  // likewise "log_scale_negative" or "scale_negative": asymmetric floats, quantiles
  at::Tensor
      zero_point_;  // buffer "zero_point", int8 or float16: asymmetric integers whose zero points are fixed
  at::Tensor learned_zero_point_;  // parameter "learned_zero_point", float32, not yet rounded: learned ones
  at::Tensor codes_;               // buffer "codes", uint8 [out, in]: e2e_qp
  at::Tensor global_scale_;  // buffer "global_scale", float32 [1]: scale_dtype e4m3; keeps its initial value
  at::Tensor group_index_;   // buffer "group_index", int32 [in], where the plan says so
  at::Tensor input_multiplier_;  // buffer "input_multiplier", float32 [in], likewise
  std::int64_t hadamard_block_;
};

// Dynamic quantisation of activations: every row of x [..., C] (float32 or bfloat16), or every group of a
// row, by its own absmax scale. Its own extremes are its range, so the gradient passes everywhere but where
// MX blocks saturate. No state.
at::Tensor fake_quantise_tokens(const at::Tensor& x, const QuantSpec& spec);

}  // namespace bitlaw::quant
