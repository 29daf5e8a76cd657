#include "quant/observer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "quant/fake_quant_function.h"
#include "quant/float_format.h"
#include "quant/histogram.h"

namespace bitlaw::quant {

namespace {

// Zero is always inside.
struct ObservedRange {
  float lowest = 0.0F;
  float highest = 0.0F;
};

bool needs_histogram(ObserverKind kind) {
  return kind == ObserverKind::percentile || kind == ObserverKind::mse;
}

ObservedRange minmax_of(const std::string& name, const Statistics& seen) {
  return {static_cast<float>(std::min(0.0, seen.scalar(name + ".minimum"))),
          static_cast<float>(std::max(0.0, seen.scalar(name + ".maximum")))};
}

std::span<const double> histogram_of(const std::string& name, const Statistics& seen) {
  return {seen.at(name + ".histogram").const_data_ptr<double>(), kHistogramBins};
}

ObservedRange percentile_range(const ObserverOptions& options, std::span<const double> counts,
                               const QuantSpec& spec) {
  const double outside = 1.0 - options.percentile / 100.0;
  if (!spec.fields().symmetric) {
    return {static_cast<float>(std::min(0.0, histogram_quantile(counts, outside / 2))),
            static_cast<float>(std::max(0.0, histogram_quantile(counts, 1.0 - outside / 2)))};
  }
  std::vector<double> magnitudes(counts.begin(), counts.end());
  for (int bin = 0; bin < kHistogramSide; ++bin) {  // fold the negative side onto the positive one
    const auto from = static_cast<std::size_t>(bin);
    magnitudes[static_cast<std::size_t>(2 * kHistogramSide - bin)] += magnitudes[from];
    magnitudes[from] = 0.0;
  }
  const auto amax = static_cast<float>(histogram_quantile(magnitudes, options.percentile / 100.0));
  return {-amax, amax};
}

// The scale that find_parameters gives a tensor with these extremes.
StaticScale scale_of_range(const ObservedRange& range, const QuantSpec& spec) {
  const std::array<float, 2> ends = {range.lowest, range.highest};
  const AffineParameters found = find_parameters(ends, 1, 2, spec, ScaleSearch::absmax);
  return {found.scale[0], found.zero_point.empty() ? std::int8_t{0} : found.zero_point[0]};
}

float seen_through(float x, const QuantSpec& spec, const StaticScale& scale) {
  if (spec.fields().type == NumberType::floating) {
    return round_to_format(x / scale.scale, *spec.fields().format) * scale.scale;
  }
  return level(code_value(x, scale.scale, scale.zero_point, spec), scale.scale, scale.zero_point, spec);
}

// Expected squared error, the values of a bin spread evenly over it.
double expected_error(std::span<const double> counts, const QuantSpec& spec, const StaticScale& scale) {
  constexpr int kPoints = 4;
  double total = 0.0;
  for (int bin = 0; bin < kHistogramBins; ++bin) {
    const double count = counts[static_cast<std::size_t>(bin)];
    if (count == 0.0) {
      continue;
    }
    const BinEdges edges = histogram_edges(bin);
    double sum = 0.0;
    for (int point = 0; point < kPoints; ++point) {
      const double x = edges.lowest + (edges.highest - edges.lowest) * (point + 0.5) / kPoints;
      const double error = static_cast<double>(seen_through(static_cast<float>(x), spec, scale)) - x;
      sum += error * error;
    }
    total += count * sum / kPoints;
  }
  return total;
}

// Which ends of the range a search moves.
struct MovingEnds {
  bool lowest = true;
  bool highest = true;
};

ObservedRange least_error(const ObservedRange& range, MovingEnds ends, std::span<const double> counts,
                          const QuantSpec& spec) {
  ObservedRange best = range;
  double least = expected_error(counts, spec, scale_of_range(range, spec));
  for (int percent = 99; percent > 20; --percent) {
    const float ratio = static_cast<float>(percent) / 100.0F;
    const ObservedRange candidate{range.lowest * (ends.lowest ? ratio : 1.0F),
                                  range.highest * (ends.highest ? ratio : 1.0F)};
    const double error = expected_error(counts, spec, scale_of_range(candidate, spec));
    if (error < least) {
      least = error;
      best = candidate;
    }
  }
  return best;
}

StaticScale scale_of_least_error(const ObservedRange& range, std::span<const double> counts,
                                 const QuantSpec& spec) {
  if (spec.fields().symmetric) {
    return scale_of_range(least_error(range, {}, counts, spec), spec);
  }
  const ObservedRange upper = least_error(range, {false, true}, counts, spec);
  return scale_of_range(least_error(upper, {true, false}, counts, spec), spec);
}

at::Tensor counts_of(const at::Tensor& values) {
  at::Tensor counts = at::zeros({kHistogramBins}, at::kDouble);
  auto* count = counts.mutable_data_ptr<double>();
  const auto* x = values.const_data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    count[histogram_bin(x[i])] += 1.0;
  }
  return counts;
}

// float32 values of x, NaN and infinity as zeros: they are counted, and refused when the counts of all ranks
// are there. An error of one rank would leave the others waiting for its counts.
at::Tensor finite_values(const std::string& name, const at::Tensor& x, Statistics& into) {
  const at::Tensor values = x.detach().to(at::kFloat).contiguous();
  const auto [lowest, highest] = at::aminmax(values);  // NaN if any value is
  if (std::isfinite(lowest.item<float>()) && std::isfinite(highest.item<float>())) {
    into.add(name + ".not_finite", 0.0);
    return values;
  }
  const at::Tensor finite = at::isfinite(values);
  into.add(name + ".not_finite", static_cast<double>(values.numel()) - finite.sum().item<double>());
  return values.where(finite, at::zeros_like(values));
}

void check_seen(const std::string& name, const Statistics& seen) {
  if (!seen.contains(name + ".minimum")) {
    throw data::InputError("no input of " + name + " was observed",
                           "a static scale follows from what was seen",
                           "calibrate with at least one batch that reaches the layer");
  }
  if (seen.scalar(name + ".not_finite") > 0.0) {
    throw data::InputError("the input of " + name + " holds NaN or infinity", "it has no scale",
                           "start from a state of the run that computes finite numbers");
  }
}

void check_spec(const QuantSpec& spec) {
  TORCH_CHECK(spec.fields().strategy == Strategy::tensor &&
                  (spec.fields().type == NumberType::integer ||
                   (spec.fields().type == NumberType::floating && spec.fields().symmetric)),
              "a static scale of activations as ", spec.to_string());
}

}  // namespace

