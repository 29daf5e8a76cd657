#include "quant/containers/restate.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "data/formats/input_error.h"
#include "quant/containers/scale_map.h"
#include "quant/containers/small_scales.h"

namespace bitlaw::quant {

namespace {

bool has_integer_levels(const QuantSpec& spec) {
  return spec.fields().type == NumberType::integer || spec.fields().type == NumberType::ternary;
}

void check_kind(const QuantSpec& from, const QuantSpec& to) {
  const bool integers = has_integer_levels(from) && has_integer_levels(to);
  const bool same = from.fields().type == to.fields().type && from.fields().format == to.fields().format &&
                    from.bits() == to.bits() && from.fields().symmetric == to.fields().symmetric;
  if (!integers && !same) {
    throw NoExactForm("the levels of " + from.to_string() + " are not those of " + to.to_string());
  }
}

// What happens to q and the scale between the two specs.
struct GridChange {
  int multiplier = 1;  // of q: 2 from half to integer grid
  int divisor = 1;     // of q: 2 from integer to half grid
  int shift = 0;       // added to the multiplied q, subtracted before the division
  float scale = 1.0F;  // factor of the scale
};

GridChange change_between(const QuantSpec& from, const QuantSpec& to) {
  const Grid here = from.fields().grid;
  const Grid there = to.fields().grid;
  if (here == there) {
    return {};
  }
  return here == Grid::half ? GridChange{2, 1, 1, 0.5F} : GridChange{1, 2, 1, 2.0F};
}

bool same_groups(const QuantSpec& from, const QuantSpec& to) {
  return from.fields().strategy == to.fields().strategy &&
         from.fields().group_size == to.fields().group_size &&
         from.fields().block_structure == to.fields().block_structure;
}

class Restating {
 public:
  Restating(const PackedTensor& from, const QuantSpec& to, std::span<const std::int8_t> zero_points)
      : from_(from), change_(change_between(from.spec, to)), given_(zero_points) {
    result_.spec = to;
    result_.out_features = from.out_features;
    result_.in_features = from.in_features;
    result_.input_multiplier = from.input_multiplier;
    result_.hadamard_block = from.hadamard_block;
    if (same_groups(from.spec, to)) {
      result_.group_index = from.group_index;
    }
  }

  PackedTensor run() {
    find_sources();
    set_scales();
    set_zero_points();
    const std::vector<std::uint8_t> result_codes = codes();
    return pack(std::move(result_), result_codes);
  }

 private:
  void find_sources();
  void set_scales();
  void set_zero_points();
  std::vector<std::uint8_t> codes() const;
  std::uint8_t code_of(int q) const;
  int subtracted(std::size_t row, std::size_t input, const ScaleMap& from, const ScaleMap& to) const;
  float zero_point_of(std::size_t index) const;

