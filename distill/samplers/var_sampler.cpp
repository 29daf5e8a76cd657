// One scale after another: logits of both halves, guidance, filter, draw, features of the next scale.
#include "distill/samplers/var_sampler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "data/seed.h"
#include "distill/not_finite_error.h"
#include "distill/samplers/token_filter.h"

namespace bitlaw::distill {

namespace {

std::span<const float> row_of(const at::Tensor& rows_NV, std::int64_t row) {
  const auto width = static_cast<std::size_t>(rows_NV.size(1));
  return {rows_NV.const_data_ptr<float>() + static_cast<std::size_t>(row) * width, width};
}

std::span<float> mutable_row_of(at::Tensor& rows_NV, std::int64_t row) {
  const auto width = static_cast<std::size_t>(rows_NV.size(1));
  return {rows_NV.mutable_data_ptr<float>() + static_cast<std::size_t>(row) * width, width};
}

// Filtering and drawing are branches over sorted rows: done on the CPU wherever the model lives.
at::Tensor on_cpu_as_rows(const at::Tensor& logits) {
  return logits.detach().to(at::kCPU, at::kFloat).contiguous().view({-1, logits.size(-1)});
}

// Scales at which guidance has weight 0 need no unconditional half, but its cache must be filled: the batch
// is doubled unless there is no guidance at all.
struct Guidance {
  double cfg;
  std::int64_t scales;

  bool on() const { return cfg != 0.0 && scales > 1; }
  double at(std::int64_t scale) const {
    return on() ? cfg * static_cast<double>(scale) / static_cast<double>(scales - 1) : 0.0;
  }
};

at::Tensor guided(const at::Tensor& logits, double t, std::int64_t batch) {
  const at::Tensor conditional = logits.narrow(0, 0, batch);
  if (logits.size(0) == batch) return conditional;
  return conditional * (1 + t) - logits.narrow(0, batch, batch) * t;
}

// A draw from NaN would be a token like any other, and the picture would not show it.
void require_finite(const at::Tensor& logits_BTV, std::int64_t scale, std::int64_t first_sample_id) {
  const at::Tensor finite_B = logits_BTV.isfinite().flatten(1).all(1);
  if (!finite_B.all().item<bool>()) {
    const std::int64_t sample = first_sample_id + finite_B.logical_not().nonzero()[0].item<std::int64_t>();
    throw NotFiniteError("logits of sample " + std::to_string(sample) + " at scale " + std::to_string(scale) +
                         " [the network computes NaN or infinity, so tokens drawn from it mean nothing]; "
                         "sample in fp32, and look at the weights that it was made from");
  }
}

// Tokens int64 [B, T] of one scale whose first token stands at `position`.
at::Tensor draw_tokens(const at::Tensor& logits_BTV, const SamplerSettings& settings,
                       std::int64_t first_sample_id, std::int64_t position) {
  const std::int64_t batch = logits_BTV.size(0), count = logits_BTV.size(1);
  const at::Tensor rows_NV = on_cpu_as_rows(logits_BTV);
  const TokenFilter filter{settings.top_k, settings.top_p};
  at::Tensor tokens_BT = at::empty({batch, count}, at::kLong);
  std::int64_t* tokens = tokens_BT.mutable_data_ptr<std::int64_t>();
  std::vector<float> probabilities(static_cast<std::size_t>(rows_NV.size(1)));
  std::vector<std::int32_t> scratch;
  for (std::int64_t row = 0; row < batch * count; ++row) {
    const data::RandomKey key{.seed = settings.seed,
                              .purpose = data::Purpose::sampling,
                              .step = 0,
                              .sample = static_cast<std::uint64_t>(first_sample_id + row / count)};
    const double uniform = data::uniform(key, static_cast<std::uint64_t>(position + row % count));
    filter_row(row_of(rows_NV, row), filter, probabilities, scratch);
    tokens[row] = draw(probabilities, uniform);
  }
  return tokens_BT.to(logits_BTV.device());
}

at::Tensor doubled(const at::Tensor& x, bool on) {
  return on && x.defined() ? at::cat({x, x}) : x;
}

}  // namespace

at::Tensor filtered_probabilities(const at::Tensor& logits, std::int64_t top_k, double top_p) {
  const at::Tensor rows_NV = on_cpu_as_rows(logits);
  at::Tensor probabilities_NV = at::empty_like(rows_NV);
  std::vector<std::int32_t> scratch;
  for (std::int64_t row = 0; row < rows_NV.size(0); ++row)
    filter_row(row_of(rows_NV, row), {top_k, top_p}, mutable_row_of(probabilities_NV, row), scratch);
  return probabilities_NV.view(logits.sizes()).to(logits.device());
}

SampleResult sample(Var& model, VqTokenizer& tokenizer, const at::Tensor& labels_B,
                    const SamplerSettings& settings, std::int64_t first_sample_id,
                    const ScaleObserver& observer) {
  const at::NoGradGuard no_grad;
  const auto& patch_nums = model.shape().patch_nums;
  const std::int64_t batch = labels_B.size(0), scales = static_cast<std::int64_t>(patch_nums.size());
  const Guidance guidance{settings.cfg, scales};
  const at::Tensor dropped_B = at::full_like(labels_B, model.shape().num_classes);
  const at::Tensor labels = guidance.on() ? at::cat({labels_B, dropped_B}) : labels_B;
  const MultiScaleQuantizer& quantizer = tokenizer.quantizer();
  KvCache cache;
  std::vector<at::Tensor> tokens;
  at::Tensor fhat, input;
  std::int64_t position = 0;
  for (std::int64_t k = 0; k < scales; ++k) {
    const at::Tensor both_BTV = model.forward_scale(labels, doubled(input, guidance.on()), k, cache);
    const at::Tensor logits_BTV = guided(both_BTV, guidance.at(k), batch);
    require_finite(logits_BTV, k, first_sample_id);
    tokens.push_back(draw_tokens(logits_BTV, settings, first_sample_id, position));
    if (observer) observer(k, logits_BTV, tokens.back());
    position += tokens.back().size(1);
    fhat = quantizer.add_scale(fhat, tokens.back(), k);
    if (k + 1 < scales) input = quantizer.next_input(fhat, k);
  }
  return {at::cat(tokens, 1), (tokenizer.decode(fhat) + 1) / 2};
}

}  // namespace bitlaw::distill
