#include "distill/task.h"

#include <array>
#include <string_view>

namespace bitlaw::distill {
namespace {

// Tables of vectors that are looked up or added, not multiplied: decay would pull them to zero for no reason.
constexpr std::array<std::string_view, 6> kTables = {"pos_start", "pos_1LC", "lvl_embed",
                                                     "class_emb", "ada_gss", "embedding.weight"};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

ParameterRole role_of(const std::string& name, const at::Tensor& tensor) {
  if (name.ends_with("input_quantizer.alpha")) {
    return ParameterRole::clipping_value;
  }
  if (name.ends_with("log_scale") || name.ends_with("log_scale_negative") ||
      name.ends_with("learned_zero_point") || name.ends_with("input_quantizer.offset")) {
    return ParameterRole::quantizer_scale;
  }
  if (tensor.dim() <= 1 || contains(name, "scale_mul")) {
    return ParameterRole::no_decay;
  }
  for (const std::string_view table : kTables) {
    if (contains(name, table)) {
      return ParameterRole::no_decay;
    }
  }
  return ParameterRole::weight;
}

std::vector<NamedParameter> Task::parameters() {
  std::vector<NamedParameter> trained;
  for (const auto& item : model().named_parameters()) {
    if (item.value().requires_grad()) {
      trained.push_back({item.key(), item.value(), role_of(item.key(), item.value())});
    }
  }
  return trained;
}

}  // namespace bitlaw::distill
