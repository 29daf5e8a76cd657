// Precision of a forward as a scope: bf16 autocast on the CPU, masters stay float32.
#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

// While it lives, matrix products of this thread run in bfloat16 (Precision::bf16) or as they are written
// (fp32). Put it around a forward, not around its backward; the casts that autocast remembers end with it.
class Autocast {
 public:
  explicit Autocast(Precision precision);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool was_enabled_;
  at::ScalarType previous_dtype_;
};

}  // namespace bitlaw::trainer
