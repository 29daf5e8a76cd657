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

std::array<std::uint32_t, 4> philox(const RandomKey& key, std::uint64_t position);

double uniform(const RandomKey& key, std::uint64_t position);  // [0, 1), 53 bits
double normal(const RandomKey& key, std::uint64_t position);   // mean 0, standard deviation 1 (Box-Muller)
void fill_uniform(const RandomKey& key, std::span<float> into);
void fill_normal(const RandomKey& key, std::span<float> into);
std::uint64_t hash_name(std::string_view name);  // for `step` of Purpose::initialise: FNV-1a 64

// A permutation of 0..count-1 that is a function of (seed, epoch): a Feistel network over the next power of
// four with cycle walking. O(1) memory, O(1) per element.
class Permutation {
 public:
  Permutation(std::uint64_t count, std::uint64_t seed, std::uint64_t epoch);
  std::uint64_t operator()(std::uint64_t index) const;  // index < count

 private:
  std::uint64_t count_;
  std::uint32_t half_bits_;
  RandomKey key_;
};

}  // namespace bitlaw::data