void observe(const ObserverOptions& options, const std::string& name, const at::Tensor& x, Statistics& into) {
  const at::NoGradGuard no_grad;
  const at::Tensor values = finite_values(name, x, into);
  const auto [lowest, highest] = at::aminmax(values);
  into.minimum(name + ".minimum", lowest);
  into.maximum(name + ".maximum", highest);
  if (options.kind == ObserverKind::moving_average) {
    into.add(name + ".batches", 1.0);
    into.add(name + ".sum_of_minima", lowest);
    into.add(name + ".sum_of_maxima", highest);
  }
  if (needs_histogram(options.kind)) {
    into.add(name + ".histogram", counts_of(values));
  }
}

bool saw_negative(const std::string& name, const Statistics& seen) {
  return seen.scalar(name + ".minimum") < 0.0;
}

StaticScale static_scale(const ObserverOptions& options, const std::string& name, const Statistics& seen,
                         const QuantSpec& spec) {
  check_spec(spec);
  check_seen(name, seen);
  switch (options.kind) {
    case ObserverKind::moving_average: {
      const double batches = seen.scalar(name + ".batches");
      return scale_of_range(
          {static_cast<float>(std::min(0.0, seen.scalar(name + ".sum_of_minima") / batches)),
           static_cast<float>(std::max(0.0, seen.scalar(name + ".sum_of_maxima") / batches))},
          spec);
    }
    case ObserverKind::percentile:
      return scale_of_range(percentile_range(options, histogram_of(name, seen), spec), spec);
    case ObserverKind::mse:
      return scale_of_least_error(minmax_of(name, seen), histogram_of(name, seen), spec);
    case ObserverKind::minmax:
      break;
  }
  return scale_of_range(minmax_of(name, seen), spec);
}

at::Tensor fake_quantise_static(const at::Tensor& x, const QuantSpec& spec, const StaticScale& scale) {
  check_spec(spec);
  FakeQuantInputs inputs;
  inputs.weight = x.reshape({-1, x.size(-1)}).to(at::kFloat).contiguous();
  inputs.scale = at::full({1, 1}, scale.scale);
  if (spec.has_zero_point()) {
    inputs.zero_point = at::full({1, 1}, static_cast<std::int64_t>(scale.zero_point), at::kChar);
  }
  const at::ScalarType type = x.scalar_type() == at::kBFloat16 ? at::kBFloat16 : at::kFloat;
  return fake_quantise(spec, Method::ste, inputs, type).view(x.sizes()).to(x.scalar_type());
}

}  // namespace bitlaw::quant
