// Blocks of ggml -> a packed weight. They are input: nothing in them is believed unchecked.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "data/formats/input_error.h"
#include "quant/containers/gguf_weight.h"
#include "quant/containers/scale_bytes.h"
#include "quant/containers/small_scales.h"

namespace bitlaw::quant {

namespace {

constexpr std::int64_t kLargestExtent = std::int64_t{1} << 31;

[[noreturn]] void fail(const std::string& what, const std::string& why) {
  throw data::InputError(what, why, "write the GGUF file again with the tool that made it");
}

int bits_of_type(BlockType type) {
  switch (type) {
    case BlockType::q5_0:
    case BlockType::q5_1:
      return 5;
    case BlockType::q8_0:
      return 8;
    case BlockType::q2_0:
    case BlockType::tq2_0:
      return 2;
    default:
      return 4;
  }
}

class Decoder {
 public:
  explicit Decoder(const GgufSource& source) : source_(source), facts_(facts_of(source.type)) {
    check();
    read_blocks();
  }
  PackedTensor run();

 private:
  void check() const;
  void read_blocks();
  PackedTensor with_spec(const QuantSpecFields& fields) const;
  std::span<std::uint8_t> block_codes(std::size_t block) {
    return std::span(codes_).subspan(block * facts_.elements, facts_.elements);
  }
  PackedTensor floating();
  PackedTensor symmetric();
  PackedTensor with_minimum();
  void make_zeros_positive(std::uint8_t zero_code);

