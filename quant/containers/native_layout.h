// Names of the native file: what version 1 defines, and what versions 2 and 3 add. A file has the first
// version that defines everything in it. Torch-free.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlaw::quant::native {

inline constexpr std::int64_t kFirstVersion = 1;
inline constexpr std::int64_t kInputsVersion = 3;  // static inputs, and dynamic groups of inputs
inline constexpr std::int64_t kVersion = 3;
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

// Since version 2, where they apply.
inline constexpr const char* kFloatFormat = "format";              // type float
inline constexpr const char* kBlockStructure = "block_structure";  // strategy block
inline constexpr const char* kHadamardBlock = "hadamard_block";

// Members of /weights/<module> since version 2: docs/formats.md.
inline constexpr const char* kGroupIndex = "group_index";
inline constexpr const char* kGlobalScale = "global_scale";
inline constexpr const char* kScaleNegative = "scale_negative";
inline constexpr const char* kInputTransform = "input_transform";
struct LaterMember {
  std::string_view name;
  std::string_view feature;
};
inline constexpr std::array<LaterMember, 4> kLaterMembers = {
    {{kGroupIndex, "groups of scattered inputs"},
     {kGlobalScale, "a scale of scales"},
     {kScaleNegative, "another scale for negative codes"},
     {kInputTransform, "a transform of the input before the product"}}};

}  // namespace bitlaw::quant::native
