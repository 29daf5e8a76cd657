// Lists of VAR, its tokenizer, DiT and LlamaGen.
#include "distill/models/weights.h"

#include "distill/models/weight_list.h"

namespace bitlaw::distill {

namespace {

void add_var_block(const VarShape& shape, std::int64_t index, WeightList& list) {
  const std::int64_t width = shape.width;
  const auto hidden = static_cast<std::int64_t>(static_cast<double>(width) * shape.mlp_ratio);
  const auto named = [&](const char* member) { return indexed("blocks", index, member); };
  if (shape.attn_l2_norm) {
    list.parameter(named("attn.scale_mul_1H11"), {1, shape.num_heads, 1, 1});
  }
  list.parameter(named("attn.q_bias"), {width});
  list.parameter(named("attn.v_bias"), {width});
  list.buffer(named("attn.zero_k_bias"), {width});
  list.parameter(named("attn.mat_qkv.weight"), {3 * width, width});
  list.layer(named("attn.proj"), {width, width});
  list.layer(named("ffn.fc1"), {hidden, width});
  list.layer(named("ffn.fc2"), {width, hidden});
  if (shape.shared_ada_lin) {
    list.parameter(named("ada_gss"), {1, 1, 6, width});
  } else {
    list.layer(named("ada_lin.1"), {6 * width, width});
  }
}

// Residual block of the tokenizer; a 1x1 convolution where the channels change.
void add_res_block(const std::string& name, std::int64_t in, std::int64_t out, WeightList& list) {
  list.norm(name + ".norm1", in);
  list.convolution(name + ".conv1", in, out);
  list.norm(name + ".norm2", out);
  list.convolution(name + ".conv2", out, out);
  if (in != out) {
    list.convolution(name + ".nin_shortcut", in, out, 1);
  }
}

void add_attention(const std::string& name, std::int64_t channels, WeightList& list) {
  list.norm(name + ".norm", channels);
  list.convolution(name + ".qkv", channels, 3 * channels, 1);
  list.convolution(name + ".proj_out", channels, channels, 1);
}

void add_middle(const std::string& name, std::int64_t channels, const VqConfig& config, WeightList& list) {
  if (!config.middle) {
    return;
  }
  add_res_block(name + ".block_1", channels, channels, list);
  if (config.attention) {
    add_attention(name + ".attn_1", channels, list);
  }
  add_res_block(name + ".block_2", channels, channels, list);
}

std::int64_t channels_of(const VqConfig& config, std::int64_t level) {
  return config.base_channels * config.channel_multipliers.at(static_cast<std::size_t>(level));
}

void add_encoder(const VqConfig& config, WeightList& list) {
  const auto levels = static_cast<std::int64_t>(config.channel_multipliers.size());
  std::int64_t channels = config.base_channels;
  list.convolution("encoder.conv_in", config.image_channels, channels);
  for (std::int64_t level = 0; level < levels; ++level) {
    const std::int64_t out = channels_of(config, level);
    const bool is_last = level == levels - 1;
    for (std::int64_t block = 0; block < config.res_blocks; ++block) {
      add_res_block(indexed("encoder.down", level, "block." + std::to_string(block)), channels, out, list);
      channels = out;
    }
    for (std::int64_t block = 0; is_last && config.attention && block < config.res_blocks; ++block) {
      add_attention(indexed("encoder.down", level, "attn." + std::to_string(block)), out, list);
    }
    if (!is_last) {
      list.convolution(indexed("encoder.down", level, "downsample.conv"), out, out);
    }
  }
  add_middle("encoder.mid", channels, config, list);
  list.norm("encoder.norm_out", channels);
  list.convolution("encoder.conv_out", channels, config.latent_channels);
}

void add_decoder(const VqConfig& config, WeightList& list) {
  const auto levels = static_cast<std::int64_t>(config.channel_multipliers.size());
  std::int64_t channels = channels_of(config, levels - 1);
  list.convolution("decoder.conv_in", config.latent_channels, channels);
  add_middle("decoder.mid", channels, config, list);
  for (std::int64_t level = levels - 1; level >= 0; --level) {
    const std::int64_t out = channels_of(config, level);
    for (std::int64_t block = 0; block <= config.res_blocks; ++block) {
      add_res_block(indexed("decoder.up", level, "block." + std::to_string(block)), channels, out, list);
      channels = out;
    }
    for (std::int64_t block = 0; level == levels - 1 && config.attention && block <= config.res_blocks;
         ++block) {
      add_attention(indexed("decoder.up", level, "attn." + std::to_string(block)), out, list);
    }
    if (level > 0) {
      list.convolution(indexed("decoder.up", level, "upsample.conv"), out, out);
    }
  }
  list.norm("decoder.norm_out", channels);
  list.convolution("decoder.conv_out", channels, config.image_channels);
}

}  // namespace

std::vector<WeightShape> var_weights(const VarShape& shape) {
  WeightList list;
  const std::int64_t width = shape.width;
  const std::int64_t first = shape.patch_nums.front() * shape.patch_nums.front();
  std::int64_t tokens = 0;
  for (const std::int64_t side : shape.patch_nums) {
    tokens += side * side;
  }
  list.parameter("pos_start", {1, first, width});
  list.parameter("pos_1LC", {1, tokens, width});
  list.layer("word_embed", {width, shape.latent_channels});
  list.parameter("class_emb.weight", {shape.num_classes + 1, width});
  list.parameter("lvl_embed.weight", {static_cast<std::int64_t>(shape.patch_nums.size()), width});
  list.buffer("lvl_1L", {1, tokens});
  list.buffer("attn_bias_for_masking", {1, 1, tokens, tokens});
  if (shape.shared_ada_lin) {
    list.layer("shared_ada_lin.1", {6 * width, width});
  }
  for (std::int64_t i = 0; i < shape.depth; ++i) {
    add_var_block(shape, i, list);
  }
  list.layer("head_nm.ada_lin.1", {2 * width, width});
  list.layer("head", {shape.vocab_size, width});
  return list.take();
}

std::vector<WeightShape> vq_weights(const VqConfig& config) {
  WeightList list;
  const std::int64_t latent = config.latent_channels;
  add_encoder(config, list);
  add_decoder(config, list);
  list.parameter("quantize.embedding.weight", {config.codebook_size, latent});
  list.buffer("quantize.ema_vocab_hit_SV",
              {static_cast<std::int64_t>(config.patch_nums.size()), config.codebook_size});
  for (std::int64_t i = 0; i < config.phi_convolutions; ++i) {
    list.convolution("quantize.quant_resi.qresi_ls." + std::to_string(i), latent, latent);
  }
  list.convolution("quant_conv", latent, latent);
  list.convolution("post_quant_conv", latent, latent);
  return list.take();
}

std::vector<WeightShape> dit_weights(const DitShape& shape) {
  WeightList list;
  const std::int64_t width = shape.width;
  const std::int64_t side = shape.latent_side / shape.patch_size;
  const auto hidden = static_cast<std::int64_t>(static_cast<double>(width) * shape.mlp_ratio);
  const std::int64_t outputs = (shape.learn_sigma ? 2 : 1) * shape.latent_channels;
  list.parameter("pos_embed", {1, side * side, width});
  list.convolution("x_embedder.proj", shape.latent_channels, width, shape.patch_size);
  list.layer("t_embedder.mlp.0", {width, 256});
  list.layer("t_embedder.mlp.2", {width, width});
  list.parameter("y_embedder.embedding_table.weight", {shape.num_classes + 1, width});
  for (std::int64_t i = 0; i < shape.depth; ++i) {
    list.layer(indexed("blocks", i, "attn.qkv"), {3 * width, width});
    list.layer(indexed("blocks", i, "attn.proj"), {width, width});
    list.layer(indexed("blocks", i, "mlp.fc1"), {hidden, width});
    list.layer(indexed("blocks", i, "mlp.fc2"), {width, hidden});
    list.layer(indexed("blocks", i, "adaLN_modulation.1"), {6 * width, width});
  }
  list.layer("final_layer.linear", {shape.patch_size * shape.patch_size * outputs, width});
  list.layer("final_layer.adaLN_modulation.1", {2 * width, width});
  return list.take();
}

std::int64_t feed_forward_width(const RasterShape& shape) {
  return (8 * shape.width / 3 + 255) / 256 * 256;
}

std::vector<WeightShape> raster_weights(const RasterShape& shape) {
  WeightList list;
  const std::int64_t width = shape.width;
  const std::int64_t hidden = feed_forward_width(shape);
  list.parameter("cls_embedding.embedding_table.weight",
                 {shape.num_classes + (shape.has_dropped_label ? 1 : 0), width});
  list.parameter("tok_embeddings.weight", {shape.vocab_size, width});
  for (std::int64_t i = 0; i < shape.depth; ++i) {
    list.parameter(indexed("layers", i, "attention.wqkv.weight"), {3 * width, width});
    list.parameter(indexed("layers", i, "attention.wo.weight"), {width, width});
    list.parameter(indexed("layers", i, "feed_forward.w1.weight"), {hidden, width});
    list.parameter(indexed("layers", i, "feed_forward.w3.weight"), {hidden, width});
    list.parameter(indexed("layers", i, "feed_forward.w2.weight"), {width, hidden});
    list.parameter(indexed("layers", i, "attention_norm.weight"), {width});
    list.parameter(indexed("layers", i, "ffn_norm.weight"), {width});
  }
  list.parameter("norm.weight", {width});
  list.parameter("output.weight", {shape.vocab_size, width});
  return list.take();
}

std::int64_t parameter_count(std::span<const WeightShape> weights) {
  std::int64_t total = 0;
  for (const WeightShape& weight : weights) {
    std::int64_t count = weight.is_buffer ? 0 : 1;
    for (const std::int64_t extent : weight.shape) {
      count *= extent;
    }
    total += count;
  }
  return total;
}

}  // namespace bitlaw::distill
