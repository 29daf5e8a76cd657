// Counter-based randomness (Philox 4x32-10, Salmon et al. 2011): every random number is a function of
// (run seed, purpose, step, sample id, position). There is no state to save, and nothing depends on the
// number of ranks, workers or micro batches.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace bitlaw::data {

// What a stream of random numbers is for; streams of different purposes are independent. Values are part of
// the file format of a run (they decide its bits): append, never renumber.
enum class Purpose : std::uint32_t {
  initialise = 0,
  shuffle = 1,
  augment = 2,
  label_drop = 3,
  codebook = 4,
  sampling = 5,
  synthetic = 6,
};

struct RandomKey {
  std::uint64_t seed = 0;
  Purpose purpose = Purpose::initialise;
  std::uint64_t step = 0;    // optimiser step, epoch or tensor-name hash, as the purpose needs
  std::uint64_t sample = 0;  // logical sample id, never a rank
};

// The bare function: ten rounds over a 128-bit counter with a 64-bit key, least significant word first.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

std::array<std::uint32_t, 4> philox(const RandomKey& key, std::uint64_t position);

double uniform(const RandomKey& key, std::uint64_t position);  // [0, 1), 53 bits
double normal(const RandomKey& key, std::uint64_t position);   // mean 0, standard deviation 1 (Box-Muller)
// Element i from word i mod 4 of block i / 4: another stream than uniform() and normal() at position i.
void fill_uniform(const RandomKey& key, std::span<float> into);  // [0, 1), 24 bits
void fill_normal(const RandomKey& key, std::span<float> into);
std::uint64_t hash_name(std::string_view name);  // for `step` of Purpose::initialise: FNV-1a 64

// A permutation of 0..count-1 that is a function of (seed, epoch): a Feistel network over the next power of
// four with cycle walking. O(1) memory, O(1) per element.
class Permutation {
 public:
  Permutation(std::uint64_t count, std::uint64_t seed, std::uint64_t epoch);
  std::uint64_t operator()(std::uint64_t index) const;  // index < count

 private:
  std::uint64_t scramble(std::uint64_t value) const;

  std::uint64_t count_;
  std::uint32_t half_bits_;  // the network's domain is 4^half_bits_
  std::array<std::uint32_t, 2> key_;
};

}  // namespace bitlaw::data
