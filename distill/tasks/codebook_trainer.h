// Keeps a codebook alive: moving averages of the vectors assigned to each code, and new vectors for dead
// codes.
//
// Shapes: N assigned vectors, V codes, E channels, D codes that were dead when the step began.
//
// A step's micro batches add up, in a Statistics, n_v (vectors assigned to code v), s_v (their sum) and
// candidates for dead codes. The trainer reduces it over ranks; then, with decay d:
//   count_v <- d count_v + (1 - d) n_v      sum_v <- d sum_v + (1 - d) s_v      code_v = sum_v / count_v
// A code whose count falls below the threshold is dead. Each vector of the batch draws, from randomness keyed
// by (seed, step, sample id, position), one of the D dead codes and a 29-bit priority; a dead code takes the
// vector of the highest priority. Priority and vector travel together: an element of the entry
// "codebook/candidates" [D, E] is priority * 2^24 + the 24 leading bits of the float32 value, an integer that
// float64 holds exactly, so the element-wise maximum that a Statistics knows finds the winner. s_v is summed
// in multiples of 2^-24, exactly. Hence all ranks get the same codebook, and the same one whatever the number
// of ranks and micro batches.
//
// Before the first step all counts are zero: all codes are dead, and the codebook is made of vectors of the
// first batch. A fresh code starts with a small count, so that its average forgets the start quickly.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "quant/statistics.h"

namespace bitlaw::distill {

// The tensors of one codebook; they share memory with the model. float32, contiguous.
struct CodebookTensors {
  at::Tensor codes_VE;
  at::Tensor counts_V;
  at::Tensor sums_VE;
};

// What one micro batch assigned.
struct Assignment {
  at::Tensor vectors_NE;    // float32, N = B * positions, sample-major
  at::Tensor codes_N;       // int64
  at::Tensor sample_ids_B;  // int64
  std::int64_t step = 0;
};

class CodebookTrainer {
 public:
  struct Options {
    std::uint64_t seed = 0;
    double decay = 0.99;
    double dead_threshold = 0.1;
  };
  CodebookTrainer(CodebookTensors tensors, const Options& options);

  // For a codebook that came from elsewhere: gives every code without a count a fresh one, so that the first
  // step does not replace it.
  void adopt_codes();
  // Entries "codebook/counts" [V], "codebook/sums" [V, E] and, when codes are dead, "codebook/candidates" [D,
  // E].
  quant::Statistics collect(const Assignment& assignment) const;
  void update(const quant::Statistics& reduced);
  double alive_share() const;  // codes whose count is at least the threshold

 private:
  bool initialised() const;
  std::vector<std::int64_t> dead_codes() const;  // ascending; all before the first step
  at::Tensor candidates(const Assignment& assignment, std::int64_t dead) const;
  void move_averages(const quant::Statistics& reduced);
  void write_code(std::int64_t code, const at::Tensor& vector_E);

  CodebookTensors tensors_;
  Options options_;
  double fresh_count_;
};

}  // namespace bitlaw::distill