  const GgufSource& source_;
  const BlockFacts& facts_;
  std::vector<std::uint8_t> codes_;
  std::vector<float> scale_;    // of each block
  std::vector<float> minimum_;  // of each block
  std::vector<std::uint8_t> small_;
};

void Decoder::check() const {
  const std::int64_t out = source_.out_features;
  const std::int64_t in = source_.in_features;
  const auto elements = static_cast<std::int64_t>(facts_.elements);
  if (out < 1 || in < 1 || out > kLargestExtent || in > kLargestExtent || in % elements != 0) {
    fail("a " + std::string(facts_.name) + " weight of " + std::to_string(out) + " x " + std::to_string(in),
         "rows are whole blocks of " + std::to_string(elements));
  }
  const auto blocks = static_cast<std::uint64_t>(in / elements);
  if (source_.bytes.size() / facts_.bytes / blocks != static_cast<std::uint64_t>(out) ||
      source_.bytes.size() % (facts_.bytes * blocks) != 0) {
    fail("a " + std::string(facts_.name) + " weight of " + std::to_string(source_.bytes.size()) + " bytes",
         std::to_string(out) + " x " + std::to_string(in) + " weights have another size");
  }
}

void Decoder::read_blocks() {
  const std::size_t count = source_.bytes.size() / facts_.bytes;
  codes_.reserve(count * facts_.elements);
  std::vector<std::uint16_t> halves;
  std::vector<std::uint16_t> minima;
  for (std::size_t i = 0; i < count; ++i) {
    const Block block = decode_block(source_.type, source_.bytes.subspan(i * facts_.bytes, facts_.bytes));
    codes_.insert(codes_.end(), block.codes.begin(),
                  block.codes.begin() + static_cast<std::ptrdiff_t>(facts_.elements));
    halves.push_back(block.scale);
    minima.push_back(block.minimum);
    small_.insert(small_.end(), block.small.begin(), block.small.end());
  }
  scale_ = decode_scales(std::as_bytes(std::span(halves)), ScaleType::float16);
  minimum_ = decode_scales(std::as_bytes(std::span(minima)), ScaleType::float16);
  const auto finite = [](float value) { return std::isfinite(value); };
  if (!std::all_of(scale_.begin(), scale_.end(), finite) ||
      !std::all_of(minimum_.begin(), minimum_.end(), finite)) {
    fail("a " + std::string(facts_.name) + " block with a scale that is not finite",
         "its weights would be no numbers");
  }
}

PackedTensor Decoder::with_spec(const QuantSpecFields& fields) const {
  PackedTensor packed;
  packed.spec = QuantSpec(fields);
  packed.out_features = source_.out_features;
  packed.in_features = source_.in_features;
  packed.scale = scale_;
  return packed;
}

PackedTensor Decoder::floating() {
  const bool mx = source_.type == BlockType::mxfp4;
  QuantSpecFields fields;
  fields.type = NumberType::floating;
  fields.format = FloatFormat::e2m1;
  fields.strategy = Strategy::group;
  fields.group_size = mx ? 32 : 16;
  fields.scale_dtype = mx ? ScaleType::e8m0 : ScaleType::e4m3;
  scale_.clear();
  for (std::size_t i = 0; i < small_.size(); i += mx ? 4 : 1) {
    if (!mx && small_[i] == 0) {  // a scale of zero: zeros
      const std::size_t first = i * 16;
      std::fill_n(codes_.begin() + static_cast<std::ptrdiff_t>(first), 16, std::uint8_t{0});
      small_[i] = 1;
    }
    const std::span<const std::uint8_t> byte = std::span(small_).subspan(i, 1);
    scale_.push_back(mx ? e8m0_scales(byte).front() : e4m3_scales(byte).front());
    if (std::isnan(scale_.back())) {
      fail("a " + std::string(facts_.name) + " scale of " + std::to_string(small_[i]), "it is no number");
    }
  }
  PackedTensor packed = with_spec(fields);
  if (!mx) {
    packed.global_scale = source_.global_scale.value_or(1.0F);
  }
  return pack(std::move(packed), codes_);
}

void Decoder::make_zeros_positive(std::uint8_t zero_code) {
  for (std::size_t i = 0; i < scale_.size(); ++i) {
    if (scale_[i] == 0.0F) {
      std::ranges::fill(block_codes(i), zero_code);
      scale_[i] = 1.0F;
    }
  }
}

// Level of the stored code u: u - base, times a scale of either sign. All levels become q - zero point with a
// positive scale; without zero points where no block needs one.
PackedTensor Decoder::symmetric() {
  const bool pairs = source_.type == BlockType::q2_0 || source_.type == BlockType::tq2_0;
  const int bits = bits_of_type(source_.type);
  const int half = 1 << (bits - 1);
  const int base = pairs ? 1 : half;
  make_zeros_positive(static_cast<std::uint8_t>(base));
  std::vector<std::int8_t> zero_points;
  bool ternary = pairs;
  for (std::size_t i = 0; i < scale_.size(); ++i) {
    const int sign = scale_[i] < 0.0F ? -1 : 1;
    int lowest = 0;
    int highest = 0;
    for (const std::uint8_t code : block_codes(i)) {
      lowest = std::min(lowest, sign * (code - base));
      highest = std::max(highest, sign * (code - base));
    }
    const int zero_point = highest > half - 1 ? half - 1 - highest : 0;
    zero_points.push_back(static_cast<std::int8_t>(zero_point));
    ternary = ternary && lowest >= -1 && highest <= 1;
    for (std::uint8_t& code : block_codes(i)) {
      code = static_cast<std::uint8_t>(sign * (code - base) + zero_point + half);
    }
    scale_[i] = std::abs(scale_[i]);
  }
  QuantSpecFields fields;
  fields.num_bits = bits;
  fields.strategy = Strategy::group;
  fields.group_size = static_cast<std::int64_t>(facts_.elements);
  fields.type = ternary ? NumberType::ternary : NumberType::integer;
  fields.symmetric = std::ranges::all_of(zero_points, [](std::int8_t zero_point) { return zero_point == 0; });
  PackedTensor packed = with_spec(fields);
  if (!fields.symmetric) {
    packed.zero_point = std::move(zero_points);
  }
  return pack(std::move(packed), codes_);
}

// w = (u - r) d with r = -m / d, a multiple of a half: an integer (zero points) or half of an odd one (half
// grid) in all blocks.
PackedTensor Decoder::with_minimum() {
  const int bits = source_.bits > 0 ? source_.bits : bits_of_type(source_.type);
  const int half = 1 << (bits - 1);
  QuantSpecFields fields;
  fields.num_bits = bits;
  fields.strategy = Strategy::group;
  fields.group_size = static_cast<std::int64_t>(facts_.elements);
  std::vector<float> offsets;
  for (std::size_t i = 0; i < scale_.size(); ++i) {
    const float offset = scale_[i] > 0.0F ? -minimum_[i] / scale_[i] : 0.5F * NAN;
    if (!(std::abs(offset) <= 256.0F) || offset * 2.0F != std::rint(offset * 2.0F) ||
        offset * scale_[i] != -minimum_[i]) {
      fail("a " + std::string(facts_.name) + " block with scale " + std::to_string(scale_[i]) +
               " and minimum " + std::to_string(minimum_[i]),
           "a zero point lies on a level or half-way between two, and a scale is positive");
    }
    offsets.push_back(offset - static_cast<float>(half));
  }
  const auto is_half = [](float offset) { return offset != std::rint(offset); };
  const bool on_half_grid = std::ranges::all_of(offsets, [](float offset) { return offset == -0.5F; });
  if (!on_half_grid && std::ranges::any_of(offsets, is_half)) {
    fail("a " + std::string(facts_.name) + " weight with a zero point between two levels",
         "it must be half a level below the middle in all blocks");
  }
  fields.symmetric = on_half_grid;
  fields.grid = on_half_grid ? Grid::half : Grid::integer;
  PackedTensor packed = with_spec(fields);
  for (const float offset : on_half_grid ? std::vector<float>() : offsets) {
    if (offset < static_cast<float>(-half) || offset > static_cast<float>(half - 1)) {
      fail("a " + std::string(facts_.name) + " weight with a zero point of " + std::to_string(offset),
           "it is a level of " + std::to_string(bits) + " bits");
    }
    packed.zero_point.push_back(static_cast<std::int8_t>(offset));
  }
  return pack(std::move(packed), codes_);
}

PackedTensor Decoder::run() {
  switch (source_.type) {
    case BlockType::mxfp4:
    case BlockType::nvfp4:
      return floating();
    case BlockType::q4_1:
    case BlockType::q5_1:
      return with_minimum();
    default:
      return symmetric();
  }
}

}  // namespace

PackedTensor from_gguf(const GgufSource& source) {
  if (source.bits < 0 || source.bits > bits_of_type(source.type)) {
    fail("codes of " + std::to_string(source.bits) + " bits in " + std::string(facts_of(source.type).name),
         "it holds " + std::to_string(bits_of_type(source.type)));
  }
  if (source.global_scale && source.type != BlockType::nvfp4) {
    fail("a global scale of a " + std::string(facts_of(source.type).name) + " weight", "only NVFP4 has one");
  }
  return Decoder(source).run();
}

}  // namespace bitlaw::quant
