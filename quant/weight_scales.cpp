#include "quant/weight_scales.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <span>
#include <vector>

#include "quant/affine.h"
#include "quant/block_format.h"
#include "quant/scale_search.h"

namespace bitlaw::quant {

namespace {

template <class T>
void copy_into(const std::vector<T>& from, const at::Tensor& into, std::int64_t first) {
  if (into.defined()) {
    std::copy(from.begin(), from.end(), into.mutable_data_ptr<float>() + first);
  }
}

}  // namespace

// Over blocks of rows; a scale of the whole weight needs all of it at once.
WeightScales find_weight_scales(const QuantSpec& spec, const at::Tensor& weight, ScaleSearch search) {
  const std::int64_t in = weight.size(1);
  const std::int64_t groups = spec.groups(in);
  const std::int64_t height = spec.group_height(weight.size(0));
  const std::int64_t block = std::max<std::int64_t>(height, 16 / height * height);
  const at::Tensor empty = at::empty({spec.scale_rows(weight.size(0)), groups});
  WeightScales all{empty, spec.has_zero_point() ? at::empty_like(empty) : at::Tensor(),
                   spec.has_negative_scale() ? at::empty_like(empty) : at::Tensor(), std::nullopt};
  const std::span<const float> w{weight.const_data_ptr<float>(), static_cast<std::size_t>(weight.numel())};
  SearchOptions options(search);
  if (spec.has_global_scale()) {
    options.global_scale = all.global_scale = global_scale_of_amax(amax_of(w), spec);
  }
  at::parallel_for(0, (weight.size(0) + block - 1) / block, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t row = i * block;
      const std::int64_t rows = std::min(block, weight.size(0) - row);
      const AffineParameters found =
          find_parameters(w.subspan(static_cast<std::size_t>(row * in), static_cast<std::size_t>(rows * in)),
                          rows, in, spec, options);
      const std::int64_t at = row / height * groups;
      copy_into(found.scale, all.scale, at);
      copy_into(found.scale_negative, all.scale_negative, at);
      if (found.zero_point_real.empty()) {
        copy_into(found.zero_point, all.zero_point, at);
      } else {
        copy_into(found.zero_point_real, all.zero_point, at);
      }
    }
  });
  return all;
}

}  // namespace bitlaw::quant
