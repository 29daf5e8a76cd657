#include "quant/quantizer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <span>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "quant/fake_quant_function.h"
#include "quant/kernels/exponential.h"
#include "quant/learned_scale.h"

namespace bitlaw::quant {

namespace {

std::vector<std::int64_t> scale_shape(const QuantSpec& spec, std::int64_t out, std::int64_t in) {
  return {spec.fields().strategy == Strategy::tensor ? 1 : out, spec.groups(in)};
}

template <class T>
std::span<const T> span_of(const at::Tensor& x) {
  return {x.const_data_ptr<T>(), static_cast<std::size_t>(x.numel())};
}

// find_parameters over blocks of rows, in parallel; a shared scale needs the whole weight at once.
void find_scales(const QuantSpec& spec, const at::Tensor& weight, ScaleSearch search, float* scale,
                 std::int8_t* zero_point) {
  const std::int64_t in = weight.size(1);
  const bool shared = spec.fields().strategy == Strategy::tensor;
  const std::int64_t block = shared ? weight.size(0) : 8;
  const std::span<const float> w = span_of<float>(weight);
  at::parallel_for(0, (weight.size(0) + block - 1) / block, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t row = i * block;
      const std::int64_t rows = std::min(block, weight.size(0) - row);
      const AffineParameters found =
          find_parameters(w.subspan(static_cast<std::size_t>(row * in), static_cast<std::size_t>(rows * in)),
                          rows, in, spec, search);
      std::copy(found.scale.begin(), found.scale.end(), scale + row * spec.groups(in));
      if (zero_point != nullptr) {
        std::copy(found.zero_point.begin(), found.zero_point.end(), zero_point + row * spec.groups(in));
      }
    }
  });
}

void check_finite(const at::Tensor& weight) {
  if (!at::isfinite(weight).all().item<bool>()) {
    throw data::InputError("the weight holds NaN or infinity", "it has no code",
                           "start from a state of the run in which all weights are finite");
  }
}

}  // namespace

Quantizer::Quantizer(const QuantSpec& spec, Method method, std::int64_t out_features,
                     std::int64_t in_features)
    : spec_(spec), method_(method), out_features_(out_features), in_features_(in_features) {
  TORCH_CHECK(method != Method::none, "a quantizer needs a method");
  if (spec.fields().strategy == Strategy::token) {
    throw data::InputError("strategy: token", "a weight has no tokens", "use tensor, channel or group");
  }
  const QuantSpecFields& fields = spec.fields();
  if (fields.type != NumberType::integer || fields.strategy == Strategy::block ||
      fields.zero_point_dtype != ZeroPointType::int8 || bits_of(fields.scale_dtype) == 8) {
    throw data::InputError("weights as " + spec.to_string(), "this format has no quantizer",
                           "use an integer format");
  }
  const std::vector<std::int64_t> shape = scale_shape(spec, out_features, in_features);
  if (method == Method::lsq) {
    scale_state_ = register_parameter("log_scale", at::zeros(shape));
  } else {
    scale_state_ = register_buffer("scale", at::ones(shape));
  }
  if (!spec.fields().symmetric) {
    zero_point_ = register_buffer("zero_point", at::zeros(shape, at::kChar));
  }
}

void Quantizer::check_weight(const at::Tensor& weight) const {
  TORCH_CHECK(weight.is_cpu() && weight.scalar_type() == at::kFloat && weight.dim() == 2 &&
                  weight.size(0) == out_features_ && weight.size(1) == in_features_,
              "a quantizer of a float32 CPU weight [", out_features_, ", ", in_features_, "] got ",
              weight.toString(), " ", weight.sizes());
}

void Quantizer::initialise(const at::Tensor& weight, ScaleSearch search) {
  const at::NoGradGuard no_grad;
  check_weight(weight);
  check_finite(weight);
  const at::Tensor found = at::empty_like(scale_state_).contiguous();
  auto* scale = found.mutable_data_ptr<float>();
  find_scales(spec_, weight.detach().contiguous(), search, scale,
              zero_point_.defined() ? zero_point_.mutable_data_ptr<std::int8_t>() : nullptr);
  if (method_ == Method::lsq) {
    std::transform(scale, scale + found.numel(), scale, log_of_scale);
  }
  scale_state_.copy_(found);
}

at::Tensor Quantizer::scale() const {
  const at::NoGradGuard no_grad;
  if (method_ != Method::lsq) {
    return scale_state_.detach();
  }
  at::Tensor scale = at::empty_like(scale_state_);
  scales_of_logs(scale_state_.const_data_ptr<float>(), scale_state_.numel(), spec_.fields().scale_dtype,
                 scale.mutable_data_ptr<float>());
  return scale;
}

at::Tensor Quantizer::forward(const at::Tensor& weight, at::ScalarType type) {
  check_weight(weight);
  const at::ScalarType kernel_type = type == at::kBFloat16 ? type : at::kFloat;
  const FakeQuantInputs inputs{weight.contiguous(), method_ == Method::lsq ? scale_state_ : at::Tensor(),
                               scale(), zero_point_};
  return fake_quantise(spec_, method_, inputs, kernel_type).to(type);
}

at::Tensor Quantizer::codes(const at::Tensor& weight) {
  const at::NoGradGuard no_grad;
  check_weight(weight);
  check_finite(weight);
  return make_codes(spec_, {weight.detach().contiguous(), {}, scale(), zero_point_});
}

PackedTensor Quantizer::pack(const at::Tensor& weight) {
  const at::Tensor made = codes(weight);
  const at::Tensor scales = scale();
  return quant::pack(
      spec_, out_features_, in_features_, span_of<std::uint8_t>(made), span_of<float>(scales),
      zero_point_.defined() ? span_of<std::int8_t>(zero_point_) : std::span<const std::int8_t>{});
}

at::Tensor fake_quantise_tokens(const at::Tensor& x, const QuantSpec& spec) {
  return fake_quantise_rows(x, spec);
}

}  // namespace bitlaw::quant
