#include "trainer/config/writer.h"

#include <algorithm>
#include <array>

#include "trainer/config/field_writer.h"

namespace bitlaw::trainer {

namespace {

std::string write_filtered(RunConfig config, const FieldWriter::KeyFilter& wanted) {
  FieldWriter writer("", 0, wanted);
  visit_fields(writer, config);
  return writer.text();
}

// What may change on resume: names and places (the caller adds the hashes of what lies there), what does not
// reach the numbers, and a network that no run has. max_steps may grow while the schedule up to the resumed
// step stays the same, which only the step can tell.
bool decides_bits(const std::string& key) {
  static constexpr std::array<std::string_view, 15> kFree = {"run.name",
                                                             "run.dir",
                                                             "run.device",
                                                             "data.train",
                                                             "data.validation",
                                                             "data.workers",
                                                             "tokenizer.from",
                                                             "model.sd_vae",
                                                             "parallel",
                                                             "checkpoint",
                                                             "eval",
                                                             "log",
                                                             "distill.teacher",
                                                             "train.micro_batch_size",
                                                             "train.max_steps"};
  return std::find(kFree.begin(), kFree.end(), key) == kFree.end();
}

}  // namespace

std::string write_config(const RunConfig& config) {
  return write_filtered(config, [](const std::string&) { return true; });
}

std::string write_config(const RunConfig& config, const std::vector<std::string>& keys) {
  const auto holds = [](const std::string& section, const std::string& key) {
    return key == section || key.starts_with(section + ".");
  };
  return write_filtered(config, [&](const std::string& key) {
    return std::any_of(keys.begin(), keys.end(),
                       [&](const std::string& wanted) { return holds(wanted, key) || holds(key, wanted); });
  });
}

std::string identity_yaml(const RunConfig& config) {
  RunConfig reduced = config;
  if (reduced.model.init != "random" && reduced.model.init != "teacher") {
    reduced.model.init = "path";
  }
  return write_filtered(reduced, decides_bits);
}

}  // namespace bitlaw::trainer
