#include "quant/containers/scale_map.h"

#include <utility>

namespace bitlaw::quant {

ScaleMap::ScaleMap(const QuantSpec& spec, std::int64_t out_features, std::int64_t in_features,
                   std::vector<std::int32_t> group_index)
    : rows_(static_cast<std::size_t>(spec.scale_rows(out_features))),
      columns_(static_cast<std::size_t>(spec.groups(in_features))),
      width_(static_cast<std::size_t>(spec.group_width(in_features))),
      height_(static_cast<std::size_t>(spec.group_height(out_features))),
      group_index_(std::move(group_index)) {}

ScaleMap::ScaleMap(const PackedTensor& packed)
    : ScaleMap(packed.spec, packed.out_features, packed.in_features, packed.group_index) {}

}  // namespace bitlaw::quant
