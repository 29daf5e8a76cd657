// The tokenizer's training: learns, keeps its codes alive, and is equal on all ranks.
#include "distill/tasks/tokenizer_task.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/distill/tasks/tiny.h"

namespace bitlaw::distill {
namespace {

using tiny::image_batch;
using tiny::make_tokenizer;
using tiny::value;

double train_step(TokenizerTask& task, tiny::Adam& optimizer, const data::Batch& batch) {
  const LossTerms loss = task.loss(batch);
  loss.total.backward();
  optimizer.step();
  task.end_step(task.take_statistics(), batch.step);
  return value(loss.terms[0].second);
}

std::map<std::string, double> figures_of(TokenizerTask& task, const data::Batch& batch) {
  const auto figures = task.report(task.evaluate(batch));
  return {figures.begin(), figures.end()};
}

TEST(TokenizerTask, ReconstructionImprovesAndTheCodebookDoesNotCollapse) {
  TokenizerTask task(make_tokenizer(), 1, CodebookStart::from_data);
  tiny::Adam optimizer(task.parameters(), 3e-3);
  double first = 0.0;
  double last = 0.0;
  for (std::int64_t step = 0; step < 80; ++step) {
    last = train_step(task, optimizer, image_batch(step * 16 % 96, 16, step));
    first = step == 0 ? last : first;
  }
  EXPECT_LT(last, 0.25 * first);
  const auto figures = figures_of(task, image_batch(0, 96));
  EXPECT_GT(figures.at("codebook_usage"), 0.8);
  EXPECT_GT(figures.at("perplexity"), 5.0);
  EXPECT_LT(figures.at("mse"), 0.25 * first);
}

TEST(TokenizerTask, TermsAreNamedAndAddUp) {
  TokenizerTask task(make_tokenizer(), 1, CodebookStart::from_data);
  const LossTerms loss = task.loss(image_batch(0, 4));
  ASSERT_EQ(loss.terms.size(), 3U);
  EXPECT_EQ(loss.terms[0].first, "reconstruction");
  EXPECT_EQ(loss.terms[1].first, "commitment");
  EXPECT_EQ(loss.terms[2].first, "codes_alive");
  EXPECT_FLOAT_EQ(loss.total.item<float>(),
                  loss.terms[0].second.item<float>() + loss.terms[1].second.item<float>());
  EXPECT_EQ(task.tokens_per_sample(), 21);
}

TEST(TokenizerTask, TheOptimiserLeavesAnAveragedCodebookAlone) {
  TokenizerTask task(make_tokenizer(), 1, CodebookStart::from_data);
  for (const NamedParameter& parameter : task.parameters()) {
    EXPECT_EQ(parameter.name.find("embedding"), std::string::npos) << parameter.name;
  }
  VqConfig config = tiny::vq_config();
  config.codebook = CodebookTraining::gradient;
  auto tokenizer = std::make_shared<VqTokenizer>(config);
  initialise(*tokenizer, 1);
  TokenizerTask by_gradient(tokenizer, 1, CodebookStart::from_data);
  by_gradient.loss(image_batch(0, 4)).total.backward();
  EXPECT_TRUE(tokenizer->quantizer().codebook().grad().defined());
  EXPECT_TRUE(by_gradient.take_statistics().empty());
}

// Rank 0 and rank 1 with half a batch each against one rank with two micro batches: equal bits.
TEST(TokenizerTask, TwoRanksUpdateTheCodebookAsOneDoes) {
  auto one = make_tokenizer();
  auto left = make_tokenizer();
  auto right = make_tokenizer();
  TokenizerTask serial(one, 1, CodebookStart::from_data);
  TokenizerTask rank0(left, 1, CodebookStart::from_data);
  TokenizerTask rank1(right, 1, CodebookStart::from_data);
  for (std::int64_t step = 0; step < 3; ++step) {
    const data::Batch first = image_batch(step * 8, 4, step);
    const data::Batch second = image_batch(step * 8 + 4, 4, step);
    serial.loss(first);
    serial.loss(second);
    serial.end_step(serial.take_statistics(), step);
    rank0.loss(first);
    rank1.loss(second);
    quant::Statistics reduced = rank1.take_statistics();  // the other order
    reduced.merge(rank0.take_statistics());
    rank0.end_step(reduced, step);
    rank1.end_step(reduced, step);
  }
  EXPECT_TRUE(left->quantizer().codebook().equal(one->quantizer().codebook()));
  EXPECT_TRUE(right->quantizer().codebook().equal(one->quantizer().codebook()));
  EXPECT_TRUE(
      left->quantizer().codebook_averages().counts.equal(one->quantizer().codebook_averages().counts));
}

TEST(TokenizerTask, CodesFromElsewhereAreKept) {
  auto tokenizer = make_tokenizer();
  const at::Tensor before = tokenizer->quantizer().codebook().detach().clone();
  TokenizerTask task(tokenizer, 1, CodebookStart::keep);
  task.loss(image_batch(0, 4));
  task.end_step(task.take_statistics(), 0);
  const at::Tensor moved = (tokenizer->quantizer().codebook() - before).abs().amax(1);
  EXPECT_GT(moved.lt(1e-4).sum().item<std::int64_t>(), 0);  // codes that nothing was assigned to stay
  TokenizerTask fresh(tokenizer, 1, CodebookStart::from_data);
  EXPECT_EQ(tokenizer->quantizer().codebook_averages().counts.eq(0.0).sum().item<std::int64_t>(), 0);
}

TEST(TokenizerTask, FiguresByHand) {
  auto tokenizer = make_tokenizer();
  TokenizerTask task(tokenizer, 1, CodebookStart::from_data);
  const data::Batch batch = image_batch(0, 5);
  const at::NoGradGuard no_grad;
  const at::Tensor tokens = tokenizer->encode(batch.images);
  const at::Tensor decoded = tokenizer->decode(tokenizer->quantizer().accumulate(tokens, 2));
  double mse = 0.0;
  double psnr = 0.0;
  for (std::int64_t b = 0; b < 5; ++b) {
    const double error = value((decoded[b] - batch.images[b]).to(at::kDouble).square().mean());
    mse += error / 5.0;
    psnr += 10.0 * std::log10(4.0 / error) / 5.0;
  }
  std::vector<double> counts(16, 0.0);
  for (std::int64_t i = 0; i < tokens.numel(); ++i) {
    counts[static_cast<std::size_t>(tokens.flatten()[i].item<std::int64_t>())] += 1.0 / 105.0;
  }
  double entropy = 0.0;
  double used = 0.0;
  for (const double share : counts) {
    entropy -= share > 0.0 ? share * std::log(share) : 0.0;
    used += share > 0.0 ? 1.0 / 16.0 : 0.0;
  }
  const auto figures = figures_of(task, batch);
  EXPECT_NEAR(figures.at("mse"), mse, 1e-6);
  EXPECT_NEAR(figures.at("psnr"), psnr, 1e-5);
  EXPECT_NEAR(figures.at("codebook_usage"), used, 1e-12);
  EXPECT_NEAR(figures.at("perplexity"), std::exp(entropy), 1e-9);
}

}  // namespace
}  // namespace bitlaw::distill
