// What every post-training method leaves behind for one layer: codes, scales and the transform of its input.
//
// The layer then computes, for an input x of in_features,
//   y = W' R(x * input_multiplier) + bias
// where W' is the weight that the codes stand for and R the rotation by `hadamard_block`. No method derives
// another's scales again: what is here is stored as it is.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "quant/methods/weight_grid.h"

namespace bitlaw::quant {

struct LayerCodes {
  at::Tensor codes;           // uint8 [out, in]
  at::Tensor scale;           // float32 [scale rows, groups]; strategy tensor [1, 1]; exact in scale_dtype
  at::Tensor scale_negative;  // like scale: asymmetric floats and quantiles
  std::optional<float> global_scale;  // scale_dtype e4m3: multiplies every scale
  at::Tensor zero_point;              // float32 like scale, undefined where the spec has none; signed as q is
  at::Tensor group_index;             // int32 [in]: group of each input; undefined: i / group_size
  at::Tensor input_multiplier;        // float32 [in]; undefined: none
  std::int64_t hadamard_block = 0;    // inputs rotated together; 0: none
};

// Which scale belongs to which element of a weight [out, in].
struct GroupLayout {
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::int64_t rows = 1;    // rows that share a scale
  std::int64_t width = 1;   // inputs that share a scale
  std::int64_t groups = 1;  // scales of one row
  std::int64_t scale_rows() const { return (out + rows - 1) / rows; }
};
// InputError when the group size does not divide in_features.
GroupLayout group_layout(const QuantSpec& spec, std::int64_t out_features, std::int64_t in_features);

// Reads one group's parameters of `codes`.
GroupParameters group_scale(const LayerCodes& codes, std::int64_t scale_row, std::int64_t group);
// The grid of a whole weight, with its global scale where the spec has one.
WeightGrid grid_of(const at::Tensor& weight, const QuantSpec& spec);
// The scales and zero points of this layout, for set_group_scale to fill; the grid's global scale.
void allocate_scales(LayerCodes& codes, const WeightGrid& grid, const GroupLayout& layout);
void set_group_scale(LayerCodes& codes, std::int64_t scale_row, std::int64_t group,
                     const GroupParameters& value);

// The scale of every group of a contiguous float32 weight, each by itself.
void find_scales(LayerCodes& codes, const at::Tensor& weight, const WeightGrid& grid, const ScaleRule& rule);
// Fills codes.codes: each weight's nearest level under the scales that are there.
void code_nearest(LayerCodes& codes, const at::Tensor& weight, const WeightGrid& grid);
// float32 [out, in]: W'.
at::Tensor dequantise(const LayerCodes& codes, const QuantSpec& spec);

// Weight of a method: float32, CPU, contiguous, finite, [out, in]. InputError when not finite.
at::Tensor checked_weight(const at::Tensor& weight);

}  // namespace bitlaw::quant
