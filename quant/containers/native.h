// bitlaw's own file of a quantised model (HDF5 by data::TensorFile). The layout is described in
// docs/formats.md.
//
//   /weights/<module>   codes uint32 [out, ceil(in*bits/32)], scale in scale_dtype [out, groups],
//                       zero_point int8 or float16 [out, groups], scale_negative, global_scale, group_index,
//                       input_transform where there are such;
//                       attributes num_bits, type, symmetric, grid, strategy, group_size, shape; format,
//                       block_structure, scale_dtype, hadamard_block where they apply
//   /activations/<module>  attributes of an activation spec; scale [1] in scale_dtype and zero_point int8 or
//                       float16 [1] where the scale is static
//   /tensors/<name>     what stays unquantised, in rest_dtype
//   root attributes     format "bitlaw-model", version, config (YAML), model_bits, source (JSON)
// num_bits, symmetric (0 or 1), group_size, version and model_bits are integers, shape a list of two, the
// others texts. A reader refuses what it does not know. Torch-free.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/formats/raw_tensor.h"
#include "quant/pack.h"
#include "quant/packed_input.h"

namespace bitlaw::quant {

struct PackedModel {
  std::map<std::string, PackedTensor> weights;     // by module name
  std::map<std::string, PackedInput> activations;  // by module name
  std::map<std::string, data::RawTensor> tensors;  // by tensor name
  std::map<std::string, std::string> attributes;   // config, model_bits, source: any of them, no others

  bool operator==(const PackedModel&) const = default;
};

// Writes under a temporary name, reads back, compares every value, renames. Errors leave nothing: InputError
// of the disk, std::invalid_argument for a model that has no native form (a name that is no path, a scale
// that is not exact in its type, another attribute).
void write_native(const std::filesystem::path& path, const PackedModel& model);
PackedModel read_native(const std::filesystem::path& path);  // InputError naming path and member

}  // namespace bitlaw::quant
