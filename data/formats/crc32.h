// CRC-32 of zip archives (ISO 3309, polynomial 0xEDB88320 with the bits reversed). Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitlaw::data {

// Continues `crc`, the sum of the bytes before.
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t crc = 0);

}  // namespace bitlaw::data
