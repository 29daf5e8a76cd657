#include "distill/tasks/tokenizer_task.h"

#include <cmath>
#include <utility>

#include "distill/metrics/token_metrics.h"

namespace bitlaw::distill {
namespace {

constexpr double kSmallestMse = 1e-10;  // an exact reconstruction counts 106 dB

std::optional<CodebookTrainer> make_codebook_trainer(VqTokenizer& tokenizer, std::uint64_t seed) {
  const VqConfig& config = tokenizer.config();
  if (config.codebook != CodebookTraining::ema) {
    return std::nullopt;
  }
  MultiScaleQuantizer& quantizer = tokenizer.quantizer();
  const auto averages = quantizer.codebook_averages();
  return CodebookTrainer({quantizer.codebook().detach(), averages.counts, averages.sums},
                         {seed, config.codebook_decay, config.dead_code_threshold});
}

}  // namespace

TokenizerTask::TokenizerTask(std::shared_ptr<VqTokenizer> tokenizer, std::uint64_t seed, CodebookStart start)
    : tokenizer_(std::move(tokenizer)), codebook_(make_codebook_trainer(*tokenizer_, seed)) {
  if (codebook_ && start == CodebookStart::keep) {
    codebook_->adopt_codes();
  }
}

std::int64_t TokenizerTask::tokens_per_sample() const {
  return token_count(tokenizer_->config().patch_nums);
}

LossTerms TokenizerTask::loss(const data::Batch& batch) {
  const at::Tensor features = tokenizer_->features(batch.images).to(at::kFloat);
  const MultiScaleQuantizer::TrainOutput output = tokenizer_->quantizer().train_forward(features);
  const at::Tensor decoded = tokenizer_->decode_unclamped(output.quantised).to(at::kFloat);
  const at::Tensor reconstruction = at::mse_loss(decoded, batch.images);
  LossTerms loss{reconstruction + output.loss,
                 {{"reconstruction", reconstruction.detach()}, {"commitment", output.loss.detach()}}};
  if (codebook_) {
    pending_.merge(
        codebook_->collect({output.assigned_inputs, output.tokens.flatten(), batch.sample_ids, batch.step}));
    loss.terms.emplace_back("codes_alive",
                            at::scalar_tensor(codebook_->alive_share(), loss.total.detach().options()));
  }
  return loss;
}

quant::Statistics TokenizerTask::take_statistics() {
  return std::exchange(pending_, {});
}

void TokenizerTask::end_step(const quant::Statistics& reduced, std::int64_t /*step*/) {
  if (codebook_) {
    codebook_->update(reduced);
  }
}

quant::Statistics TokenizerTask::evaluate(const data::Batch& batch) {
  const at::NoGradGuard no_grad;
  const at::Tensor tokens = tokenizer_->encode(batch.images);
  const auto last = static_cast<std::int64_t>(tokenizer_->config().patch_nums.size()) - 1;
  const at::Tensor decoded = tokenizer_->decode(tokenizer_->quantizer().accumulate(tokens, last));
  const at::Tensor mse_B =
      (decoded.to(at::kDouble) - batch.images.to(at::kDouble)).square().flatten(1).mean(1);
  const at::Tensor psnr_B = (4.0 / mse_B.clamp_min(kSmallestMse)).log10() * 10.0;
  quant::Statistics sums;
  sums.add("mse_sum", exact_summand(mse_B.sum().item<double>()));
  sums.add("psnr_sum", exact_summand(psnr_B.sum().item<double>()));
  sums.add(
      "code_counts",
      at::bincount(tokens.flatten().to(at::kCPU), {}, tokenizer_->config().codebook_size).to(at::kDouble));
  sums.add("samples", static_cast<double>(batch.size()));
  return sums;
}

std::vector<std::pair<std::string, double>> TokenizerTask::report(const quant::Statistics& merged) const {
  const double samples = merged.scalar("samples");
  const at::Tensor counts = merged.at("code_counts");
  const at::Tensor share = counts / counts.sum();
  const double entropy = -at::xlogy(share, share).sum().item<double>();
  return {{"mse", merged.scalar("mse_sum") / samples},
          {"psnr", merged.scalar("psnr_sum") / samples},
          {"codebook_usage", counts.gt(0.0).to(at::kDouble).mean().item<double>()},
          {"perplexity", std::exp(entropy)}};
}

}  // namespace bitlaw::distill
