// Batch, steps, optimiser, saving: numbers that must fit each other and the number of ranks.
#include "trainer/config/check_parts.h"
#include "trainer/config/field_writer.h"

namespace bitlaw::trainer {

namespace {

void check_batch(const TrainConfig& train, int world_size, Problems& problems) {
  const std::int64_t at_once = train.micro_batch_size * world_size;
  if (train.global_batch_size % at_once == 0) {
    return;
  }
  const std::int64_t share = train.global_batch_size / world_size;
  const std::string remedy = train.global_batch_size % world_size == 0
                                 ? "choose a train.micro_batch_size that divides " + std::to_string(share)
                                 : "choose a train.global_batch_size that is a multiple of " +
                                       std::to_string(at_once) + ", or another number of ranks";
  problems.add("train.global_batch_size: " + std::to_string(train.global_batch_size) + " is no multiple of " +
                   std::to_string(world_size) + " ranks x micro batch " +
                   std::to_string(train.micro_batch_size),
               "every rank takes whole micro batches of each step", remedy);
}

void check_steps(const RunConfig& config, Problems& problems) {
  if (config.schedule.warmup_steps > config.train.max_steps) {
    problems.add("schedule.warmup_steps: " + std::to_string(config.schedule.warmup_steps) +
                     " is more than train.max_steps: " + std::to_string(config.train.max_steps),
                 "the learning rate would never reach optim.lr",
                 "shorten the warm-up, for example schedule.warmup_steps=0");
  }
  const CheckpointConfig& checkpoint = config.checkpoint;
  if (checkpoint.keep_every > 0 &&
      (checkpoint.interval == 0 || checkpoint.keep_every % checkpoint.interval != 0)) {
    problems.add("checkpoint.keep_every: " + std::to_string(checkpoint.keep_every) +
                     " is no multiple of checkpoint.interval: " + std::to_string(checkpoint.interval),
                 "a step that is not saved cannot be kept", "choose a multiple, or 0");
  }
}

void check_optimiser(const RunConfig& config, Problems& problems) {
  const auto& betas = config.optim.betas;
  const bool fit = betas.size() == 2 && betas[0] < 1.0 && betas[1] < 1.0;
  if (!fit) {
    problems.add("optim.betas: " + flow_list(betas), "AdamW averages two moments, each with a decay below 1",
                 "give two numbers such as [0.9, 0.95]");
  }
  if (config.train.ema_decay >= 1.0) {
    problems.add("train.ema_decay: 1", "the average would never move",
                 "use a value such as 0.99, or 0 for none");
  }
}

}  // namespace

void check_schedule(const RunConfig& config, int world_size, Problems& problems) {
  check_batch(config.train, world_size, problems);
  check_steps(config, problems);
  check_optimiser(config, problems);
}

}  // namespace bitlaw::trainer
