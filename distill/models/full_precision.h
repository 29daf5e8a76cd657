// Switches autocast off for the life of the object: what must be computed in float32 whatever the precision
// of training (embeddings, vector quantisation, AdaLN, the head).
#pragma once

#include <ATen/autocast_mode.h>

namespace bitlaw::distill {

class FullPrecision {
 public:
  explicit FullPrecision(at::DeviceType device)
      : device_(device), enabled_(at::autocast::is_autocast_enabled(device)) {
    if (enabled_) at::autocast::set_autocast_enabled(device_, false);
  }
  ~FullPrecision() {
    if (enabled_) at::autocast::set_autocast_enabled(device_, true);
  }
  FullPrecision(const FullPrecision&) = delete;
  FullPrecision& operator=(const FullPrecision&) = delete;

 private:
  at::DeviceType device_;
  bool enabled_;
};

}  // namespace bitlaw::distill
