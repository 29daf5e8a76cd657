#include "trainer/step_report.h"

#include <ATen/ATen.h>

#include <chrono>

namespace bitlaw::trainer {

namespace {

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

void StepReport::add(StepRecord record) {
  records_.push_back(std::move(record));
  wall_times_.push_back(unix_time());
}

std::vector<StepLine> StepReport::collect() {
  if (records_.empty()) {
    return {};
  }
  std::vector<double> values;
  for (const StepRecord& record : records_) {
    for (const auto& [name, value] : record.of_rank) {
      values.push_back(value);
    }
    values.insert(values.end(),
                  {record.seconds, record.data_wait, record.comm_wait, record.checkpoint_pause});
  }
  at::Tensor sums = at::tensor(values, at::kDouble);
  collective_.all_reduce(sums, ReduceOp::sum).wait();
  const double* next = sums.data_ptr<double>();
  const auto mean = [&] { return *next++ / collective_.size(); };

  std::vector<StepLine> lines;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const StepRecord& record = records_[i];
    StepLine line{record.step, record.samples_seen, wall_times_[i], record.of_all};
    for (const auto& [name, value] : record.of_rank) {
      line.values.emplace_back(name, mean());
    }
    const double seconds = mean();
    line.values.emplace_back("step_seconds", seconds);
    line.values.emplace_back("tokens_per_second", static_cast<double>(record.tokens) / seconds);
    line.values.emplace_back("data_wait", mean());
    line.values.emplace_back("comm_wait", mean());
    line.values.emplace_back("checkpoint_pause", mean());
    lines.push_back(std::move(line));
  }
  records_.clear();
  wall_times_.clear();
  return lines;
}

}  // namespace bitlaw::trainer
