// A small model with everything that rules, bits and files must tell apart.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>

#include "quant/layers.h"
#include "tests/quant/tensors.h"

namespace bitlaw::quant {

struct ToyBlock : Layer {
  ToyBlock() {
    fc1 = register_module("fc1", std::make_shared<Linear>(64, 128));
    fc2 = register_module("fc2", std::make_shared<Linear>(128, 64));
    auto ada_lin = register_module("ada_lin", std::make_shared<Layer>());
    ada_lin->register_module("1", std::make_shared<Linear>(64, 96));
  }
  std::shared_ptr<Linear> fc1;
  std::shared_ptr<Linear> fc2;
};

// Names: pos, step_count, usage (training), mask (constant), embed.weight, blocks.{0,1}.{fc1,fc2,ada_lin.1},
// head.
struct ToyModel : Layer {
  ToyModel() {
    pos = register_parameter("pos", at::zeros({5, 64}));
    register_buffer("step_count", at::zeros({3}, at::kLong));
    register_buffer("usage", at::zeros({10}));
    register_buffer("mask", at::ones({5, 5}));
    embed = register_module("embed", std::make_shared<Embedding>(10, 64));
    auto blocks = register_module("blocks", std::make_shared<Layer>());
    for (const std::string name : {"0", "1"}) {
      blocks->register_module(name, std::make_shared<ToyBlock>());
    }
    head = register_module("head", std::make_shared<Linear>(64, 10, Linear::Bias::no));
    const at::NoGradGuard no_grad;
    std::uint64_t seed = 100;
    for (const at::Tensor& parameter : parameters()) {
      parameter.copy_(normal_tensor(parameter.sizes(), seed++));
    }
  }
  BufferRole buffer_role(std::string_view name) const override {
    return name == "usage" ? BufferRole::training
                           : (name == "mask" ? BufferRole::constant : BufferRole::forward);
  }
  at::Tensor forward(const at::Tensor& indices) {
    at::Tensor x = embed->forward(indices) + rest(pos);
    for (const auto& child : named_children()["blocks"]->children()) {
      auto& block = dynamic_cast<ToyBlock&>(*child);
      x = x + block.fc2->forward(at::gelu(block.fc1->forward(x)));
    }
    return head->forward(x);
  }
  at::Tensor pos;
  std::shared_ptr<Embedding> embed;
  std::shared_ptr<Linear> head;
};

}  // namespace bitlaw::quant
