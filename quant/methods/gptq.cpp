// GPTQ, row by row within a block of inputs and by one matrix product between blocks.
#include "quant/methods/gptq.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "data/formats/input_error.h"
#include "quant/methods/method_plan.h"

namespace bitlaw::quant {

namespace {

constexpr std::int64_t kLeaf = 128;        // triangles up to this size are inverted by one solve
constexpr std::int64_t kRowsPerTask = 16;  // of a block

// Inverts the upper triangular matrix in place, by halves: inv [A B; 0 D] = [A' -A' B D'; 0 D'].
void invert_upper(const at::Tensor& triangle) {
  const std::int64_t size = triangle.size(0);
  if (size <= kLeaf) {
    triangle.copy_(at::linalg_solve_triangular(triangle, at::eye(size, triangle.options()), /*upper=*/true));
    return;
  }
  const std::int64_t half = size / 2;
  const at::Tensor a = triangle.slice(0, 0, half).slice(1, 0, half);
  const at::Tensor b = triangle.slice(0, 0, half).slice(1, half);
  const at::Tensor d = triangle.slice(0, half).slice(1, half);
  const at::Tensor right = at::linalg_solve_triangular(d, b, /*upper=*/true, /*left=*/false);
  b.copy_(at::linalg_solve_triangular(a, right, /*upper=*/true).neg_());
  invert_upper(a);
  invert_upper(d);
}

// The layer as GPTQ works on it: inputs in the order in which they are rounded.
struct Problem {
  GroupLayout layout;
  at::Tensor order;   // int64 [in]: input at each position
  at::Tensor weight;  // float32 [out, in], updated as rounding goes on
  at::Tensor upper;   // float32 [in, in]: U
};

// Positions first .. last of the order, and what is known of them.
struct Block {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::vector<std::int64_t> group;  // of each position
};

// Columns in the order in which they are rounded; shares memory when the order is that of the inputs.
at::Tensor in_order(const at::Tensor& x, const at::Tensor& order, const GptqOptions& options) {
  return options.act_order ? x.index_select(1, order) : x;
}

// Second moments with the dead inputs and the damping taken care of. A new tensor.
at::Tensor damped_moments(const at::Tensor& gram, const at::Tensor& dead, double damping) {
  at::Tensor moments = gram.clone();
  const at::Tensor diagonal = moments.diagonal();
  diagonal.masked_fill_(dead, 1.0);
  diagonal.add_(diagonal.mean() * damping);
  return moments;
}

Problem make_problem(const at::Tensor& weight, const InputStatistics& inputs, const QuantSpec& spec,
                     const GptqOptions& options) {
  Problem problem;
  problem.layout = group_layout(spec, weight.size(0), weight.size(1));
  const at::Tensor dead = inputs.gram.diagonal().eq(0.0);
  // A dead input counts like one of second moment 1 in the order, as in the authors' code.
  const at::Tensor diagonal = inputs.gram.diagonal().masked_fill(dead, 1.0);
  problem.order = options.act_order ? at::argsort(diagonal, /*stable=*/true, 0, /*descending=*/true)
                                    : at::arange(problem.layout.in, at::kLong);
  at::Tensor moments = damped_moments(inputs.gram, dead, options.damping);
  if (options.act_order) {
    moments = moments.index_select(0, problem.order);
  }
  problem.weight = in_order(weight.masked_fill(dead.unsqueeze(0), 0.0), problem.order, options).contiguous();
  problem.upper = inverse_upper_factor(in_order(moments, problem.order, options));
  return problem;
}

bool groups_follow_order(const Problem& problem, const GptqOptions& options) {
  return problem.layout.groups > 1 && !options.static_groups;
}

// Scales that are found during rounding may be larger than those of the original weights.
WeightGrid grid_with_room(const at::Tensor& original, const QuantSpec& spec, const Problem& problem,
                          const GptqOptions& options) {
  const WeightGrid grid = grid_of(original, spec);
  const bool grows = spec.has_global_scale() && groups_follow_order(problem, options);
  return grows ? WeightGrid(spec, 2.0F * grid.global_scale()) : grid;
}

void check_options(const QuantSpec& spec, const GptqOptions& options) {
  QuantConfig config;
  config.method = Method::gptq;
  config.calibration.act_order = options.act_order;
  config.calibration.static_groups = options.static_groups;
  check_method(config, spec);
}

Block make_block(const Problem& problem, const GptqOptions& options, std::int64_t first) {
  Block block{first, std::min(problem.layout.in, first + options.block), {}};
  const auto* order = problem.order.const_data_ptr<std::int64_t>();
  for (std::int64_t i = first; i < block.last; ++i) {
    block.group.push_back((groups_follow_order(problem, options) ? i : order[i]) / problem.layout.width);
  }
  return block;
}

// Scales of the groups whose first input lies in the block, from the weights as they are now.
void find_block_scales(const Problem& problem, const Block& block, const WeightGrid& grid,
                       const ScaleRule& rule, LayerCodes& codes) {
  const std::int64_t width = problem.layout.width;
  for (std::int64_t group = (block.first + width - 1) / width; group * width < block.last; ++group) {
    LayerCodes found;
    find_scales(found, problem.weight.slice(1, group * width, (group + 1) * width).contiguous(), grid, rule);
    const auto take = [group](const at::Tensor& into, const at::Tensor& from) {
      if (from.defined()) {
        into.select(1, group).copy_(from.select(1, 0));
      }
    };
    take(codes.scale, found.scale);
    take(codes.scale_negative, found.scale_negative);
    take(codes.zero_point, found.zero_point);
  }
}

// Rounds the inputs of a block in one row; `errors` gets (w - q) / U_jj of each.
void round_row(const Problem& problem, const Block& block, const WeightGrid& grid, LayerCodes& codes,
               std::int64_t row, float* errors) {
  const std::int64_t in = problem.layout.in;
  const std::int64_t count = block.last - block.first;
  const auto* order = problem.order.const_data_ptr<std::int64_t>();
  const auto* w = problem.weight.const_data_ptr<float>() + row * in + block.first;
  const auto* upper = problem.upper.const_data_ptr<float>() + block.first * in + block.first;
  auto* into = codes.codes.mutable_data_ptr<std::uint8_t>() + row * in;
  std::vector<float> current(w, w + count);
  float* const rest = current.data();
  for (std::int64_t j = 0; j < count; ++j) {
    const GroupParameters scale =
        group_scale(codes, row / problem.layout.rows, block.group[static_cast<std::size_t>(j)]);
    const std::uint8_t code = grid.code(rest[j], scale);
    into[order[block.first + j]] = code;
    const float* const row_of_upper = upper + j * in;
    const float error = (rest[j] - grid.value(code, scale)) / row_of_upper[j];
    errors[j] = error;
    for (std::int64_t k = j + 1; k < count; ++k) {
      rest[k] -= error * row_of_upper[k];
    }
  }
}

void round_block(const Problem& problem, const Block& block, const WeightGrid& grid, LayerCodes& codes) {
  const std::int64_t count = block.last - block.first;
  const at::Tensor errors = at::empty({problem.layout.out, count});
  auto* into = errors.mutable_data_ptr<float>();
  at::parallel_for(0, problem.layout.out, kRowsPerTask, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row) {
      round_row(problem, block, grid, codes, row, into + row * count);
    }
  });
  if (block.last < problem.layout.in) {
    at::Tensor rest = problem.weight.slice(1, block.last);
    rest.addmm_(errors, problem.upper.slice(0, block.first, block.last).slice(1, block.last), 1, -1);
  }
}

