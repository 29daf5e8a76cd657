// XXH64, the checksum of everything that lies on disk.
#include "data/formats/checksum.h"

#include <bit>
#include <cstring>

namespace bitlaw::data {

namespace {

static_assert(std::endian::native == std::endian::little, "files hold little-endian numbers");

// The algorithm's five primes.
constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87;
constexpr std::uint64_t kPrime2 = 0xC2B2AE3D27D4EB4F;
constexpr std::uint64_t kPrime3 = 0x165667B19E3779F9;
constexpr std::uint64_t kPrime4 = 0x85EBCA77C2B2AE63;
constexpr std::uint64_t kPrime5 = 0x27D4EB2F165667C5;
constexpr std::size_t kStripe = 32;  // bytes that the four lanes take at once

template <class Word>
std::uint64_t load(const std::byte* from) {
  Word word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

std::uint64_t round_of(std::uint64_t lane, std::uint64_t input) {
  return std::rotl(lane + input * kPrime2, 31) * kPrime1;
}

// Folds all whole stripes; moves `data` behind them.
std::uint64_t fold_stripes(const std::byte*& data, std::size_t stripes, std::uint64_t seed) {
  std::uint64_t a = seed + kPrime1 + kPrime2;
  std::uint64_t b = seed + kPrime2;
  std::uint64_t c = seed;
  std::uint64_t d = seed - kPrime1;
  for (std::size_t i = 0; i < stripes; ++i, data += kStripe) {
    a = round_of(a, load<std::uint64_t>(data));
    b = round_of(b, load<std::uint64_t>(data + 8));
    c = round_of(c, load<std::uint64_t>(data + 16));
    d = round_of(d, load<std::uint64_t>(data + 24));
  }
  std::uint64_t hash = std::rotl(a, 1) + std::rotl(b, 7) + std::rotl(c, 12) + std::rotl(d, 18);
  for (const std::uint64_t lane : {a, b, c, d}) {
    hash = (hash ^ round_of(0, lane)) * kPrime1 + kPrime4;
  }
  return hash;
}

std::uint64_t fold_tail(std::uint64_t hash, const std::byte* data, std::size_t size) {
  for (; size >= 8; size -= 8, data += 8) {
    hash = std::rotl(hash ^ round_of(0, load<std::uint64_t>(data)), 27) * kPrime1 + kPrime4;
  }
  if (size >= 4) {
    hash = std::rotl(hash ^ (load<std::uint32_t>(data) * kPrime1), 23) * kPrime2 + kPrime3;
    size -= 4;
    data += 4;
  }
  for (; size > 0; --size, ++data) {
    hash = std::rotl(hash ^ (std::to_integer<std::uint64_t>(*data) * kPrime5), 11) * kPrime1;
  }
  return hash;
}

}  // namespace

std::uint64_t xxh64(std::span<const std::byte> bytes, std::uint64_t seed) {
  const std::byte* data = bytes.data();
  const std::size_t stripes = bytes.size() / kStripe;
  std::uint64_t hash = stripes > 0 ? fold_stripes(data, stripes, seed) : seed + kPrime5;
  hash += bytes.size();
  hash = fold_tail(hash, data, bytes.size() % kStripe);
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

std::string to_hex(std::uint64_t value) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) {
    text[i] = "0123456789abcdef"[value & 15];
  }
  return text;
}

}  // namespace bitlaw::data
