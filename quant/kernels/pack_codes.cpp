#include "quant/kernels/pack_codes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/kernels/pack_codes.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR  // no lanes to join

std::size_t pack(const std::uint8_t* /*codes*/, std::size_t /*count*/, int /*bits*/, std::uint8_t* /*into*/,
                 std::size_t /*room*/) {
  return 0;
}

#else

// Joins neighbouring lanes of half the width, `used` bits of each, in the lower bits of every lane.
template <int used, class D, class V>
HWY_INLINE hn::Vec<D> join(D d, V halves) {
  using Lane = hn::TFromD<D>;
  constexpr int kHalf = static_cast<int>(sizeof(Lane)) * 4;
  constexpr auto kAll = static_cast<Lane>(static_cast<Lane>(~Lane{0}) >> (2 * kHalf - 2 * used));
  constexpr auto kLow = static_cast<Lane>(static_cast<Lane>(~Lane{0}) >> (2 * kHalf - used));
  const auto x = hn::BitCast(d, halves);
  const auto moved = hn::ShiftRight<kHalf - used>(x);
  if constexpr (2 * used <= kHalf) {  // what moves arrives below where it was
    return hn::And(hn::Or(x, moved), hn::Set(d, kAll));
  } else {
    return hn::Or(hn::And(x, hn::Set(d, kLow)), hn::And(moved, hn::Set(d, kAll ^ kLow)));
  }
}

// 4 and 2 bits: 2 or 4 codes make a byte, which is the lowest of a lane.
template <int bits>
HWY_INLINE std::size_t pack_bytes(const std::uint8_t* codes, std::size_t count, std::uint8_t* into) {
  const hn::ScalableTag<std::uint8_t> d8;
  const hn::RepartitionToWide<decltype(d8)> d16;
  const hn::RepartitionToWide<decltype(d16)> d32;
  const std::size_t lanes = hn::Lanes(d8);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto pairs = join<bits>(d16, hn::LoadU(d8, codes + i));
    if constexpr (bits == 4) {
      const hn::Rebind<std::uint8_t, decltype(d16)> bytes;
      hn::StoreU(hn::TruncateTo(bytes, pairs), bytes, into + i / 2);
    } else {
      const hn::Rebind<std::uint8_t, decltype(d32)> bytes;
      hn::StoreU(hn::TruncateTo(bytes, join<2 * bits>(d32, pairs)), bytes, into + i / 4);
    }
  }
  return i;
}

// Any width: 8 codes make `bits` bytes of a lane of 8; two lanes a step, and a store of 16 bytes of which the
// next one writes over those that are not full.
template <int bits>
HWY_INLINE std::size_t pack_eights(const std::uint8_t* codes, std::size_t count, std::uint8_t* into,
                                   std::size_t room) {
  const hn::FixedTag<std::uint8_t, 16> d8;
  const hn::FixedTag<std::uint16_t, 8> d16;
  const hn::FixedTag<std::uint32_t, 4> d32;
  const hn::FixedTag<std::uint64_t, 2> d64;
  HWY_ALIGN std::uint8_t order[16];
  for (std::uint8_t i = 0; i < 16; ++i) {
    order[i] = i < bits ? i : (i < 2 * bits ? static_cast<std::uint8_t>(8 + i - bits) : std::uint8_t{0x80});
  }
  const auto places = hn::Load(d8, order);
  std::size_t i = 0;
  for (std::size_t at = 0; i + 16 <= count && at + 16 <= room; i += 16, at += 2 * std::size_t{bits}) {
    const auto pairs = join<bits>(d16, hn::LoadU(d8, codes + i));
    const auto eights = join<4 * bits>(d64, join<2 * bits>(d32, pairs));
    hn::StoreU(hn::TableLookupBytesOr0(hn::BitCast(d8, eights), places), d8, into + at);
  }
  return i;
}

std::size_t pack(const std::uint8_t* codes, std::size_t count, int bits, std::uint8_t* into,
                 std::size_t room) {
  switch (bits) {
    case 2:
      return pack_bytes<2>(codes, count, into);
    case 3:
      return pack_eights<3>(codes, count, into, room);
    case 4:
      return pack_bytes<4>(codes, count, into);
    case 5:
      return pack_eights<5>(codes, count, into, room);
    case 6:
      return pack_eights<6>(codes, count, into, room);
    case 7:
      return pack_eights<7>(codes, count, into, room);
    default:
      return 0;
  }
}

#endif

}  // namespace bitlaw::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitlaw::quant {

namespace {
HWY_EXPORT(pack);
}  // namespace

std::size_t pack_first_codes(std::span<const std::uint8_t> codes, int bits, std::span<std::byte> into) {
  if (bits == 8) {
    const std::size_t whole = std::min(codes.size(), into.size()) / 8 * 8;
    std::memcpy(into.data(), codes.data(), whole);
    return whole;
  }
  auto* const bytes = static_cast<std::uint8_t*>(static_cast<void*>(into.data()));
  return HWY_DYNAMIC_DISPATCH(pack)(codes.data(), codes.size(), bits, bytes, into.size());
}

}  // namespace bitlaw::quant
#endif  // HWY_ONCE
