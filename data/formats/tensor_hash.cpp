// A hash of named tensors that does not depend on how their elements are spread over ranks or files.
//
// Element i of tensor `name`, whose bits (zero-extended) are x:
//   low  = mix(x ^ (XXH64(name, seed 0) + i * kStepLow))
//   high = mix((x * kSpread) ^ (XXH64(name, seed 1) + i * kStepHigh))
// with mix the 64-bit finaliser of splitmix64. The hash is the sum of the 128-bit numbers high:low. Elements
// do not depend on each other, so the loop pipelines. Part of the format of checkpoints: never change it.
#include "data/formats/tensor_hash.h"

#include <cstring>
#include <stdexcept>

#include "data/formats/checksum.h"

namespace bitlaw::data {

namespace {

constexpr std::uint64_t kStepLow = 0x9E3779B97F4A7C15;
constexpr std::uint64_t kStepHigh = 0xC2B2AE3D27D4EB4F;
constexpr std::uint64_t kSpread = 0xD6E8FEB86659FD93;

std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

struct Sum {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  void add(std::uint64_t more_low, std::uint64_t more_high) {
    low += more_low;
    high += more_high + static_cast<std::uint64_t>(low < more_low);
  }
};

template <class Word>
Sum sum_elements(std::span<const std::byte> bytes, std::uint64_t key_low, std::uint64_t key_high) {
  Sum sum;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(Word)) {
    Word bits;
    std::memcpy(&bits, bytes.data() + at, sizeof(bits));
    const auto x = static_cast<std::uint64_t>(bits);
    sum.add(mix(x ^ key_low), mix((x * kSpread) ^ key_high));
    key_low += kStepLow;
    key_high += kStepHigh;
  }
  return sum;
}

}  // namespace

void TensorHash::add(std::string_view name, std::span<const std::byte> bytes, std::size_t element_size,
                     std::int64_t first_index) {
  const auto name_bytes = std::as_bytes(std::span(name));
  const auto first = static_cast<std::uint64_t>(first_index);
  const std::uint64_t key_low = xxh64(name_bytes, 0) + first * kStepLow;
  const std::uint64_t key_high = xxh64(name_bytes, 1) + first * kStepHigh;
  if (element_size == 0 || bytes.size() % element_size != 0) {
    throw std::invalid_argument("bytes are no whole number of elements");
  }
  Sum sum;
  switch (element_size) {
    case 1:
      sum = sum_elements<std::uint8_t>(bytes, key_low, key_high);
      break;
    case 2:
      sum = sum_elements<std::uint16_t>(bytes, key_low, key_high);
      break;
    case 4:
      sum = sum_elements<std::uint32_t>(bytes, key_low, key_high);
      break;
    case 8:
      sum = sum_elements<std::uint64_t>(bytes, key_low, key_high);
      break;
    default:
      throw std::invalid_argument("elements of " + std::to_string(element_size) + " bytes are not hashed");
  }
  Sum total{low_, high_};
  total.add(sum.low, sum.high);
  low_ = total.low;
  high_ = total.high;
}

void TensorHash::merge(const TensorHash& other) {
  Sum total{low_, high_};
  total.add(other.low_, other.high_);
  low_ = total.low;
  high_ = total.high;
}

std::string TensorHash::hex() const {
  return to_hex(high_) + to_hex(low_);
}

}  // namespace bitlaw::data
