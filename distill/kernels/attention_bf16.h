// Block-causal attention of one head in bfloat16 with float32 sums, forward and backward, without ever
// holding all scores: rows of queries are worked through in chunks that stay in the cache, and backward makes
// the probabilities again from the logarithm of each row's sum. AVX512-BF16. Torch-free.
//
// A query of scale k sees the keys of scales 0..k; no other score is computed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace bitlaw::distill::kernels {

// Whether this CPU has the instructions; nothing else of this file or product_bf16.h may run otherwise.
bool bf16_products_supported();

struct HeadShape {
  std::int64_t tokens = 0;    // L
  std::int64_t head_dim = 0;  // D, a multiple of 16
  std::span<const std::int64_t> scale_ends;
  std::int64_t qkv_stride = 0;  // elements between tokens of q, k, v and their gradients
  std::int64_t out_stride = 0;  // of the output and its gradient
  bool unit_length = false;     // q and k are normalised to length 1
  float query_factor = 1.0F;    // q is multiplied by it (after normalisation)
};

// bfloat16 bit patterns; each pointer is the head's first element of token 0.
struct HeadForward {
  const std::uint16_t* q = nullptr;
  const std::uint16_t* k = nullptr;
  const std::uint16_t* v = nullptr;
  std::uint16_t* out = nullptr;
  float* log_sum = nullptr;  // [L]: log of the sum of exponentiated scores
};

struct HeadBackward {
  HeadForward forward;  // out and log_sum as the forward left them
  const std::uint16_t* grad_out = nullptr;
  std::uint16_t* grad_q = nullptr;
  std::uint16_t* grad_k = nullptr;
  std::uint16_t* grad_v = nullptr;
};

// Work space of one thread, for heads of one shape.
class AttentionSpace {
 public:
  enum class Use { forward, backward };
  AttentionSpace(const HeadShape& shape, Use use);
  ~AttentionSpace();
  struct Buffers;
  Buffers& buffers() { return *buffers_; }

 private:
  std::unique_ptr<Buffers> buffers_;
};

void attend(const HeadShape& shape, const HeadForward& head, AttentionSpace& space);
// Returns d loss / d query_factor.
float attend_backward(const HeadShape& shape, const HeadBackward& head, AttentionSpace& space);

}  // namespace bitlaw::distill::kernels
