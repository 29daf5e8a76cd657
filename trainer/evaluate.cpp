#include "trainer/evaluate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

#include "data/formats/input_error.h"
#include "trainer/autocast.h"
#include "trainer/statistics_reduction.h"
#include "trainer/stop_signal.h"
#include "trainer/stop_vote.h"

namespace bitlaw::trainer {

namespace {

// The model in eval mode, back to what it was at the end.
class EvalMode {
 public:
  explicit EvalMode(torch::nn::Module& model) : model_(model), was_training_(model.is_training()) {
    model_.eval();
  }
  ~EvalMode() { model_.train(was_training_); }
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  torch::nn::Module& model_;
  bool was_training_;
};

data::Batch validation_batch(const data::Dataset& dataset, std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), first);
  data::Batch batch = dataset.read(indices);
  batch.sample_ids = at::arange(first, first + count, at::kLong);
  batch.step = 0;
  return batch;
}

}  // namespace

quant::Statistics evaluate(distill::Task& task, const data::Dataset& dataset, const EvaluationPlan& plan,
                           Collective& collective) {
  if (dataset.info().size == 0) {
    throw data::InputError("data.validation: the data set is empty", "there is nothing to measure on",
                           "import it again, or name another folder");
  }
  const at::NoGradGuard no_grad;
  const EvalMode eval_mode(task.model());
  const std::int64_t samples = std::min(plan.config.samples, dataset.info().size);
  const std::int64_t width = plan.config.micro_batch_size;
  const std::int64_t batches = (samples + width - 1) / width;
  std::map<std::int64_t, quant::Statistics> mine;
  StopVote vote(collective);
  for (std::int64_t first = 0; first < batches; first += collective.size()) {
    if (vote.next(plan.asked_to_stop())) {
      throw StopRequested("asked to stop during evaluation");
    }
    const std::int64_t batch = first + collective.rank();
    if (batch < batches) {
      const std::int64_t begin = batch * width;
      const Autocast autocast(plan.precision);
      mine.emplace(batch, task.evaluate(validation_batch(dataset, begin, std::min(width, samples - begin))));
    }
  }
  return merge_pieces(mine, batches, collective);
}

}  // namespace bitlaw::trainer
