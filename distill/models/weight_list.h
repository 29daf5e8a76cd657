// Builds a list of published weights from layers. Torch-free; internal to distill/models.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "distill/models/weights.h"

namespace bitlaw::distill {

// Collects weights in order.
class WeightList {
 public:
  void parameter(const std::string& name, std::vector<std::int64_t> shape) {
    weights_.push_back({name, std::move(shape), false});
  }
  void buffer(const std::string& name, std::vector<std::int64_t> shape) {
    weights_.push_back({name, std::move(shape), true});
  }
  // name.weight of this shape and name.bias of its first extent.
  void layer(const std::string& name, std::vector<std::int64_t> shape) {
    const std::int64_t out = shape.front();
    parameter(name + ".weight", std::move(shape));
    parameter(name + ".bias", {out});
  }
  void norm(const std::string& name, std::int64_t channels) { layer(name, {channels}); }
  void convolution(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t side = 3) {
    layer(name, {out, in, side, side});
  }
  std::vector<WeightShape> take() { return std::move(weights_); }

 private:
  std::vector<WeightShape> weights_;
};

// list.index.member; written so because of false warnings of GCC 12.
inline std::string indexed(const std::string& list, std::int64_t index, const std::string& member) {
  return std::string(list).append(".").append(std::to_string(index)).append(".").append(member);
}

}  // namespace bitlaw::distill
