// Layers that ranks quantise for each other: one rank makes the codes of a layer, all hold them.
//
// So codes are equal on all ranks whatever their processors and numbers of threads do to the last bits of a
// sum, and the work is divided.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "quant/methods/layer_codes.h"

namespace bitlaw::distill {

// The ranks that share the work, given from above. One rank by itself needs no broadcast.
struct RankGroup {
  int rank = 0;
  int size = 1;
  // The bytes, uint8 [n], of rank `owner`, on every rank; what the others hand over is not looked at. Called
  // by all ranks alike.
  std::function<at::Tensor(const at::Tensor& bytes, int owner)> broadcast = {};
  // Called by all ranks alike before each share of the work; throws, on all, to leave it. May be empty.
  std::function<void()> poll = {};
};

// make(i) of layers i = 0 .. count - 1, none of which depends on another: layer i by rank i % size. Called by
// all ranks alike. What one rank throws is thrown on all of them: an InputError as such, any other
// std::exception as a std::runtime_error of its text.
std::vector<quant::LayerCodes> shared_codes(std::int64_t count,
                                            const std::function<quant::LayerCodes(std::int64_t)>& make,
                                            const RankGroup& group);

}  // namespace bitlaw::distill
