#include "trainer/loader_options.h"

namespace bitlaw::trainer {

data::LoaderOptions loader_options(const RunConfig& config, const Collective& collective) {
  data::LoaderOptions options;
  options.global_batch_size = config.train.global_batch_size;
  options.micro_batch_size = config.train.micro_batch_size;
  options.rank = collective.rank();
  options.world_size = collective.size();
  options.seed = static_cast<std::uint64_t>(config.run.seed);
  options.workers = static_cast<int>(config.data.workers);
  options.flip = config.data.flip;
  options.crop_padding = config.data.crop_padding;
  return options;
}

}  // namespace bitlaw::trainer
