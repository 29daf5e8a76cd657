// Names of the native file: what version 1 defines, and what later versions are going to add. Torch-free.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlaw::quant::native {

inline constexpr std::int64_t kVersion = 1;
inline constexpr const char* kFormat = "bitlaw-model";

// Attributes of the root besides format and version.
inline constexpr const char* kModelBits = "model_bits";  // integer
inline constexpr const char* kConfig = "config";
inline constexpr const char* kSource = "source";

inline constexpr const char* kWeights = "weights";
inline constexpr const char* kActivations = "activations";
inline constexpr const char* kTensors = "tensors";

inline constexpr const char* kCodes = "codes";
inline constexpr const char* kScale = "scale";
inline constexpr const char* kZeroPoint = "zero_point";

// Attributes of /weights/<module> and, but for shape, of /activations/<module>, which has scale_dtype too.
inline constexpr std::array<std::string_view, 6> kSpecAttributes = {"num_bits", "type",     "symmetric",
                                                                    "grid",     "strategy", "group_size"};
inline constexpr const char* kShape = "shape";
inline constexpr const char* kScaleDtype = "scale_dtype";

// Members of /weights/<module> that have a meaning, but not in version 1: docs/formats.md.
struct LaterMember {
  std::string_view name;
  std::string_view feature;
};
inline constexpr std::array<LaterMember, 4> kLaterMembers = {
    {{"group_index", "groups of scattered inputs"},
     {"global_scale", "a scale of scales"},
     {"scale_negative", "another scale for negative codes"},
     {"input_transform", "a transform of the input before the product"}}};

}  // namespace bitlaw::quant::native
