#include "quant/containers/gptq_layer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "quant/containers/bit_matrix.h"
#include "quant/containers/restate.h"
#include "quant/containers/scale_bytes.h"

namespace bitlaw::quant {

namespace {

using data::DType;

constexpr std::int64_t kMultiple = 32;  // of both extents
constexpr std::int64_t kLargestExtent = std::int64_t{1} << 31;

// The width that holds b bits: the same, or the next one when widening is allowed.
int width_for(int bits, bool widen) {
  for (const int width : {2, 3, 4, 8}) {
    if (width == bits || (widen && width > bits)) {
      return width;
    }
  }
  throw NoExactForm("codes there have 2, 3, 4 or 8 bits, not " + std::to_string(bits));
}

QuantSpec target_of(const QuantSpec& from, bool widen) {
  QuantSpecFields fields = from.fields();
  const bool integer = fields.type == NumberType::integer || fields.type == NumberType::ternary;
  if (!integer) {
    throw NoExactForm("its levels are no integers");
  }
  if (fields.scale_dtype == ScaleType::e4m3) {
    throw NoExactForm("a scale of scales is unknown there");
  }
  if (fields.grid == Grid::half) {
    if (!widen) {
      throw NoExactForm("its levels lie between the integers, and the zero points there are integers");
    }
    ++fields.num_bits;
  }
  fields.num_bits = width_for(static_cast<int>(fields.num_bits), widen);
  fields.grid = Grid::integer;
  fields.type = NumberType::integer;
  fields.scale_dtype = ScaleType::float16;
  fields.zero_point_dtype = ZeroPointType::int8;
  if (fields.strategy == Strategy::tensor || fields.strategy == Strategy::block) {
    fields.group_size = fields.strategy == Strategy::block ? fields.block_structure.at(1) : 0;
    fields.strategy = fields.strategy == Strategy::block ? Strategy::group : Strategy::channel;
    fields.block_structure.clear();
  }
  return QuantSpec(fields);
}

std::vector<std::int32_t> group_index_of(const PackedTensor& packed) {
  if (!packed.group_index.empty()) {
    return packed.group_index;
  }
  std::vector<std::int32_t> index(static_cast<std::size_t>(packed.in_features));
  const std::int64_t width = packed.spec.group_width(packed.in_features);
  for (std::size_t i = 0; i < index.size(); ++i) {
    index[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) / width);
  }
  return index;
}

// [out, groups] of zero codes, as they are stored.
std::vector<std::uint8_t> stored_zeros(const PackedTensor& packed, GptqVersion version) {
  const int middle = 1 << (packed.spec.bits() - 1);
  std::vector<std::uint8_t> zeros;
  for (std::size_t i = 0; i < packed.scale.size(); ++i) {
    int zero = middle + (packed.zero_point.empty() ? 0 : packed.zero_point[i]);
    if (version == GptqVersion::v1 && zero-- == 0) {
      throw NoExactForm(
          "version 1 stores a zero less one, and a zero of 0 would wrap round; version 2 holds it");
    }
    zeros.push_back(static_cast<std::uint8_t>(zero));
  }
  return zeros;
}

std::int64_t extent(std::size_t size) {
  return static_cast<std::int64_t>(size);
}

class GptqReader {
 public:
  GptqReader(const Members& members, const GptqClaim& claim) : reader_(members, "GPTQ"), claim_(claim) {}

  PackedTensor read() {
    read_extents();
    read_groups();
    const std::vector<std::uint8_t> codes = read_codes();
    read_scales();
    read_zeros();
    reader_.finish();
    packed_.group_index = std::move(scattered_);
    return pack(std::move(packed_), codes);
  }

 private:
  int bits() const { return static_cast<int>(claim_.bits); }
  void read_extents();
  void read_groups();
  std::vector<std::uint8_t> read_codes();
  void read_scales();
  void read_zeros();

