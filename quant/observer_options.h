// Which rule makes a static scale of activations from what was seen; quant/observer.h has the rules.
// Torch-free.
#pragma once

#include "data/formats/field.h"

namespace bitlaw::quant {

enum class ObserverKind { minmax, moving_average, percentile, mse };

struct ObserverOptions {
  ObserverKind kind = ObserverKind::minmax;
  double percentile = 99.99;  // of values inside, above 50 and at most 100
};

}  // namespace bitlaw::quant

template <>
struct bitlaw::data::EnumNames<bitlaw::quant::ObserverKind> {
  static constexpr std::string_view names[] = {"minmax", "moving_average", "percentile", "mse"};
};