  const PackedTensor& from_;
  GridChange change_;
  std::span<const std::int8_t> given_;
  std::vector<std::size_t> source_;  // of each scale of the result
  PackedTensor result_;
};

float Restating::zero_point_of(std::size_t index) const {
  if (!from_.zero_point_real.empty()) {
    return from_.zero_point_real[index];
  }
  return from_.zero_point.empty() ? 0.0F : static_cast<float>(from_.zero_point[index]);
}

void Restating::find_sources() {
  const auto equal = [this](std::size_t a, std::size_t b) {
    return from_.scale[a] == from_.scale[b] &&
           (from_.scale_negative.empty() || from_.scale_negative[a] == from_.scale_negative[b]) &&
           (!result_.spec.has_zero_point() || zero_point_of(a) == zero_point_of(b));
  };
  const ScaleMap to(result_.spec, result_.out_features, result_.in_features, result_.group_index);
  source_ = regroup(ScaleMap(from_), to, static_cast<std::size_t>(from_.out_features),
                    static_cast<std::size_t>(from_.in_features), equal);
}

void Restating::set_scales() {
  const ScaleType type = result_.spec.fields().scale_dtype;
  const bool two_levels = type == ScaleType::e4m3;
  if (two_levels && !from_.global_scale) {
    throw NoExactForm("a scale of e4m3 needs a global scale, which " + from_.spec.to_string() + " lacks");
  }
  const std::vector<float> scales = two_levels ? from_.scale : effective_scales(from_);
  result_.global_scale = two_levels ? from_.global_scale : std::nullopt;
  const auto exact = [&](float scale) {
    if (!is_exact_scale(scale, type)) {
      throw NoExactForm("the scale " + std::to_string(scale) + " is not exact in " +
                        std::string(data::enum_name(type)));
    }
    return scale;
  };
  for (const std::size_t source : source_) {
    result_.scale.push_back(exact(scales[source] * change_.scale));
    if (!from_.scale_negative.empty()) {
      result_.scale_negative.push_back(exact(from_.scale_negative[source]));
    }
  }
}

void Restating::set_zero_points() {
  if (!result_.spec.has_zero_point()) {
    return;
  }
  const bool given = !from_.spec.has_zero_point() && !given_.empty();
  if (given && given_.size() != source_.size()) {
    throw NoExactForm(std::to_string(given_.size()) + " zero points for " + std::to_string(source_.size()) +
                      " scales");
  }
  for (std::size_t i = 0; i < source_.size(); ++i) {
    const float value = given ? static_cast<float>(given_[i]) : zero_point_of(source_[i]);
    if (result_.spec.has_real_zero_point()) {
      result_.zero_point_real.push_back(value);
    } else if (value != std::rint(value) || value < static_cast<float>(result_.spec.q_min()) ||
               value > static_cast<float>(result_.spec.q_max())) {
      throw NoExactForm("the zero point " + std::to_string(value) + " is no level of " +
                        result_.spec.to_string());
    } else {
      result_.zero_point.push_back(static_cast<std::int8_t>(value));
    }
  }
}

std::uint8_t Restating::code_of(int q) const {
  int value = q * change_.multiplier;
  if (change_.multiplier == 2) {
    value += change_.shift;
  } else if (change_.divisor == 2) {
    if ((q & 1) == 0) {
      throw NoExactForm("an even level of the integer grid is none of the half grid");
    }
    value = (q - change_.shift) / 2;
  }
  if (value < result_.spec.q_min() || value > result_.spec.q_max()) {
    throw NoExactForm("the level " + std::to_string(value) + " is none of " + result_.spec.to_string());
  }
  return static_cast<std::uint8_t>(value + (1 << (result_.spec.bits() - 1)));
}

// What leaves q when the zero points go or come.
int Restating::subtracted(std::size_t row, std::size_t input, const ScaleMap& from,
                          const ScaleMap& to) const {
  if (from_.spec.has_zero_point() == result_.spec.has_zero_point()) {
    return 0;
  }
  if (from_.spec.has_zero_point()) {
    const float zero_point = zero_point_of(from.index(row, input));
    if (zero_point != std::rint(zero_point)) {
      throw NoExactForm("the zero point " + std::to_string(zero_point) + " lies between two levels");
    }
    return static_cast<int>(zero_point);
  }
  return given_.empty() ? 0 : -given_[to.index(row, input)];
}

std::vector<std::uint8_t> Restating::codes() const {
  std::vector<std::uint8_t> codes = unpack(from_);
  if (!has_integer_levels(from_.spec)) {
    return codes;
  }
  const ScaleMap from(from_);
  const ScaleMap to(result_.spec, result_.out_features, result_.in_features, result_.group_index);
  const int middle = 1 << (from_.spec.bits() - 1);
  const auto in = static_cast<std::size_t>(from_.in_features);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] = code_of(codes[i] - middle - subtracted(i / in, i % in, from, to));
  }
  return codes;
}

}  // namespace

PackedTensor restate(const PackedTensor& packed, const QuantSpec& to,
                     std::span<const std::int8_t> zero_points) {
  if (packed.spec == to) {
    return packed;
  }
  check_kind(packed.spec, to);
  try {
    return Restating(packed, to, zero_points).run();
  } catch (const data::InputError& error) {  // a group that does not divide, a code that is no level
    throw NoExactForm(error.what());
  }
}

void refuse_input_transform(const PackedTensor& packed, const std::string& container) {
  if (!packed.input_multiplier.empty() || packed.hadamard_block > 0) {
    throw NoExactForm(std::string("its input passes a ") +
                      (packed.hadamard_block > 0 ? "Hadamard rotation" : "per-channel multiplier") +
                      " before the product, which " + container + " cannot say");
  }
}

QuantSpec with_bits(const QuantSpec& spec, int bits) {
  QuantSpecFields fields = spec.fields();
  fields.num_bits = bits;
  return QuantSpec(fields);
}

}  // namespace bitlaw::quant
