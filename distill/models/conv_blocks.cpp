// Building blocks of the tokenizer's encoder and decoder.
#include "distill/models/conv_blocks.h"

#include <ATen/ATen.h>

#include <cmath>

namespace bitlaw::distill {

std::shared_ptr<quant::Conv2d> make_conv3x3(std::int64_t in_channels, std::int64_t out_channels) {
  return std::make_shared<quant::Conv2d>(in_channels, out_channels, 3,
                                         quant::Conv2dOptions{.stride = 1, .padding = 1});
}

std::shared_ptr<quant::GroupNorm> make_norm(std::int64_t groups, std::int64_t channels) {
  return std::make_shared<quant::GroupNorm>(groups, channels, /*eps=*/1e-6);
}

ResBlock::ResBlock(std::int64_t in_channels, std::int64_t out_channels, std::int64_t groups,
                   const std::string& shortcut) {
  norm1_ = register_module("norm1", make_norm(groups, in_channels));
  conv1_ = register_module("conv1", make_conv3x3(in_channels, out_channels));
  norm2_ = register_module("norm2", make_norm(groups, out_channels));
  conv2_ = register_module("conv2", make_conv3x3(out_channels, out_channels));
  if (in_channels != out_channels)
    shortcut_ = register_module(shortcut, std::make_shared<quant::Conv2d>(in_channels, out_channels, 1));
}

at::Tensor ResBlock::forward(const at::Tensor& x_BCHW) {
  at::Tensor h = conv1_->forward(at::silu(norm1_->forward(x_BCHW)));
  h = conv2_->forward(at::silu(norm2_->forward(h)));
  return (shortcut_ ? shortcut_->forward(x_BCHW) : x_BCHW) + h;
}

AttnBlock::AttnBlock(std::int64_t channels, std::int64_t groups) {
  norm_ = register_module("norm", make_norm(groups, channels));
  qkv_ = register_module("qkv", std::make_shared<quant::Conv2d>(channels, 3 * channels, 1));
  proj_out_ = register_module("proj_out", std::make_shared<quant::Conv2d>(channels, channels, 1));
}

at::Tensor AttnBlock::forward(const at::Tensor& x_BCHW) {
  const std::int64_t batch = x_BCHW.size(0), channels = x_BCHW.size(1);
  const std::int64_t height = x_BCHW.size(2), width = x_BCHW.size(3);
  const at::Tensor qkv_B3CN = qkv_->forward(norm_->forward(x_BCHW)).reshape({batch, 3, channels, -1});
  const at::Tensor q_BCN = qkv_B3CN.select(1, 0), k_BCN = qkv_B3CN.select(1, 1),
                   v_BCN = qkv_B3CN.select(1, 2);
  const double scale = 1.0 / std::sqrt(static_cast<double>(channels));
  const at::Tensor weights_BNM = at::softmax(at::bmm(q_BCN.transpose(1, 2), k_BCN) * scale, 2);
  const at::Tensor h_BCN = at::bmm(v_BCN, weights_BNM.transpose(1, 2).to(v_BCN.scalar_type()));
  return x_BCHW + proj_out_->forward(h_BCN.reshape({batch, channels, height, width}));
}

Downsample::Downsample(std::int64_t channels) {
  conv_ = register_module(
      "conv", std::make_shared<quant::Conv2d>(channels, channels, 3, quant::Conv2dOptions{.stride = 2}));
}

at::Tensor Downsample::forward(const at::Tensor& x_BCHW) {
  return conv_->forward(at::constant_pad_nd(x_BCHW, {0, 1, 0, 1}, 0));
}

Upsample::Upsample(std::int64_t channels) {
  conv_ = register_module("conv", make_conv3x3(channels, channels));
}

at::Tensor Upsample::forward(const at::Tensor& x_BCHW) {
  const std::int64_t height = 2 * x_BCHW.size(2), width = 2 * x_BCHW.size(3);
  return conv_->forward(at::upsample_nearest2d(x_BCHW, {height, width}));
}

at::Tensor LevelStage::forward(const at::Tensor& x_BCHW) const {
  const at::Tensor h = block->forward(x_BCHW);
  return attn ? attn->forward(h) : h;
}

Middle::Middle(std::int64_t channels, std::int64_t groups, Attention attention) {
  block_1_ = register_module("block_1", std::make_shared<ResBlock>(channels, channels, groups));
  if (attention == Attention::yes)
    attn_1_ = register_module("attn_1", std::make_shared<AttnBlock>(channels, groups));
  block_2_ = register_module("block_2", std::make_shared<ResBlock>(channels, channels, groups));
}

at::Tensor Middle::forward(const at::Tensor& x_BCHW) {
  at::Tensor h = block_1_->forward(x_BCHW);
  if (attn_1_) h = attn_1_->forward(h);
  return block_2_->forward(h);
}

}  // namespace bitlaw::distill
