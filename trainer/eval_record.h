// The figures of one evaluation during training, as a file: eval/step-00000040.json in the run folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "trainer/config/run_config.h"
#include "trainer/figures.h"

namespace bitlaw::trainer {

struct EvalRecord {
  std::int64_t step = 0;
  std::int64_t samples = 0;  // the first so many of the validation set
  Precision precision = Precision::fp32;
  Figures figures;

  std::string to_string() const;  // one line for the log
};

std::filesystem::path eval_record_path(const std::filesystem::path& run_folder, std::int64_t step);

// {"step": 40, "samples": 500, "precision": "bf16", "weights": "model", "cross_entropy": ...}, replaced by
// rename. InputError when the folder cannot be written.
void write_eval_record(const std::filesystem::path& run_folder, const EvalRecord& record);

}  // namespace bitlaw::trainer
