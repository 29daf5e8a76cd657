#include "quant/methods/rtn.h"

namespace bitlaw::quant {

LayerCodes round_to_nearest(const at::Tensor& weight, const WeightGrid& grid, const ScaleRule& rule) {
  const at::Tensor w = checked_weight(weight);
  LayerCodes codes;
  find_scales(codes, w, grid, rule);
  code_nearest(codes, w, grid);
  return codes;
}

LayerCodes round_to_nearest(const at::Tensor& weight, const QuantSpec& spec, const ScaleRule& rule) {
  const at::Tensor w = checked_weight(weight);
  return round_to_nearest(w, grid_of(w, spec), rule);
}

}  // namespace bitlaw::quant
