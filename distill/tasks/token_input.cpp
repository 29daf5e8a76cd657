#include "distill/tasks/token_input.h"

#include <c10/core/impl/LocalDispatchKeySet.h>

#include <utility>

#include "data/seed.h"

namespace bitlaw::distill {

at::Tensor drop_labels(const data::Batch& batch, std::uint64_t seed, double probability,
                       std::int64_t dropped_label) {
  at::Tensor labels =
      batch.labels.to(at::kCPU, at::kLong, /*non_blocking=*/false, /*copy=*/true).contiguous();
  const at::Tensor ids = batch.sample_ids.to(at::kCPU).contiguous();
  auto* label = labels.data_ptr<std::int64_t>();
  const auto* id = ids.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < labels.numel(); ++i) {
    const data::RandomKey key{seed, data::Purpose::label_drop, static_cast<std::uint64_t>(batch.step),
                              static_cast<std::uint64_t>(id[i])};
    if (data::uniform(key, 0) < probability) {
      label[i] = dropped_label;
    }
  }
  return labels.to(batch.labels.device());
}

TokenPreparer::TokenPreparer(std::shared_ptr<VqTokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {
  tokenizer_->eval();
  for (at::Tensor& parameter : tokenizer_->parameters()) {
    parameter.set_requires_grad(false);
  }
}

TokenInput TokenPreparer::prepare(const data::Batch& batch) {
  const at::NoGradGuard no_grad;
  const c10::impl::ExcludeDispatchKeyGuard full_precision(c10::autocast_dispatch_keyset);
  TokenInput input;
  input.labels_B = batch.labels;
  input.tokens_BL = batch.tokens.defined() ? batch.tokens : tokenizer_->encode(batch.images);
  input.var_input_BLE = tokenizer_->quantizer().var_input(input.tokens_BL);
  return input;
}

}  // namespace bitlaw::distill
