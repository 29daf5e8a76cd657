// XXH64, the checksum of everything that lies on disk (Yann Collet's published algorithm, specification
// 0.1.1).
//
// Four 64-bit lanes, each of multiplications and rotations: no intrinsics, the same value on every machine,
// about 10 GB/s on one thread. Not cryptographic: it finds damage, not forgery. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace bitlaw::data {

std::uint64_t xxh64(std::span<const std::byte> bytes, std::uint64_t seed = 0);

std::string to_hex(std::uint64_t value);  // 16 digits

}  // namespace bitlaw::data
