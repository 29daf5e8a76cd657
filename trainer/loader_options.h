// What a rank's loader is asked for: its share of the global batches of the configuration.
#pragma once

#include "data/loader.h"
#include "trainer/comm/collective.h"
#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

data::LoaderOptions loader_options(const RunConfig& config, const Collective& collective);

}  // namespace bitlaw::trainer
