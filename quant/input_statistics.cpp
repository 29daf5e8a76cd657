#include "quant/input_statistics.h"

#include <ATen/ATen.h>

#include "data/formats/input_error.h"

namespace bitlaw::quant {

at::Tensor InputStatistics::mean_abs() const {
  return abs_sum / count;
}

double InputStatistics::output_error(const at::Tensor& weight_error) const {
  const at::Tensor error = weight_error.to(at::kDouble);
  const double squares = (at::matmul(error, gram) * error).sum().item<double>();
  return squares / (count * static_cast<double>(error.size(0)));
}

std::int64_t InputStatistics::constant_channels() const {
  constexpr double kRounding = 1e-12;  // of sums of squares in double
  const at::Tensor squares = gram.diagonal();
  const at::Tensor spread = squares - sum * sum / count;
  return spread.le(kRounding * squares).sum().item<std::int64_t>();
}

void observe_input(Statistics& statistics, const std::string& layer, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  const at::Tensor rows = x.detach().reshape({-1, x.size(-1)}).to(at::kDouble);
  const at::Tensor magnitude = rows.abs();
  statistics.add(layer + "/count", static_cast<double>(rows.size(0)));
  statistics.add(layer + "/gram", at::matmul(rows.t(), rows));
  statistics.add(layer + "/sum", rows.sum(0));
  statistics.add(layer + "/abs_sum", magnitude.sum(0));
  statistics.maximum(layer + "/abs_max", magnitude.amax(0));
}

InputStatistics input_statistics(const Statistics& statistics, const std::string& layer) {
  InputStatistics inputs{statistics.scalar(layer + "/count"), statistics.at(layer + "/gram"),
                         statistics.at(layer + "/sum"), statistics.at(layer + "/abs_sum"),
                         statistics.at(layer + "/abs_max")};
  if (!at::isfinite(inputs.gram).all().item<bool>()) {
    throw data::InputError(layer + ": the layer's input is not finite on the calibration samples",
                           "no weight can be fitted to it", "check the data and the model's weights");
  }
  return inputs;
}

InputStatistics multiplied(const InputStatistics& inputs, const at::Tensor& multiplier) {
  const at::Tensor m = multiplier.to(at::kDouble);
  const at::Tensor magnitude = m.abs();
  return {inputs.count, inputs.gram * m.unsqueeze(0) * m.unsqueeze(1), inputs.sum * m,
          inputs.abs_sum * magnitude, inputs.abs_max * magnitude};
}

}  // namespace bitlaw::quant
