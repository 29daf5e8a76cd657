// Every configuration that is shipped can be read, and those that name a run pass every check.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "trainer/config/check.h"
#include "trainer/config/reader.h"

namespace bitlaw::trainer {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> shipped_configs() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(BITLAW_SOURCE_DIR) / "configs")) {
    if (entry.path().extension() == ".yaml") {
      files.push_back(entry.path());
    }
  }
  return files;
}

// A file that names no run of its own is there to be included.
bool names_a_run(const fs::path& file) {
  std::ifstream stream(file);
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  return text.find("run: {name:") != std::string::npos;
}

TEST(ShippedConfigs, AreReadAndPassEveryCheck) {
  std::set<std::string> names;
  for (const fs::path& file : shipped_configs()) {
    RunConfig config = read_config({file}, {});
    if (!names_a_run(file)) {
      continue;
    }
    EXPECT_TRUE(names.insert(config.run.name).second) << config.run.name << " is the name of two runs";
    if (config.quant.method == quant::Method::rtn) {  // 'bitlaw ptq' takes no step
      config.train.max_steps = config.schedule.warmup_steps = 0;
    }
    for (const int ranks : {1, 2, 8}) {
      if (config.train.global_batch_size % (config.train.micro_batch_size * ranks) == 0) {
        EXPECT_THAT(config_problems(config, ranks), testing::IsEmpty()) << file;
      }
    }
    EXPECT_EQ(config.train.global_batch_size % (config.train.micro_batch_size * 2), 0) << file;
  }
  EXPECT_GE(names.size(), 20u);
}

}  // namespace
}  // namespace bitlaw::trainer
