// What a trainer moves forward. The trainer knows nothing of models, tokens or teachers.
//
// A Task is used by one thread. Every rank has one; they are equal at the start and after each step.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "data/batch.h"
#include "quant/statistics.h"

namespace bitlaw::distill {

struct LossTerms {
  at::Tensor total;  // scalar: mean over the tokens or pixels of the micro batch
  std::vector<std::pair<std::string, at::Tensor>> terms;  // detached scalars, for the log
};

// What a task has replaced between two updates: optimisers and moving averages begin anew with it.
struct Restart {
  std::vector<std::string> names;  // of parameters and buffers of the model
  std::string text;                // what happened, for the log
};

enum class ParameterRole {
  weight,
  no_decay,         // norms, biases, embeddings, positions
  quantizer_scale,  // scales and offsets of quantisers
  clipping_value    // PACT's alpha: moves like a scale, decays like a weight
};

struct NamedParameter {
  std::string name;
  at::Tensor tensor;
  ParameterRole role = ParameterRole::weight;
};

class Task {
 public:
  virtual ~Task() = default;

  // Builds the graph of one micro batch. Randomness comes from (run seed, purpose, batch.step, sample id)
  // alone.
  virtual LossTerms loss(const data::Batch& batch) = 0;
  // What is trained, saved and exported.
  virtual torch::nn::Module& model() = 0;
  virtual std::vector<NamedParameter>
  parameters();  // of model(), in a fixed order, with roles by name and shape

  // What the micro batches since the last call contributed and is not a gradient; reduced over ranks, then
  // handed to end_step. The default is nothing.
  virtual quant::Statistics take_statistics() { return {}; }
  virtual void end_step(const quant::Statistics& /*reduced*/, std::int64_t /*step*/) {}

  // Called when `step` updates have been made, after end_step and the averages' update; may change the
  // model's numbers, not its shapes, as a function of the step and the model alone. A saved state of `step`
  // is what is there afterwards. The default is nothing.
  virtual Restart begin_step(std::int64_t /*step*/) { return {}; }

  // Sums over one validation batch (float64): "loss_sum", "tokens", ... merged over batches and ranks by the
  // trainer.
  virtual quant::Statistics evaluate(const data::Batch& batch) = 0;
  // Figures from the merged sums, in the order in which they are shown: ("cross_entropy", 2.89), ...
  virtual std::vector<std::pair<std::string, double>> report(const quant::Statistics& merged) const = 0;
  virtual std::int64_t tokens_per_sample() const = 0;
};

ParameterRole role_of(const std::string& name, const at::Tensor& tensor);

}  // namespace bitlaw::distill
