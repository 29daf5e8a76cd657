// Parts of LlamaGen's transformer.
#include "distill/models/raster_layers.h"

#include <ATen/ATen.h>

#include "distill/models/positions.h"

namespace bitlaw::distill {

namespace {

constexpr double kRmsNormEpsilon = 1e-5;

std::shared_ptr<quant::Linear> make_linear(std::int64_t in_features, std::int64_t out_features) {
  return std::make_shared<quant::Linear>(in_features, out_features, quant::Linear::Bias::no);
}

// `seen` becomes all of them with `next` after them along the positions.
void append(at::Tensor& seen_BHLD, const at::Tensor& next_BHLD) {
  seen_BHLD = seen_BHLD.defined() ? at::cat({seen_BHLD, next_BHLD}, 2) : next_BHLD.contiguous();
}

}  // namespace

RmsNorm::RmsNorm(std::int64_t width) {
  weight_ = register_parameter("weight", at::ones({width}));
}

at::Tensor RmsNorm::forward(const at::Tensor& x_BLC) {
  const at::Tensor mean_square = x_BLC.square().mean(-1, /*keepdim=*/true);
  return x_BLC * at::rsqrt(mean_square + kRmsNormEpsilon) * rest(weight_);
}

RasterAttention::RasterAttention(const RasterShape& shape) : num_heads_(shape.num_heads) {
  wqkv_ = register_module("wqkv", make_linear(shape.width, 3 * shape.width));
  wo_ = register_module("wo", make_linear(shape.width, shape.width));
}

at::Tensor RasterAttention::forward(const at::Tensor& x_BLC, const at::Tensor& rotary_LP2,
                                    const PastPositions& past) {
  const at::Tensor qkv_3BHLD =
      wqkv_->forward(x_BLC).unflatten(-1, {3, num_heads_, -1}).permute({2, 0, 3, 1, 4});
  const at::Tensor q_BHLD = rotate_pairs(qkv_3BHLD[0], rotary_LP2);
  at::Tensor k_BHSD = rotate_pairs(qkv_3BHLD[1], rotary_LP2), v_BHSD = qkv_3BHLD[2];
  if (past.keys != nullptr) {
    append(*past.keys, k_BHSD);
    append(*past.values, v_BHSD);
    k_BHSD = *past.keys;
    v_BHSD = *past.values;
  }
  const bool causal = past.keys == nullptr;
  const at::Tensor h_BHLD = at::scaled_dot_product_attention(q_BHLD, k_BHSD, v_BHSD, {}, 0.0, causal);
  return wo_->forward(h_BHLD.transpose(1, 2).flatten(2));
}

SwiGlu::SwiGlu(std::int64_t width, std::int64_t hidden) {
  w1_ = register_module("w1", make_linear(width, hidden));
  w3_ = register_module("w3", make_linear(width, hidden));
  w2_ = register_module("w2", make_linear(hidden, width));
}

at::Tensor SwiGlu::forward(const at::Tensor& x_BLC) {
  return w2_->forward(at::silu(w1_->forward(x_BLC)) * w3_->forward(x_BLC));
}

RasterLayer::RasterLayer(const RasterShape& shape) {
  attention_ = register_module("attention", std::make_shared<RasterAttention>(shape));
  feed_forward_ =
      register_module("feed_forward", std::make_shared<SwiGlu>(shape.width, feed_forward_width(shape)));
  attention_norm_ = register_module("attention_norm", std::make_shared<RmsNorm>(shape.width));
  ffn_norm_ = register_module("ffn_norm", std::make_shared<RmsNorm>(shape.width));
}

at::Tensor RasterLayer::forward(const at::Tensor& x_BLC, const at::Tensor& rotary_LP2,
                                const PastPositions& past) {
  const at::Tensor h_BLC = x_BLC + attention_->forward(attention_norm_->forward(x_BLC), rotary_LP2, past);
  return h_BLC + feed_forward_->forward(ffn_norm_->forward(h_BLC));
}

}  // namespace bitlaw::distill
