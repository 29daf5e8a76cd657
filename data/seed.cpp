// Counter-based randomness: Philox 4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
// easy as 1, 2, 3" (2011).
//
// A RandomKey becomes Philox's 64-bit key: the first two words of Philox with key = seed and counter =
// (step, purpose). The 128-bit counter is then (position, sample).
#include "data/seed.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace bitlaw::data {

namespace {

using Block = std::array<std::uint32_t, 4>;
using Key = std::array<std::uint32_t, 2>;

constexpr std::uint32_t low_of(std::uint64_t x) {
  return static_cast<std::uint32_t>(x);
}
constexpr std::uint32_t high_of(std::uint64_t x) {
  return static_cast<std::uint32_t>(x >> 32);
}

Key key_of(const RandomKey& key) {
  const Block block =
      philox4x32({low_of(key.step), high_of(key.step), static_cast<std::uint32_t>(key.purpose), 0},
                 {low_of(key.seed), high_of(key.seed)});
  return {block[0], block[1]};
}

Block block_at(const Key& key, std::uint64_t sample, std::uint64_t position) {
  return philox4x32({low_of(position), high_of(position), low_of(sample), high_of(sample)}, key);
}

double unit(std::uint32_t a, std::uint32_t b) {  // [0, 1), 53 bits
  const std::uint64_t bits = (std::uint64_t{a} << 32 | b) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

struct Pair {
  double first;
  double second;
};

// Box-Muller; u in (0, 1], v in [0, 1).
Pair normal_pair(double u, double v) {
  const double radius = std::sqrt(-2.0 * std::log(u));
  const double angle = 2.0 * std::numbers::pi * v;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

Pair normal_pair(std::uint32_t a, std::uint32_t b) {
  return normal_pair((a + 1.0) * 0x1p-32, b * 0x1p-32);
}

}  // namespace

Block philox4x32(Block counter, Key key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {high_of(b) ^ counter[1] ^ key[0], low_of(b), high_of(a) ^ counter[3] ^ key[1], low_of(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

Block philox(const RandomKey& key, std::uint64_t position) {
  return block_at(key_of(key), key.sample, position);
}

double uniform(const RandomKey& key, std::uint64_t position) {
  const Block block = philox(key, position);
  return unit(block[0], block[1]);
}

double normal(const RandomKey& key, std::uint64_t position) {
  const Block block = philox(key, position);
  return normal_pair(1.0 - unit(block[0], block[1]), unit(block[2], block[3])).first;
}

void fill_uniform(const RandomKey& key, std::span<float> into) {
  const Key derived = key_of(key);
  for (std::size_t i = 0; i < into.size(); i += 4) {
    const Block block = block_at(derived, key.sample, i / 4);
    for (std::size_t j = 0; j < std::min<std::size_t>(4, into.size() - i); ++j) {
      into[i + j] = static_cast<float>(block[j] >> 8) * 0x1p-24F;
    }
  }
}

void fill_normal(const RandomKey& key, std::span<float> into) {
  const Key derived = key_of(key);
  for (std::size_t i = 0; i < into.size(); i += 4) {
    const Block block = block_at(derived, key.sample, i / 4);
    const Pair a = normal_pair(block[0], block[1]);
    const Pair b = normal_pair(block[2], block[3]);
    const std::array<double, 4> values = {a.first, a.second, b.first, b.second};
    for (std::size_t j = 0; j < std::min<std::size_t>(4, into.size() - i); ++j) {
      into[i + j] = static_cast<float>(values[j]);
    }
  }
}

std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  }
  return hash;
}

Permutation::Permutation(std::uint64_t count, std::uint64_t seed, std::uint64_t epoch)
    : count_(count), half_bits_(1), key_(key_of({seed, Purpose::shuffle, epoch, 0})) {
  if (count > (std::uint64_t{1} << 62)) {
    throw std::invalid_argument("a permutation has at most 2^62 elements");
  }
  while ((std::uint64_t{1} << (2 * half_bits_)) < count) {
    ++half_bits_;
  }
}

// One pass of the Feistel network over 2 * half_bits_ bits.
std::uint64_t Permutation::scramble(std::uint64_t value) const {
  constexpr std::uint64_t kRounds = 8;
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t left = value >> half_bits_;
  std::uint64_t right = value & mask;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    const std::uint64_t next = left ^ (block_at(key_, round, right)[0] & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

// Values beyond count_ are scrambled again: the walk along the cycle ends inside, and no two end in one
// place.
std::uint64_t Permutation::operator()(std::uint64_t index) const {
  if (index >= count_) {
    throw std::invalid_argument("index " + std::to_string(index) + " lies outside a permutation of " +
                                std::to_string(count_));
  }
  do {
    index = scramble(index);
  } while (index >= count_);
  return index;
}

}  // namespace bitlaw::data
