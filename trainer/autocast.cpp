#include "trainer/autocast.h"

#include <ATen/autocast_mode.h>

namespace bitlaw::trainer {

Autocast::Autocast(Precision precision)
    : was_enabled_(at::autocast::is_autocast_enabled(at::kCPU)),
      previous_dtype_(at::autocast::get_autocast_dtype(at::kCPU)) {
  at::autocast::increment_nesting();
  at::autocast::set_autocast_enabled(at::kCPU, precision == Precision::bf16);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
}

Autocast::~Autocast() {
  if (at::autocast::decrement_nesting() == 0) {
    at::autocast::clear_cache();
  }
  at::autocast::set_autocast_enabled(at::kCPU, was_enabled_);
  at::autocast::set_autocast_dtype(at::kCPU, previous_dtype_);
}

}  // namespace bitlaw::trainer
