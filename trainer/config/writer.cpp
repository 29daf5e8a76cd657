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

// What may change on resume: names and places (the caller adds the hashes of what lies there), and what does
// not reach the numbers.
bool decides_bits(const std::string& key) {
  static constexpr std::array<std::string_view, 13> kFree = {"run.name",
                                                             "run.dir",
                                                             "run.device",
                                                             "data.train",
                                                             "data.validation",
                                                             "data.workers",
                                                             "tokenizer.from",
                                                             "parallel",
                                                             "checkpoint",
                                                             "eval",
                                                             "log",
                                                             "distill.teacher",
                                                             "train.micro_batch_size"};
  return std::find(kFree.begin(), kFree.end(), key) == kFree.end();
}

}  // namespace

std::string write_config(const RunConfig& config) {
  return write_filtered(config, [](const std::string&) { return true; });
}

std::string identity_yaml(const RunConfig& config) {
  // A constant learning rate does not know the last step, so max_steps may change; a cosine does.
  const bool steps_matter = config.schedule.kind != ScheduleKind::constant;
  RunConfig reduced = config;
  if (reduced.model.init != "random" && reduced.model.init != "teacher") {
    reduced.model.init = "path";
  }
  return write_filtered(reduced, [&](const std::string& key) {
    return decides_bits(key) && (steps_matter || key != "train.max_steps");
  });
}

}  // namespace bitlaw::trainer
