#include "quant/weight_scales.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <span>
#include <vector>

#include "quant/affine.h"
#include "quant/block_format.h"
#include "quant/kernels/absmax_scales.h"
#include "quant/scale_search.h"

namespace bitlaw::quant {

namespace {

template <class T>
void copy_into(const std::vector<T>& from, const at::Tensor& into, std::int64_t first) {
  if (into.defined()) {
    std::copy(from.begin(), from.end(), into.mutable_data_ptr<float>() + first);
  }
}

std::span<float> span_of(const at::Tensor& x) {
  return {x.mutable_data_ptr<float>(), static_cast<std::size_t>(x.numel())};
}

// Two levels by absmax read the weight once: the global scale and all others follow from the amaxes of
// groups.
void find_two_levels(const QuantSpec& spec, std::span<const float> w, WeightScales& all) {
  const std::span<float> scales = span_of(all.scale);
  const std::size_t width = w.size() / scales.size();
  constexpr std::int64_t kElementsPerTask = 1 << 16;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementsPerTask / static_cast<std::int64_t>(width));
  at::parallel_for(0, all.scale.numel(), grain, [&](std::int64_t first, std::int64_t last) {
    const auto begin = static_cast<std::size_t>(first);
    const auto count = static_cast<std::size_t>(last - first);
    if (!group_amaxes(w.subspan(begin * width, count * width), width, scales.subspan(begin, count))) {
      throw_not_finite();
    }
  });
  all.global_scale = global_scale_of_amax(amax_of(scales), spec);
  if (!absmax_scales(absmax_rule(spec, *all.global_scale), scales, 1, {scales, {}, {}})) {
    throw_not_finite();
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
  if (spec.has_global_scale() && search == ScaleSearch::absmax && spec.fields().type != NumberType::ternary) {
    find_two_levels(spec, w, all);
    return all;
  }
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
