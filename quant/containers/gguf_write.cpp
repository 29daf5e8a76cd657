// A packed weight -> blocks of ggml.
#include <algorithm>
#include <cstring>
#include <string>

#include "quant/affine.h"
#include "quant/containers/gguf_weight.h"
#include "quant/containers/restate.h"
#include "quant/containers/scale_bytes.h"
#include "quant/containers/small_scales.h"

namespace bitlaw::quant {

namespace {

struct Candidate {
  BlockType type;
  QuantSpec target;
};

struct IntegerType {
  BlockType type;
  int bits;
};
constexpr IntegerType kSymmetric[] = {
    {BlockType::q2_0, 2}, {BlockType::q4_0, 4}, {BlockType::q5_0, 5}, {BlockType::q8_0, 8}};
constexpr IntegerType kWithMinimum[] = {{BlockType::q4_1, 4}, {BlockType::q5_1, 5}};

QuantSpec block_spec(const QuantSpec& from, BlockType type) {
  QuantSpecFields fields = from.fields();
  fields.strategy = Strategy::group;
  fields.group_size = static_cast<std::int64_t>(facts_of(type).elements);
  fields.block_structure.clear();
  fields.scale_dtype = ScaleType::float16;
  fields.zero_point_dtype = ZeroPointType::int8;
  return QuantSpec(fields);
}

QuantSpec symmetric_spec(const QuantSpec& from, const IntegerType& type) {
  QuantSpecFields fields = block_spec(from, type.type).fields();
  fields.num_bits = type.bits;
  fields.type = NumberType::integer;
  fields.grid = Grid::integer;
  fields.symmetric = true;
  return QuantSpec(fields);
}

void add_symmetric(const QuantSpec& from, int bits, bool wider, std::vector<Candidate>& candidates) {
  for (const IntegerType& type : kSymmetric) {
    if (type.bits == bits || (wider && type.bits > bits)) {
      candidates.push_back({type.type, symmetric_spec(from, type)});
    }
  }
}

void add_with_minimum(const QuantSpec& from, bool wider, std::vector<Candidate>& candidates) {
  for (const IntegerType& type : kWithMinimum) {
    if (type.bits == from.bits() || (wider && type.bits > from.bits())) {
      candidates.push_back({type.type, block_spec(from, type.type)});
    }
  }
}

void add_integer(const QuantSpec& from, bool widen, std::vector<Candidate>& candidates) {
  const bool shifted = from.fields().grid == Grid::half || !from.fields().symmetric;
  if (!shifted) {
    add_symmetric(from, from.bits(), widen, candidates);
    return;
  }
  add_with_minimum(from, false, candidates);
  if (widen) {
    add_symmetric(from, from.bits() + 1, true, candidates);
    add_with_minimum(from, true, candidates);
  }
}

void add_floating(const QuantSpec& from, std::vector<Candidate>& candidates) {
  const QuantSpecFields& fields = from.fields();
  if (fields.format != FloatFormat::e2m1 || !fields.symmetric) {
    return;
  }
  if (fields.scale_dtype == ScaleType::e4m3) {
    if (fields.group_size == 16) {
      candidates.push_back({BlockType::nvfp4, from});
    }
    return;
  }
  QuantSpecFields target = fields;
  target.strategy = Strategy::group;
  target.group_size = 32;
  target.block_structure.clear();
  target.scale_dtype = ScaleType::e8m0;
  candidates.push_back({BlockType::mxfp4, QuantSpec(target)});
}

std::vector<Candidate> candidates_for(const QuantSpec& from, bool widen) {
  std::vector<Candidate> candidates;
  switch (from.fields().type) {
    case NumberType::integer:
      add_integer(from, widen, candidates);
      break;
    case NumberType::ternary:
      for (const BlockType type : {BlockType::tq2_0, BlockType::q2_0}) {
        candidates.push_back({type, block_spec(from, type)});
      }
      if (widen) {
        add_symmetric(from, 3, true, candidates);
      }
      break;
    case NumberType::floating:
      add_floating(from, candidates);
      break;
    case NumberType::quantile:
      break;
  }
  return candidates;
}

// float16 bits; NoExactForm when a value is not exact.
std::vector<std::uint16_t> half_bits(std::span<const float> values, const char* what) {
  for (const float value : values) {
    if (round_to(value, ScaleType::float16) != value) {
      throw NoExactForm(std::string("the ") + what + " " + std::to_string(value) +
                        " is not exact in float16");
    }
  }
  const std::vector<std::byte> bytes = encode_scales(values, ScaleType::float16);
  std::vector<std::uint16_t> bits(values.size());
  if (!bits.empty()) {
    std::memcpy(bits.data(), bytes.data(), bytes.size());
  }
  return bits;
}

class Encoder {
 public:
  Encoder(BlockType type, const PackedTensor& packed) : type_(type), packed_(packed), codes_(unpack(packed)) {
    set_scales();
  }
  std::vector<std::byte> run() const;

 private:
  void set_scales();
  std::uint8_t stored_code(std::uint8_t code) const;
  bool is_ternary() const { return packed_.spec.fields().type == NumberType::ternary; }

