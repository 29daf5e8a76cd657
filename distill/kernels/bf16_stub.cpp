// For machines without AVX512-BF16 instructions at all: says so, and is never asked for more.
#include <stdexcept>

#include "distill/kernels/attention_bf16.h"
#include "distill/kernels/product_bf16.h"

namespace bitlaw::distill::kernels {

namespace {
[[noreturn]] void refuse() {
  throw std::logic_error("bfloat16 kernels are not built for this machine");
}
}  // namespace

bool bf16_products_supported() {
  return false;
}

struct AttentionSpace::Buffers {};
AttentionSpace::AttentionSpace(const HeadShape& /*shape*/, Use /*use*/) {
  refuse();
}
AttentionSpace::~AttentionSpace() = default;

void attend(const HeadShape& /*shape*/, const HeadForward& /*head*/, AttentionSpace& /*space*/) {
  refuse();
}
float attend_backward(const HeadShape& /*shape*/, const HeadBackward& /*head*/, AttentionSpace& /*space*/) {
  refuse();
}
void head_product(const HeadProduct& /*product*/, std::int64_t /*first*/, std::int64_t /*last*/) {
  refuse();
}
void round_and_sum_columns(const float* /*gradient*/, std::int64_t /*rows*/, std::int64_t /*columns*/,
                           std::uint16_t* /*rounded*/, float* /*column_sums*/) {
  refuse();
}

}  // namespace bitlaw::distill::kernels
