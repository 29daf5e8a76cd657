#include "quant/methods/method_plan.h"

#include <algorithm>
#include <bit>
#include <string>

#include "data/formats/input_errors.h"
#include "quant/input_plan.h"

namespace bitlaw::quant {

namespace {

using data::InputError;

std::string method_with_spec(const QuantConfig& config, const QuantSpec& spec) {
  return std::string(data::enum_name(config.method)) + " with spec " + spec.to_string();
}

void check_part_of_row(const QuantConfig& config, const QuantSpec& spec) {
  const bool needs_parts =
      config.method == Method::hqq || config.method == Method::omniquant || config.method == Method::awq;
  const Strategy strategy = spec.fields().strategy;
  if (needs_parts && strategy != Strategy::group && strategy != Strategy::channel) {
    throw InputError(method_with_spec(config, spec), "its ranges are those of parts of rows",
                     "use strategy group or channel");
  }
}

void check_order(const QuantConfig& config, const QuantSpec& spec) {
  if (config.method == Method::gptq && config.calibration.act_order && !config.calibration.static_groups &&
      spec.fields().strategy == Strategy::block) {
    throw InputError("calibration.act_order with spec " + spec.to_string(),
                     "groups that follow the order of rounding are no blocks of neighbouring inputs",
                     "set quant.calibration.static_groups: true");
  }
}

void check_hqq(const QuantConfig& config, const QuantSpec& spec) {
  if (config.method != Method::hqq) {
    return;
  }
  if (!spec.has_zero_point() || spec.fields().zero_point_dtype != ZeroPointType::float16) {
    throw InputError(
        method_with_spec(config, spec),
        "HQQ optimises real-valued zero points, which only asymmetric integers with float16 zero "
        "points can store",
        "set symmetric: false and zero_point_dtype: float16");
  }
}

void check_omniquant(const QuantConfig& config, const QuantSpec& spec) {
  if (config.method != Method::omniquant) {
    return;
  }
  if (spec.fields().type != NumberType::integer) {
    throw InputError(method_with_spec(config, spec), "the learned ranges are those of integers",
                     "use type: int, or another method");
  }
  if (spec.fields().scale_dtype == ScaleType::e8m0) {
    throw InputError(method_with_spec(config, spec),
                     "a range that is learned moves a power of two by factors of 2 or not at all",
                     "use another scale_dtype, or another method");
  }
}

void check_scale_search(const QuantConfig& config, const QuantSpec& spec) {
  if (config.scale_search != ScaleSearch::lsq && config.scale_search != ScaleSearch::lsq_plus) {
    return;
  }
  if (spec.fields().type != NumberType::integer || !spec.fields().symmetric ||
      spec.fields().scale_dtype == ScaleType::e8m0) {
    throw InputError("scale_search: " + std::string(data::enum_name(config.scale_search)) + " with spec " +
                         spec.to_string(),
                     "LSQ and LSQ+ state first scales of symmetric integers; e8m0 has a rule of its own",
                     "use scale_search: mse or absmax, or symmetric integers");
  }
}

void check_rotation(const QuantConfig& config, const QuantSpec& spec) {
  if (!has_transform(config, TransformKind::hadamard)) {
    return;
  }
  const std::int64_t block = spec.fields().group_size;
  if (spec.fields().strategy != Strategy::group || block < 2 ||
      !std::has_single_bit(static_cast<std::uint64_t>(block))) {
    throw InputError("transforms: hadamard with spec " + spec.to_string(),
                     "the rotation mixes the inputs of one group, of which there is a power of two",
                     "use strategy group with group_size 16, 32, 64, 128 ...");
  }
}

}  // namespace

bool is_post_training(Method method) {
  return method == Method::rtn || method == Method::gptq || method == Method::awq || method == Method::hqq ||
         method == Method::omniquant || method == Method::block_ap;
}

bool has_learned_scales(Method method) {
  return method == Method::lsq || method == Method::e2e_qp;
}

bool has_transform(const QuantConfig& config, TransformKind kind) {
  return std::find(config.transforms.begin(), config.transforms.end(), kind) != config.transforms.end();
}

bool needs_calibration(const QuantConfig& config) {
  return config.method == Method::gptq || config.method == Method::awq ||
         config.method == Method::omniquant || has_transform(config, TransformKind::smooth);
}

bool looks_at_samples(const QuantConfig& config) {
  return needs_calibration(config) || config.method == Method::block_ap || has_static_inputs(config);
}

std::string what_needs_samples(const QuantConfig& config) {
  if (config.method == Method::none) {
    return "";
  }
  if (config.method != Method::rtn && config.method != Method::hqq) {
    return "quant.method: " + std::string(data::enum_name(config.method));
  }
  if (has_transform(config, TransformKind::smooth)) {
    return "quant.transforms: smooth";
  }
  return has_static_inputs(config) ? "quant.activations.dynamic: false" : "";
}

bool is_calibrated(const QuantConfig& config) {
  return is_post_training(config.method) &&
         (config.method != Method::rtn || !config.transforms.empty() || has_static_inputs(config));
}

LayerPlan layer_plan(const QuantConfig& config, const QuantSpec& spec, std::int64_t in_features) {
  LayerPlan plan;
  const bool frozen = config.method == Method::e2e_qp;
  const bool ordered = config.method == Method::gptq && config.calibration.act_order &&
                       !config.calibration.static_groups && spec.groups(in_features) > 1;
  plan.group_index = ordered || (frozen && spec.fields().strategy == Strategy::group);
  plan.input_multiplier =
      frozen || config.method == Method::awq || has_transform(config, TransformKind::smooth);
  if (config.method == Method::lsq && spec.has_zero_point()) {
    plan.zero_points = config.zero_points;
  }
  plan.hadamard_block = has_transform(config, TransformKind::hadamard) ? spec.fields().group_size : 0;
  return plan;
}

void check_transforms(const QuantConfig& config) {
  if (config.transforms.empty()) {
    return;
  }
  if (!is_post_training(config.method) && config.method != Method::e2e_qp) {
    throw InputError("quant.transforms with quant.method: " + std::string(data::enum_name(config.method)),
                     "layers are transformed when their final codes are made, not in training",
                     "remove quant.transforms, or use a post-training method");
  }
  if (config.method == Method::block_ap) {
    throw InputError("quant.transforms with quant.method: block_ap",
                     "the layers of a block are trained together, each for its input as it comes",
                     "remove quant.transforms, or use rtn, gptq or hqq");
  }
  if (config.method == Method::awq) {
    throw InputError(
        "quant.transforms with quant.method: awq",
        "AWQ searches the multipliers of single input channels itself, and a rotation mixes them",
        "remove quant.transforms, or use rtn, gptq or hqq");
  }
  if (std::count(config.transforms.begin(), config.transforms.end(), config.transforms.front()) > 1 ||
      config.transforms.size() > 2) {
    throw InputError("quant.transforms names one twice", "each is done once, smooth before hadamard",
                     "name each once");
  }
}

void check_method(const QuantConfig& config, const QuantSpec& spec) {
  data::ErrorCollector problems;
  for (const auto check :
       {check_scale_search, check_hqq, check_omniquant, check_part_of_row, check_order, check_rotation}) {
    problems.collect([&] { check(config, spec); });
  }
  problems.throw_if_any();
}

}  // namespace bitlaw::quant
