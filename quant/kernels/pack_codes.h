// The bulk of a row of codes as a dense bitstream (quant/pack.h). Vector instructions are chosen at run time
// and give the same bytes. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitlaw::quant {

// Packs the first codes of a row, as many as whole vectors hold; how many, a multiple of 8. bits: 2 to 8.
// Bytes of `into` behind those codes may be written, too.
std::size_t pack_first_codes(std::span<const std::uint8_t> codes, int bits, std::span<std::byte> into);

}  // namespace bitlaw::quant
