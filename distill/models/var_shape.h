// Geometry of a VAR transformer. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

namespace bitlaw::distill {

struct VarShape {
  std::int64_t depth = 0;
  std::int64_t width = 0;
  std::int64_t num_heads = 0;
  double mlp_ratio = 4.0;
  std::int64_t num_classes = 0;  // the dropped label is index num_classes
  std::int64_t vocab_size = 0;
  std::int64_t latent_channels = 0;
  std::vector<std::int64_t> patch_nums;
  bool attn_l2_norm = true;
  bool shared_ada_lin = false;
};

}  // namespace bitlaw::distill
