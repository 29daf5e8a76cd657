// The function between a layer's input and what meets the weight: fake quantisation of activations.
//
// Dynamic specs (strategies token and group) have no state. A static spec (strategy tensor) has one scale for
// everything, found by an observer (quant/input_observation.h) and then fixed or learned:
//   fixed     buffer "scale"
//   lsq       parameter "log_scale" = ln(scale): steps of AdamW are relative, as for weights
//   lsq_plus  parameters "log_scale" and "offset" (beta, in units of the input); zero point = -beta / scale,
//             rounded straight through to its storage type (int8: to a whole level, so that zero is exact)
//             and clamped to the codes
//   pact      parameter "alpha", the clipping value; scale = alpha / largest code. symmetric: x is clipped to
//             -alpha (q_min / q_max) ... alpha, the variant that inputs of transformers need, which have both
//             signs; asymmetric: to 0 ... alpha, as published
// and a buffer "zero_point" [1] (int8; float16 in a file of real ones) for asymmetric integers of fixed and
// lsq. All are [1]. Gradients: quant/input_quant_function.h. The forward already is the deployed form: scale
// and zero point rounded to the types in which they are stored. Until it is observed or loaded, a static
// scale is NaN, and using it is a std::logic_error.
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <string>

#include "quant/input_plan.h"
#include "quant/input_quant_function.h"
#include "quant/observer.h"
#include "quant/packed_input.h"

namespace bitlaw::quant {

class InputQuantizer : public torch::nn::Module {
 public:
  explicit InputQuantizer(const InputPlan& plan);
  explicit InputQuantizer(const PackedInput& packed);  // a file's: fixed

  // x [..., features], float32 or bfloat16, of the same type. While there is an observer: x itself.
  at::Tensor forward(const at::Tensor& x);

  using Observer = std::function<void(const at::Tensor&)>;
  void set_observer(Observer observer) { observer_ = std::move(observer); }
  // The scale that follows from what was seen under `name`, which is that of the layer. InputError naming it:
  // nothing was seen, or NaN or infinity; pact for inputs that are not negative saw negative ones.
  void adopt(const std::string& name, const Statistics& seen);
  // A file's or another run's scale, which a method may go on to learn. Of dynamic inputs there is nothing to
  // take. InputError: another spec, both named, or asymmetric pact and a zero point that is not the lowest
  // code.
  void adopt(const PackedInput& packed);
  bool is_known() const;  // static: observed, adopted or loaded

  InputGrid grid() const;  // static: what is used and stored
  PackedInput pack() const;
  const QuantSpec& spec() const { return plan_.spec; }
  const InputPlan& plan() const { return plan_; }
  bool is_static() const { return quant::is_static(plan_.spec); }

 private:
  void register_state();
  void take(const InputGrid& found);
  float codes_above_zero() const;  // pact: alpha / scale

  InputPlan plan_;
  Observer observer_;
  at::Tensor scale_;
  at::Tensor zero_point_;
  InputParameters parameters_;
};

}  // namespace bitlaw::quant