  MemberReader reader_;
  GptqClaim claim_;
  PackedTensor packed_;
  std::vector<std::int32_t> scattered_;
};

void GptqReader::read_extents() {
  if (bits() != 2 && bits() != 3 && bits() != 4 && bits() != 8) {
    reader_.fail("bits " + std::to_string(claim_.bits), "codes have 2, 3, 4 or 8 bits");
  }
  const data::RawTensor& words = reader_.get("qweight", 2);
  const std::int64_t rows = words.shape[0];
  if (rows > kLargestExtent || words.shape[1] > kLargestExtent || rows % bits() != 0 ||
      words.shape[1] % kMultiple != 0) {
    reader_.fail("tensor qweight has shape " + shape_text(words.shape) + " with codes of " +
                     std::to_string(bits()) + " bits",
                 "both extents of a weight are multiples of 32");
  }
  packed_.out_features = words.shape[1];
  packed_.in_features = rows / bits() * kMultiple;
}

// The spec, and which input has which group.
void GptqReader::read_groups() {
  const bool one_group = claim_.group_size == -1;
  const std::int64_t size = one_group ? packed_.in_features : claim_.group_size;
  if (size < 1 || packed_.in_features % size != 0) {
    reader_.fail("group_size " + std::to_string(claim_.group_size) + " with " +
                     std::to_string(packed_.in_features) + " inputs",
                 "groups are of equal size");
  }
  QuantSpecFields fields;
  fields.num_bits = claim_.bits;
  fields.symmetric = claim_.symmetric;
  fields.strategy = one_group ? Strategy::channel : Strategy::group;
  fields.group_size = one_group ? 0 : size;
  packed_.spec = QuantSpec(fields);
  if (!reader_.contains("g_idx")) {
    return;
  }
  auto index = reader_.values<std::int32_t>("g_idx", DType::int32, {packed_.in_features});
  if (index != group_index_of(packed_)) {
    if (one_group) {
      reader_.fail("tensor g_idx names several groups", "group_size -1 has one");
    }
    scattered_ = std::move(index);
  }
}

std::vector<std::uint8_t> GptqReader::read_codes() {
  const auto out = static_cast<std::size_t>(packed_.out_features);
  const auto in = static_cast<std::size_t>(packed_.in_features);
  const auto words = reader_.values<std::uint32_t>(
      "qweight", DType::int32, {packed_.in_features * claim_.bits / kMultiple, packed_.out_features});
  return unpack_matrix(transposed<std::uint32_t>(words, out), in, bits());
}

void GptqReader::read_scales() {
  ScaleType type = ScaleType::float16;
  const std::int64_t groups = packed_.spec.groups(packed_.in_features);
  const auto scales = reader_.scales("scales", {groups, packed_.out_features}, type);
  packed_.scale = transposed<float>(scales, static_cast<std::size_t>(packed_.out_features));
  QuantSpecFields fields = packed_.spec.fields();
  fields.scale_dtype = type;
  packed_.spec = QuantSpec(fields);
}

void GptqReader::read_zeros() {
  const auto out = static_cast<std::size_t>(packed_.out_features);
  const std::int64_t groups = packed_.spec.groups(packed_.in_features);
  const auto words = reader_.values<std::uint32_t>("qzeros", DType::int32,
                                                   {groups, packed_.out_features * claim_.bits / kMultiple});
  const int middle = 1 << (bits() - 1);
  for (const std::uint8_t stored : transposed<std::uint8_t>(unpack_matrix(words, out, bits()), out)) {
    const int zero = stored + (claim_.version == GptqVersion::v1 ? 1 : 0);
    if (zero == 2 * middle) {
      reader_.fail(
          "tensor qzeros holds " + std::to_string(stored) + " of " + std::to_string(bits()) + " bits",
          "version 1 stores a zero less one, and readers differ on whether this one is 0");
    }
    if (claim_.symmetric && zero != middle) {
      reader_.fail("tensor qzeros holds a zero of " + std::to_string(zero),
                   "sym is true, so zeros are " + std::to_string(middle));
    }
    if (!claim_.symmetric) {
      packed_.zero_point.push_back(static_cast<std::int8_t>(zero - middle));
    }
  }
}

}  // namespace

GptqLayer to_gptq(const PackedTensor& packed, const GptqOptions& options) {
  refuse_input_transform(packed, "GPTQ");
  const QuantSpec target = target_of(packed.spec, options.widen);
  const PackedTensor restated = restate(packed, target);
  if (packed.out_features % kMultiple != 0 || packed.in_features % kMultiple != 0) {
    throw NoExactForm("a weight of " + std::to_string(packed.out_features) + " x " +
                      std::to_string(packed.in_features) + " is no multiple of 32 both ways");
  }
  const auto in = static_cast<std::size_t>(packed.in_features);
  const auto out = static_cast<std::size_t>(packed.out_features);
  const auto groups = static_cast<std::size_t>(target.groups(packed.in_features));
  const std::size_t rows = words_of_row(in, target.bits(), WordLayout::dense);
  const std::size_t columns = words_of_row(out, target.bits(), WordLayout::dense);
  const std::vector<std::uint8_t> zeros =
      transposed<std::uint8_t>(stored_zeros(restated, options.version), groups);
  const std::vector<float> scales = transposed<float>(restated.scale, groups);
  GptqLayer layer{target, !restated.group_index.empty(), {}};
  layer.members["qweight"] = raw_tensor(DType::int32, {extent(rows), packed.out_features},
                                        transposed<std::uint32_t>(restated.codes, rows));
  layer.members["qzeros"] =
      raw_tensor(DType::int32, {extent(groups), extent(columns)}, pack_matrix(zeros, out, target.bits()));
  layer.members["scales"] = raw_tensor(DType::float16, {extent(groups), packed.out_features},
                                       encode_scales(scales, ScaleType::float16));
  layer.members["g_idx"] = raw_tensor(DType::int32, {packed.in_features}, group_index_of(restated));
  return layer;
}

PackedTensor from_gptq(const Members& members, const GptqClaim& claim) {
  return GptqReader(members, claim).read();
}

}  // namespace bitlaw::quant