at::Tensor group_index_of(const Problem& problem) {
  at::Tensor index = at::empty({problem.layout.in}, at::kInt);
  auto* into = index.mutable_data_ptr<std::int32_t>();
  const auto* order = problem.order.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < problem.layout.in; ++i) {
    into[order[i]] = static_cast<std::int32_t>(i / problem.layout.width);
  }
  return index;
}

}  // namespace

at::Tensor inverse_upper_factor(const at::Tensor& moments) {
  const at::Tensor reversed = moments.flip({0, 1});
  auto [lower, info] = at::linalg_cholesky_ex(reversed);
  if (info.item<int>() != 0) {
    throw data::InputError("gptq: the damped second moments of the input are not positive definite",
                           "their inverse decides how errors are made up for",
                           "raise calibration.damping, or take more samples");
  }
  at::Tensor upper = lower.to(at::kFloat).flip({0, 1}).contiguous();  // the factor came by columns
  invert_upper(upper);
  return upper;
}

LayerCodes gptq(const at::Tensor& weight, const InputStatistics& inputs, const QuantSpec& spec,
                const GptqOptions& options) {
  const at::NoGradGuard no_grad;
  check_options(spec, options);
  const at::Tensor original = checked_weight(weight);
  TORCH_CHECK(inputs.in_features() == original.size(1), "statistics of ", inputs.in_features(),
              " inputs for a weight ", original.sizes());
  const Problem problem = make_problem(original, inputs, spec, options);
  const WeightGrid grid = grid_with_room(original, spec, problem, options);
  LayerCodes codes;
  codes.codes = at::empty(original.sizes(), at::kByte);
  if (problem.layout.groups == 1) {
    find_scales(codes, original, grid, options.scales);
  } else if (options.static_groups) {
    find_scales(codes, original.masked_fill(inputs.gram.diagonal().eq(0.0).unsqueeze(0), 0.0), grid,
                options.scales);
  } else {
    allocate_scales(codes, grid, problem.layout);
  }
  for (std::int64_t first = 0; first < problem.layout.in; first += options.block) {
    const Block block = make_block(problem, options, first);
    if (groups_follow_order(problem, options)) {
      find_block_scales(problem, block, grid, options.scales, codes);
    }
    round_block(problem, block, grid, codes);
  }
  if (options.act_order && groups_follow_order(problem, options)) {
    codes.group_index = group_index_of(problem);
  }
  return codes;
}

}  // namespace bitlaw::quant
