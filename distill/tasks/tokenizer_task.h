// Training of the multi-scale VQ tokenizer.
//
// loss = mean squared error of the reconstruction (pixels in [-1, 1]) + the quantiser's loss (commitment and,
// for a codebook trained by gradient, its own term; both pull the phi convolutions). With vq.codebook: ema a
// CodebookTrainer moves the codes and keeps them alive, through the trainer's reduced Statistics; with
// gradient the optimiser moves them and none is revived. There is no perceptual and no adversarial term.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "distill/models/vq_tokenizer.h"
#include "distill/task.h"
#include "distill/tasks/codebook_trainer.h"

namespace bitlaw::distill {

enum class CodebookStart {
  from_data,  // the first step fills the codebook with vectors of its batch
  keep        // the codes are good already: weights came from elsewhere
};

// Terms: reconstruction, commitment and, with ema, codes_alive (share of the codes whose averaged count
// reaches the threshold). Figures of evaluate(): mse and psnr of pixels clamped to [-1, 1] (psnr: mean over
// images of 10 log10(4 / mse of the image)), codebook_usage (share of the codes that occur), perplexity (exp
// of the entropy of the codes).
class TokenizerTask final : public Task {
 public:
  TokenizerTask(std::shared_ptr<VqTokenizer> tokenizer, std::uint64_t seed, CodebookStart start);

  LossTerms loss(const data::Batch& batch) override;
  torch::nn::Module& model() override { return *tokenizer_; }
  quant::Statistics take_statistics() override;
  void end_step(const quant::Statistics& reduced, std::int64_t step) override;
  quant::Statistics evaluate(const data::Batch& batch) override;
  std::vector<std::pair<std::string, double>> report(const quant::Statistics& merged) const override;
  std::int64_t tokens_per_sample() const override;

 private:
  std::shared_ptr<VqTokenizer> tokenizer_;
  std::optional<CodebookTrainer> codebook_;  // ema only
  quant::Statistics pending_;
};

}  // namespace bitlaw::distill
