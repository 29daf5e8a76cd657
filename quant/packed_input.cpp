#include "quant/packed_input.h"

#include <cmath>
#include <string>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "quant/input_check.h"

namespace bitlaw::quant {

namespace {

constexpr const char* kRepair = "make the file again";

[[noreturn]] void fail(const PackedInput& packed, const std::string& what, const std::string& why) {
  throw data::InputError("an input of " + packed.spec.to_string() + " " + what, why, kRepair);
}

void check_scale(const PackedInput& packed) {
  if (!packed.scale) {
    fail(packed, "has no scale", "a static scale is stored");
  }
  const float scale = *packed.scale;
  if (!std::isfinite(scale) || scale <= 0.0F || round_to(scale, packed.spec.fields().scale_dtype) != scale) {
    fail(packed, "has scale " + std::to_string(scale), "it is positive, finite and a number of its type");
  }
}

void check_zero_point(const PackedInput& packed) {
  if (packed.zero_point.has_value() != packed.spec.has_zero_point()) {
    fail(packed, packed.zero_point ? "has a zero point" : "has no zero point",
         "asymmetric integers have one, and nothing else has");
  }
  if (!packed.zero_point) {
    return;
  }
  const float zero_point = *packed.zero_point;
  const bool real = packed.spec.has_real_zero_point();
  const bool fits = real ? round_to(zero_point, ScaleType::float16) == zero_point
                         : std::nearbyint(zero_point) == zero_point &&
                               zero_point >= static_cast<float>(packed.spec.q_min()) &&
                               zero_point <= static_cast<float>(packed.spec.q_max());
  if (!std::isfinite(zero_point) || !fits) {
    fail(packed, "has zero point " + std::to_string(zero_point),
         real ? "it is a finite float16" : "it is one of the levels");
  }
}

}  // namespace

void check_packed(const PackedInput& packed) {
  check_input_fields(packed.spec.fields());
  if (packed.spec.fields().strategy == Strategy::tensor) {
    check_scale(packed);
    check_zero_point(packed);
  } else if (packed.scale || packed.zero_point) {
    fail(packed, "has a scale or a zero point", "they are made at run time");
  }
}

}  // namespace bitlaw::quant