  BlockType type_;
  const PackedTensor& packed_;
  std::vector<std::uint8_t> codes_;
  std::vector<std::uint16_t> scale_;
  std::vector<std::uint16_t> minimum_;
  std::vector<std::uint8_t> small_;
};

void Encoder::set_scales() {
  if (type_ == BlockType::mxfp4 || type_ == BlockType::nvfp4) {
    small_ = type_ == BlockType::mxfp4 ? e8m0_bytes(packed_.scale) : e4m3_bytes(packed_.scale);
    return;
  }
  std::vector<float> scales = packed_.scale;
  if (type_ == BlockType::q2_0 && !is_ternary()) {  // -2 ... 1 are the levels -1 ... 2 turned round
    std::transform(scales.begin(), scales.end(), scales.begin(), [](float scale) { return -scale; });
  }
  scale_ = half_bits(scales, "scale");
  if (type_ == BlockType::q4_1 || type_ == BlockType::q5_1) {
    const auto middle = static_cast<float>(1 << (packed_.spec.bits() - 1));
    std::vector<float> minima;
    for (std::size_t i = 0; i < scales.size(); ++i) {
      const float zero = packed_.zero_point.empty() ? 0.0F : static_cast<float>(packed_.zero_point[i]);
      minima.push_back((static_cast<float>(packed_.spec.level_offset()) - middle - zero) * scales[i]);
    }
    minimum_ = half_bits(minima, "minimum");
  }
}

std::uint8_t Encoder::stored_code(std::uint8_t code) const {
  if (is_ternary()) {
    return static_cast<std::uint8_t>(code - 1);  // q + 2 -> q + 1
  }
  return type_ == BlockType::q2_0 ? static_cast<std::uint8_t>(3 - code) : code;
}

std::vector<std::byte> Encoder::run() const {
  const BlockFacts& facts = facts_of(type_);
  const std::size_t count = codes_.size() / facts.elements;
  const std::size_t per_block = small_.size() / count;
  std::vector<std::byte> bytes(count * facts.bytes);
  for (std::size_t i = 0; i < count; ++i) {
    Block block;
    std::transform(codes_.begin() + static_cast<std::ptrdiff_t>(i * facts.elements),
                   codes_.begin() + static_cast<std::ptrdiff_t>((i + 1) * facts.elements),
                   block.codes.begin(), [this](std::uint8_t code) { return stored_code(code); });
    block.scale = scale_.empty() ? std::uint16_t{0} : scale_[i];
    block.minimum = minimum_.empty() ? std::uint16_t{0} : minimum_[i];
    for (std::size_t j = 0; j < per_block; ++j) {
      block.small[j] = small_[i * per_block + j];
    }
    encode_block(type_, block, std::span(bytes).subspan(i * facts.bytes, facts.bytes));
  }
  return bytes;
}

// ggml multiplies by the scale of the block first, then by the global one; bitlaw by their product.
void check_global_scale(const PackedTensor& packed) {
  const float global = *packed.global_scale;
  for (int mantissa = 8; mantissa < 16; ++mantissa) {
    const auto scale = static_cast<float>(mantissa);
    if (1.5F * (scale * global) != (1.5F * scale) * global) {
      throw NoExactForm(
          "the global scale multiplies weights there, not scales, and the bits of products with " +
          std::to_string(global) + " differ");
    }
  }
}

GgufWeight encoded(const PackedTensor& packed, const Candidate& candidate) {
  const auto elements = static_cast<std::int64_t>(facts_of(candidate.type).elements);
  if (packed.in_features % elements != 0) {
    throw NoExactForm("rows of " + std::to_string(packed.in_features) + " inputs are no whole blocks of " +
                      std::to_string(elements) + " (" + std::string(facts_of(candidate.type).name) + ")");
  }
  const PackedTensor restated = restate(packed, candidate.target);
  GgufWeight weight;
  weight.type = candidate.type;
  if (restated.global_scale) {
    check_global_scale(restated);
    weight.global_scale = restated.global_scale;
  }
  weight.bytes = Encoder(candidate.type, restated).run();
  if (packed.spec.has_zero_point() && !candidate.target.has_zero_point()) {
    weight.zero_points = packed.zero_point;
    for (const float zero_point : packed.zero_point_real) {
      weight.zero_points.push_back(static_cast<std::int8_t>(zero_point));  // an integer: restate has seen it
    }
  }
  return weight;
}

}  // namespace

GgufWeight to_gguf(const PackedTensor& packed, bool widen) {
  refuse_input_transform(packed, "GGUF");
  if (!packed.group_index.empty()) {
    throw NoExactForm("its groups are of scattered inputs, which no type has");
  }
  std::string reason = "no type there has the levels of " + packed.spec.to_string();
  bool first = true;
  for (const Candidate& candidate : candidates_for(packed.spec, widen)) {
    try {
      return encoded(packed, candidate);
    } catch (const NoExactForm& error) {  // of the best candidate: the others are wider
      reason = first ? error.what() : reason;
      first = false;
    }
  }
  throw NoExactForm(reason);
}

}  // namespace bitlaw::quant
