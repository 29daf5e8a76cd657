// Configuration of the quant section. Names as users of compressed-tensors type them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/formats/field.h"
#include "quant/calibration_config.h"
#include "quant/observer_options.h"
#include "quant/spec.h"

namespace bitlaw::quant {

// none: full precision. Post-training: rtn, gptq, awq, hqq, omniquant, block_ap. Trained: ste, lsq, e2e_qp.
enum class Method { none, rtn, ste, lsq, gptq, awq, hqq, omniquant, block_ap, e2e_qp };
enum class ScaleSearch { absmax, mse, lsq, lsq_plus };
enum class ZeroPointTraining { fixed, learned };
enum class RestType { float32, bfloat16, float16 };
// What training does with the static scale of a layer's inputs: nothing, or learn it
// (quant/input_quantizer.h).
enum class InputMethod { fixed, lsq, lsq_plus, pact };

// A partial spec: what is absent comes from the enclosing one (an override) or from the defaults.
struct SpecConfig {
  std::optional<std::int64_t> num_bits;
  std::optional<NumberType> type;
  std::optional<FloatFormat> format;  // alone, it means type: float
  std::optional<bool> symmetric;
  std::optional<Grid> grid;  // default: half for symmetric 2-bit weights, integer otherwise
  std::optional<Strategy> strategy;
  std::optional<std::int64_t> group_size;
  std::vector<std::int64_t> block_structure;  // empty: unset
  std::optional<ScaleType> scale_dtype;
  std::optional<ZeroPointType> zero_point_dtype;
  std::optional<bool> dynamic;  // activations: scales from each token at run time, or static ones
};

// A spec of inputs, and where a static scale comes from.
struct ActivationConfig : SpecConfig {
  std::optional<InputMethod> method;
  std::optional<ObserverKind> observer;
  std::optional<double> percentile;
};

struct OverrideConfig {
  std::string match;  // pattern of module names, * matches any run of characters
  SpecConfig weights;
};

// Wider codes at the beginning of a training: num_bits[i] until steps[i] updates are made.
struct ProgressiveConfig {
  std::vector<std::int64_t> num_bits;
  std::vector<std::int64_t> steps;
};

struct QuantConfig {
  Method method = Method::none;
  ScaleSearch scale_search = ScaleSearch::mse;
  ZeroPointTraining zero_points = ZeroPointTraining::fixed;
  ProgressiveConfig progressive;
  std::vector<TransformKind> transforms;  // post-training methods only
  SpecConfig weights;
  std::optional<ActivationConfig> activations;
  std::vector<std::string> targets = {"linear"};
  std::vector<std::string> ignore;
  std::vector<OverrideConfig> overrides;
  RestType rest_dtype = RestType::bfloat16;
  CalibrationConfig calibration;
};

template <class Visitor>
void visit_fields(Visitor& visitor, SpecConfig& config) {
  using data::Field;
  visitor(Field{"num_bits", "bits of a code", 2, 8}, config.num_bits);
  visitor(
      Field{"type",
            "kind of number: integers, small floats, quantiles of the normal distribution (NF3, NF4), or -1, "
            "0 and 1"},
      config.type);
  visitor(Field{"format",
                "floating-point format, sets type and num_bits. Unset: by num_bits e1m1, e2m1, e2m2, e2m3 or "
                "e4m3"},
          config.format);
  visitor(Field{"symmetric",
                "false: integers get a zero point beside each scale, floats and quantiles another scale for "
                "negative values. Unset: true"},
          config.symmetric);
  visitor(Field{"grid",
                "levels at integer multiples of the step, or at odd multiples of half a step. Unset: half "
                "for symmetric 2-bit integer weights, else integer"},
          config.grid);
  visitor(
      Field{"strategy",
            "what shares a scale: the whole tensor, an output channel, a group of inputs, a block of outputs "
            "and inputs, or (activations) a token; dynamic groups of activations are those of each token"},
      config.strategy);
  visitor(Field{"group_size",
                "consecutive inputs that share a scale; must divide the inputs of every layer it is for "
                "(strategy: group)",
                1, 65536},
          config.group_size);
  visitor(Field{"block_structure",
                "outputs and inputs of a block; must divide those of every layer it is for (strategy: block)",
                1, 65536},
          config.block_structure);
  visitor(
      Field{"scale_dtype",
            "type in which scales are stored, and to which they are rounded in training; e8m0: powers of two "
            "(MX), e4m3: times one float32 of the tensor (NVFP4). Unset: float16"},
      config.scale_dtype);
  visitor(Field{"zero_point_dtype", "type of zero points; float16: between two levels (HQQ). Unset: int8"},
          config.zero_point_dtype);
  visitor(Field{"dynamic",
                "activations: scales from each token at run time, or (false) one static scale for the whole "
                "input, observed before the first step. Unset: true"},
          config.dynamic);
}

template <class Visitor>
void visit_fields(Visitor& visitor, ActivationConfig& config) {
  using data::Field;
  visit_fields(visitor, static_cast<SpecConfig&>(config));
  visitor(
      Field{"method",
            "dynamic: false, in training: fixed (the observed scale stays), lsq (learned scale), lsq_plus "
            "(learned scale and offset), pact (learned clipping value). Unset: fixed"},
      config.method);
  visitor(
      Field{"observer",
            "dynamic: false: the scale is that of the extremes, of the mean of the batches' extremes, of a "
            "percentile, or the one of least squared error. Unset: mse"},
      config.observer);
  visitor(Field{"percentile", "observer: percentile: how many percent of the values are inside. Unset: 99.99",
                50, 100},
          config.percentile);
}

template <class Visitor>
void visit_fields(Visitor& visitor, OverrideConfig& config) {
  using data::Field;
  visitor(Field{"match", "pattern of names of layers, * matches anything: \"*.fc2\""}, config.match);
  visitor(Field{"weights", "what differs from quant.weights for these modules"}, config.weights);
}

template <class Visitor>
void visit_fields(Visitor& visitor, ProgressiveConfig& config) {
  using data::Field;
  visitor(Field{"num_bits",
                "falling widths before quant.weights.num_bits; a layer with more bits of its own keeps them",
                2, 8},
          config.num_bits);
  visitor(Field{"steps", "rising; the step at which each of these widths ends", 1, 1e12}, config.steps);
}

template <class Visitor>
void visit_fields(Visitor& visitor, QuantConfig& config) {
  using data::Field;
  visitor(
      Field{
          "method",
          "none; after training: rtn (round to nearest), gptq, awq, hqq, omniquant (learned clipping), "
          "block_ap (EfficientQAT's first phase, block by block); in training: ste (straight-through, fixed "
          "scales), lsq (learned scales), e2e_qp (EfficientQAT's second phase: the codes of model.init, "
          "scales alone learned)"},
      config.method);
  visitor(
      Field{"scale_search",
            "initial scales: from the largest absolute value (absmax), of least squared error (mse), or, of "
            "symmetric integers, as LSQ (lsq) or LSQ+ (lsq_plus) have them"},
      config.scale_search);
  visitor(Field{"zero_points",
                "lsq with symmetric: false: initial zero points are kept (fixed), or trained with the scales "
                "(learned)"},
          config.zero_points);
  visitor(Field{"progressive", "more bits at the beginning of a training (lsq, ste)"}, config.progressive);
  visitor(Field{"transforms",
                "what is done to each layer before a post-training method, the input transformed to match: "
                "smooth (SmoothQuant's scales), hadamard (rotation within groups)"},
          config.transforms);
  visitor(Field{"weights", "spec of the weights"}, config.weights);
  visitor(Field{"activations", "spec of the inputs of quantised layers; none leaves them alone"},
          config.activations);
  visitor(Field{"targets", "kinds of layers to quantise: linear"}, config.targets);
  visitor(Field{"ignore",
                "patterns of names of layers that stay unquantised, * matches anything; a pattern that "
                "matches nothing is an error"},
          config.ignore);
  visitor(Field{"overrides", "other specs for some layers; looked at after ignore, the last match wins"},
          config.overrides);
  visitor(Field{"rest_dtype", "type of everything that stays unquantised, in training and in files"},
          config.rest_dtype);
  visitor(Field{"calibration", "post-training methods that look at the layers' inputs"}, config.calibration);
}

// The full spec of weights: `config` over `defaults` over the documented defaults. data::InputError with the
// reason, data::InputErrors when there are several.
QuantSpec weight_spec(const SpecConfig& config, const SpecConfig& defaults = {});
// That of activations: quant/input_plan.h.

// InputError: a width beside a format or a type that has another one.
void check_given_width(const SpecConfig& config);
// InputError: E5M2 with float16 scales.
void check_scale_type(const QuantSpecFields& fields);
// The fields of `config`, what is absent from `enclosing`, else the defaults; grids are left out.
QuantSpecFields merged_fields(const SpecConfig& config, const SpecConfig& enclosing);
// As it is given, or as a group size or a block implies.
std::optional<Strategy> given_strategy(const SpecConfig& config);

}  // namespace bitlaw::quant

template <>
struct bitlaw::data::EnumNames<bitlaw::quant::Method> {
  static constexpr std::string_view names[] = {"none", "rtn", "ste",       "lsq",      "gptq",
                                               "awq",  "hqq", "omniquant", "block_ap", "e2e_qp"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::ScaleSearch> {
  static constexpr std::string_view names[] = {"absmax", "mse", "lsq", "lsq_plus"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::ZeroPointTraining> {
  static constexpr std::string_view names[] = {"fixed", "learned"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::InputMethod> {
  static constexpr std::string_view names[] = {"fixed", "lsq", "lsq_plus", "pact"};
};
template <>
struct bitlaw::data::EnumNames<bitlaw::quant::RestType> {
  static constexpr std::string_view names[] = {"float32", "bfloat16", "float16"};
};
