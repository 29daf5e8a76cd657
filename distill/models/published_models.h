// The published models under the names that a person types, as configurations. Torch-free.
//
//   var-d16, var-d20, var-d24, var-d30, var-d36-s    transformers of VAR; d36-s is of 512 pixels
//   var-vq, var-vq-512                               their tokenizer; one file, at the scales of either size
//   dit-s-2, dit-s-4, dit-s-8, dit-b-2, ..., dit-xl-8, dit-xl-2-512     DiT of 256 pixels, or 512
//   llamagen-b, -l, -xl, -xxl, -3b, and the same with -384              LlamaGen of 256 pixels, or 384
//   sd-vae                                           Stable Diffusion's autoencoder (kl-f8)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "distill/config.h"
#include "distill/models/weights.h"

namespace bitlaw::distill {

struct PublishedModel {
  ModelConfig config;  // init stays random
  std::int64_t num_classes = 0;
};

std::vector<std::string> published_models();            // the names, in the order above
PublishedModel published_model(std::string_view name);  // InputError that lists the names

// What a file of such a model holds. `num_classes` of a tokenizer or an autoencoder is not looked at.
std::vector<WeightShape> weights_of(const ModelConfig& model, std::int64_t num_classes);
// The parameter whose rows are the class labels; "" of a tokenizer and an autoencoder.
std::string class_table(Family family);
// Classes of a model whose table has so many rows: all but the dropped label's.
std::int64_t class_count(const ModelConfig& model, std::int64_t table_rows);

}  // namespace bitlaw::distill
