// Throughput of the real training loop on a distillation step of the quickstart's shape (VAR depth 4, width
// 128, 130 tokens, 256 codes, 3-bit student, bf16), 16 samples a rank: tokens per second between two steps of
// metrics.jsonl. scaling_bench.sh runs it on two ranks and as two independent processes.
//
//   scaling_bench FOLDER STEPS WARMUP      FOLDER: an empty folder for the run's files
#include <ATen/ATen.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/synthetic_dataset.h"
#include "distill/make_task.h"
#include "quant/containers/model_state.h"
#include "trainer/comm/bootstrap.h"
#include "trainer/trainer.h"

namespace {

using namespace bitlaw;

constexpr std::int64_t kClasses = 10;
constexpr std::int64_t kSamplesOfRank = 16;
const char* const kTokenizerHash = "benchmark";

distill::VqConfig tokenizer_config() {
  distill::VqConfig vq;
  vq.image_channels = 1;
  vq.base_channels = 32;
  vq.channel_multipliers = {1, 1, 1};
  vq.res_blocks = 1;
  vq.attention = false;
  vq.middle = false;
  vq.group_norm_groups = 8;
  vq.latent_channels = 16;
  vq.codebook_size = 256;
  vq.patch_nums = {1, 2, 3, 4, 6, 8};
  vq.phi_convolutions = 6;
  return vq;
}

distill::ModelConfig var_config() {
  distill::ModelConfig config;
  config.family = distill::Family::var;
  config.depth = 4;
  config.width = 128;
  config.num_heads = 4;
  return config;
}

distill::SourceModel source(const distill::ModelConfig& config) {
  distill::SourceModel model;
  model.origin = "benchmark";
  model.config = config;
  model.num_classes = kClasses;
  model.tokenizer = tokenizer_config();
  model.tokenizer_hash = model.parameter_hash = kTokenizerHash;
  const auto module = distill::make_model(config, tokenizer_config(), kClasses);
  const at::NoGradGuard no_grad;
  std::uint64_t number = 0;
  for (auto& [name, tensor] : quant::state_of(*module, quant::StateScope::deployed)) {
    if (tensor.is_floating_point()) {
      tensor.copy_(at::sin(at::arange(tensor.numel(), at::kFloat) * 0.37 + static_cast<double>(number++))
                       .mul(0.05)
                       .view_as(tensor));
    }
    model.state.emplace(name, tensor);
  }
  return model;
}

data::SyntheticOptions tokens() {
  data::SyntheticOptions options;
  options.kind = "tokens";
  options.size = 4096;
  options.num_classes = kClasses;
  options.vocab_size = tokenizer_config().codebook_size;
  options.patch_nums = tokenizer_config().patch_nums;
  options.tokenizer_hash = kTokenizerHash;
  return options;
}

trainer::RunConfig run_config(int ranks, std::int64_t steps) {
  trainer::RunConfig config;
  config.train.global_batch_size = kSamplesOfRank * ranks;
  config.train.micro_batch_size = kSamplesOfRank;
  config.train.max_steps = steps;
  config.train.ema_decay = 0.99;
  config.model = var_config();
  config.model.init = "teacher";
  config.task.kind = distill::TaskKind::distill;
  config.distill.top_k = 56;
  config.quant.method = quant::Method::lsq;
  config.quant.weights.num_bits = 3;
  config.quant.weights.strategy = quant::Strategy::group;
  config.quant.weights.group_size = 64;
  config.quant.ignore = {"head"};
  return config;
}

double tokens_per_second(const std::filesystem::path& folder, std::int64_t warmup, double tokens_of_step) {
  std::ifstream in(folder / "metrics.jsonl");
  std::vector<double> times;
  for (std::string line; std::getline(in, line);) {
    times.push_back(nlohmann::json::parse(line)["wall_time"].get<double>());
  }
  const auto first = static_cast<std::size_t>(warmup) - 1;
  return static_cast<double>(times.size() - 1 - first) * tokens_of_step / (times.back() - times.at(first));
}

int measure(const std::filesystem::path& folder, std::int64_t steps, std::int64_t warmup) {
  trainer::Ranks ranks(trainer::Backend::automatic, std::chrono::minutes(5));
  trainer::Collective& collective = ranks.collective();
  trainer::TrainerInputs inputs;
  inputs.config = run_config(collective.size(), steps);
  inputs.run_folder = folder;
  const auto dataset = std::make_shared<data::SyntheticDataset>(tokens());
  inputs.train = dataset;

  distill::ModelConfig tokenizer;
  tokenizer.family = distill::Family::vq;
  tokenizer.vq = tokenizer_config();
  distill::TaskInputs task;
  task.seed = 1;
  task.task = inputs.config.task;
  task.model = inputs.config.model;
  task.quant = inputs.config.quant;
  task.distill = inputs.config.distill;
  task.train = dataset->info();
  task.tokenizer = source(tokenizer);
  task.teacher = source(var_config());
  const auto made = distill::make_task(task);
  trainer::Trainer(inputs, *made.task, collective).run();
  if (collective.rank() == 0) {
    const double tokens_of_step = static_cast<double>(inputs.config.train.global_batch_size) *
                                  static_cast<double>(made.task->tokens_per_sample());
    std::printf("%.1f\n", tokens_per_second(folder, warmup, tokens_of_step));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: scaling_bench FOLDER STEPS WARMUP\n");
    return 2;
  }
  return measure(argv[1], std::atoll(argv[2]), std::atoll(argv[3]));
}
