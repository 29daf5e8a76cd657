// Which layer of a VAR can absorb the multiplier of another layer's input, and how: exactly, but for
// rounding to float32 (exact_multiplier).
//
// The norms before mat_qkv, fc1 and the head have no weight of their own; what they give is modulated,
//   y = LN(x) (1 + scale) + shift, (scale, shift) = rows of W cond + b
// so y m comes from scale' = (1 + scale) m - 1, shift' = shift m: those rows of W times m, b' = (1 + b) m - 1
// for scales, b m for shifts. The input of proj is a mean of values, channel by channel: the rows of mat_qkv
// that make v, and v_bias, times m. Nothing absorbs what meets fc2 (a GELU is before it) or an AdaLN layer,
// nor what meets mat_qkv and fc1 where all blocks share one AdaLN layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

#include "distill/models/var.h"
#include "quant/config.h"

namespace bitlaw::distill {

struct Fold {
  enum class Into { modulation, values };
  Into into = Into::modulation;
  std::string producer;         // name of the Linear
  std::string bias;             // name of the parameter that is its bias
  std::int64_t bias_row = 0;    // row of the Linear that the bias' first element belongs to
  std::int64_t first_row = 0;   // of the scales, or of the values
  std::int64_t shift_row = -1;  // modulation: of the shifts
};

// By the name of the layer whose input is multiplied.
std::map<std::string, Fold> var_folds(const VarShape& shape);

// The multiplier to fold instead of `multiplier` [C], so that nothing is lost when the producer's bias is
// rounded to the type in which it is deployed: of scales, (1 + round((1 + b) m - 1)) / (1 + b). What rounding
// the bias does to m then does not depend on the token, and the consumer's weight takes the inverse of the
// multiplier that is left. Next to b' = -1 few numbers can be stored: where 1 is nearer to m (by ratio) than
// the best of them, the channel keeps multiplier 1. The values' bias is multiplied, its relative error stays
// what it was: `multiplier` itself. bias: the producer's before the fold.
at::Tensor exact_multiplier(const Fold& where, const at::Tensor& bias, const at::Tensor& multiplier,
                            quant::RestType rest_dtype);

// weight [rows, in], bias: the producer's, changed in place; any floating type. multiplier [C].
void fold(const Fold& where, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& multiplier);

}  // namespace bitlaw::distill
