// The JSON of a safetensors file: parsed without trust, written as the reference writer does. Torch-free.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "data/formats/safetensors.h"

namespace bitlaw::data {

inline constexpr std::uint64_t kLargestSafetensorsHeader = 100'000'000;  // bytes; the format's own limit

// dtype names in the format's own order, narrowest first, which is the order of the file backwards.
inline constexpr std::array<std::pair<std::string_view, DType>, 22> kSafetensorsTypes = {{
    {"BOOL", DType::boolean},
    {"F4", DType::float4_e2m1},
    {"F6_E2M3", DType::float6_e2m3},
    {"F6_E3M2", DType::float6_e3m2},
    {"U8", DType::uint8},
    {"I8", DType::int8},
    {"F8_E5M2", DType::float8_e5m2},
    {"F8_E4M3", DType::float8_e4m3fn},
    {"F8_E8M0", DType::float8_e8m0fnu},
    {"F8_E4M3FNUZ", DType::float8_e4m3fnuz},
    {"F8_E5M2FNUZ", DType::float8_e5m2fnuz},
    {"I16", DType::int16},
    {"U16", DType::uint16},
    {"F16", DType::float16},
    {"BF16", DType::bfloat16},
    {"I32", DType::int32},
    {"U32", DType::uint32},
    {"F32", DType::float32},
    {"C64", DType::complex64},
    {"F64", DType::float64},
    {"I64", DType::int64},
    {"U64", DType::uint64},
}};

std::string_view safetensors_name(DType dtype);

// Parses and checks everything: JSON (depth, duplicates, types), names, dtypes, shapes against offsets, and
// that the tensors tile `data_bytes` bytes. `origin` is the file, for messages.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_bytes,
                                           const std::string& origin);

// JSON with spaces at its end, a multiple of 8 bytes; begin and end are taken from the entries.
std::string safetensors_header_text(const SafetensorsHeader& header, std::span<const std::string> order);

}  // namespace bitlaw::data
