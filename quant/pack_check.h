// What must hold of a packed tensor besides check_packed of quant/pack.h. Torch-free.
#pragma once

#include <cstdint>
#include <span>

#include "quant/pack.h"

namespace bitlaw::quant {

// InputError when a weight cannot have these extents or this spec.
void check_extents(const PackedTensor& packed);
// InputError when a code is no level of the spec.
void check_codes(const QuantSpec& spec, std::span<const std::uint8_t> codes);
// InputError when these are no groups of scattered inputs: a group for each input, group_size inputs for each
// group.
void check_group_index(const QuantSpec& spec, std::int64_t in_features,
                       std::span<const std::int32_t> group_index);

}  // namespace bitlaw::quant
