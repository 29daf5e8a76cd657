// Scales and codes of one layer, group by group.
#include "quant/methods/layer_codes.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "data/formats/input_error.h"
#include "quant/block_format.h"

namespace bitlaw::quant {

namespace {

constexpr std::int64_t kRowsPerTask = 8;

// Group of input i.
std::vector<std::int32_t> groups_of_inputs(const LayerCodes& codes, const GroupLayout& layout) {
  if (codes.group_index.defined()) {
    const auto* index = codes.group_index.const_data_ptr<std::int32_t>();
    return {index, index + layout.in};
  }
  std::vector<std::int32_t> groups(static_cast<std::size_t>(layout.in));
  for (std::int64_t i = 0; i < layout.in; ++i) {
    groups[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i / layout.width);
  }
  return groups;
}

// The weights of one group, one after the other.
std::vector<float> gather(const at::Tensor& weight, const GroupLayout& layout, std::int64_t scale_row,
                          std::int64_t group) {
  const auto* w = weight.const_data_ptr<float>();
  std::vector<float> values;
  const std::int64_t last_row = std::min(layout.out, (scale_row + 1) * layout.rows);
  const std::int64_t first = group * layout.width;
  const std::int64_t last = std::min(layout.in, first + layout.width);
  for (std::int64_t row = scale_row * layout.rows; row < last_row; ++row) {
    values.insert(values.end(), w + row * layout.in + first, w + row * layout.in + last);
  }
  return values;
}

// Calls body(row, first row's parameters) for every row, in parallel.
template <class Body>
void for_each_row(const LayerCodes& codes, const GroupLayout& layout, const Body& body) {
  at::parallel_for(0, layout.out, kRowsPerTask, [&](std::int64_t first, std::int64_t last) {
    std::vector<GroupParameters> scales(static_cast<std::size_t>(layout.groups));
    for (std::int64_t row = first; row < last; ++row) {
      for (std::int64_t group = 0; group < layout.groups; ++group) {
        scales[static_cast<std::size_t>(group)] = group_scale(codes, row / layout.rows, group);
      }
      body(row, scales);
    }
  });
}

}  // namespace

GroupLayout group_layout(const QuantSpec& spec, std::int64_t out_features, std::int64_t in_features) {
  return {out_features, in_features, spec.group_height(out_features), spec.group_width(in_features),
          spec.groups(in_features)};
}

WeightGrid grid_of(const at::Tensor& weight, const QuantSpec& spec) {
  if (!spec.has_global_scale()) {
    return WeightGrid(spec);
  }
  const float amax = weight.abs().max().item<float>();
  return WeightGrid(spec, global_scale_of_amax(amax, spec));
}

void allocate_scales(LayerCodes& codes, const WeightGrid& grid, const GroupLayout& layout) {
  const QuantSpec& spec = grid.spec();
  codes.scale = at::ones({layout.scale_rows(), layout.groups});
  codes.scale_negative = spec.has_negative_scale() ? at::ones_like(codes.scale) : at::Tensor();
  codes.zero_point = spec.has_zero_point() ? at::zeros_like(codes.scale) : at::Tensor();
  codes.global_scale = spec.has_global_scale() ? std::optional(grid.global_scale()) : std::nullopt;
}

GroupParameters group_scale(const LayerCodes& codes, std::int64_t scale_row, std::int64_t group) {
  const std::int64_t index = scale_row * codes.scale.size(1) + group;
  const auto at = [index](const at::Tensor& values, float otherwise) {
    return values.defined() ? values.const_data_ptr<float>()[index] : otherwise;
  };
  return {at(codes.scale, 1.0F), at(codes.scale_negative, 1.0F), at(codes.zero_point, 0.0F)};
}

void set_group_scale(LayerCodes& codes, std::int64_t scale_row, std::int64_t group,
                     const GroupParameters& value) {
  const std::int64_t index = scale_row * codes.scale.size(1) + group;
  const auto set = [index](const at::Tensor& values, float number) {
    if (values.defined()) {
      values.mutable_data_ptr<float>()[index] = number;
    }
  };
  set(codes.scale, value.scale);
  set(codes.scale_negative, value.scale_negative);
  set(codes.zero_point, value.zero_point);
}

void find_scales(LayerCodes& codes, const at::Tensor& weight, const WeightGrid& grid, const ScaleRule& rule) {
  const GroupLayout layout = group_layout(grid.spec(), weight.size(0), weight.size(1));
  allocate_scales(codes, grid, layout);
  at::parallel_for(0, layout.scale_rows(), kRowsPerTask, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row) {
      for (std::int64_t group = 0; group < layout.groups; ++group) {
        set_group_scale(codes, row, group, grid.find(gather(weight, layout, row, group), rule));
      }
    }
  });
}

void code_nearest(LayerCodes& codes, const at::Tensor& weight, const WeightGrid& grid) {
  const GroupLayout layout = group_layout(grid.spec(), weight.size(0), weight.size(1));
  const std::vector<std::int32_t> groups = groups_of_inputs(codes, layout);
  codes.codes = at::empty(weight.sizes(), weight.options().dtype(at::kByte));
  const auto* w = weight.const_data_ptr<float>();
  auto* into = codes.codes.mutable_data_ptr<std::uint8_t>();
  for_each_row(codes, layout, [&](std::int64_t row, const std::vector<GroupParameters>& scales) {
    for (std::int64_t i = 0; i < layout.in; ++i) {
      const auto group = static_cast<std::size_t>(groups[static_cast<std::size_t>(i)]);
      into[row * layout.in + i] = grid.code(w[row * layout.in + i], scales[group]);
    }
  });
}

at::Tensor dequantise(const LayerCodes& codes, const QuantSpec& spec) {
  const WeightGrid grid(spec, codes.global_scale.value_or(1.0F));
  const GroupLayout layout = group_layout(spec, codes.codes.size(0), codes.codes.size(1));
  const std::vector<std::int32_t> groups = groups_of_inputs(codes, layout);
  at::Tensor values = at::empty(codes.codes.sizes(), codes.scale.options());
  const auto* from = codes.codes.const_data_ptr<std::uint8_t>();
  auto* into = values.mutable_data_ptr<float>();
  for_each_row(codes, layout, [&](std::int64_t row, const std::vector<GroupParameters>& scales) {
    for (std::int64_t i = 0; i < layout.in; ++i) {
      const auto group = static_cast<std::size_t>(groups[static_cast<std::size_t>(i)]);
      into[row * layout.in + i] = grid.value(from[row * layout.in + i], scales[group]);
    }
  });
  return values;
}

at::Tensor checked_weight(const at::Tensor& weight) {
  TORCH_CHECK(weight.is_cpu() && weight.scalar_type() == at::kFloat && weight.dim() == 2,
              "a method quantises a float32 CPU weight [out, in], not ", weight.toString(), " ",
              weight.sizes());
  if (!at::isfinite(weight).all().item<bool>()) {
    throw data::InputError("the weight holds NaN or infinity", "it has no code",
                           "start from a state of the run in which all weights are finite");
  }
  return weight.detach().contiguous();
}

}  // namespace bitlaw::quant
