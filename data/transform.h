// Mirroring and shifting of training images, as a function of (seed, sample id) alone. Torch-free.
#pragma once

#include <cstdint>
#include <span>

namespace bitlaw::data {

struct AugmentOptions {
  bool flip = false;              // left-right, with probability one half
  std::int64_t crop_padding = 0;  // P: the image is padded by P black pixels (-1) a side, and a window of its
                                  // own size is cut out at a uniform place
  std::uint64_t seed = 0;

  bool any() const { return flip || crop_padding > 0; }
};

struct Augmentation {
  bool mirrored = false;
  std::int64_t shift_y = 0;  // output row y is input row y + shift_y; -P <= shift <= P
  std::int64_t shift_x = 0;  // the same for columns, before mirroring
};

// sample_id: place in the stream (Batch::sample_ids), so each visit of a sample draws anew. Purpose::augment.
Augmentation draw_augmentation(const AugmentOptions& options, std::int64_t sample_id);

// image: [channels, height, width] in [-1, 1], changed in place.
void augment(std::span<float> image, std::int64_t channels, std::int64_t height, std::int64_t width,
             const Augmentation& augmentation);

}  // namespace bitlaw::data
