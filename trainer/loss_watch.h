// The losses of one step's micro batches: their means for the report, and who was not finite.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/batch.h"
#include "distill/task.h"
#include "trainer/comm/collective.h"
#include "trainer/figures.h"

namespace bitlaw::trainer {

class LossWatch {
 public:
  void add(const distill::LossTerms& loss, const data::Batch& batch);
  bool all_finite() const { return complaint_.empty(); }
  // "loss" and each term, averaged over this rank's micro batches.
  Figures means() const;
  // "loss is nan, kl is inf (samples 96..111)"; empty when finite.
  const std::string& complaint() const { return complaint_; }

 private:
  Figures sums_;
  std::int64_t micro_batches_ = 0;
  std::string complaint_;
};

// Called by all ranks after one of them was not finite: throws NotFiniteError with what each has to say.
[[noreturn]] void throw_not_finite(std::int64_t step, const std::string& complaint, double gradient_norm,
                                   const std::vector<distill::NamedParameter>& parameters,
                                   Collective& collective);

}  // namespace bitlaw::trainer
