#include "quant/containers/model_state.h"

#include <ATen/ATen.h>

#include <cstring>
#include <span>

#include "data/formats/input_error.h"
#include "data/formats/tensor_io.h"
#include "quant/bits.h"
#include "quant/layers.h"
#include "quant/prepare.h"
#include "quant/state_check.h"
#include "quant/ste.h"

namespace bitlaw::quant {

namespace {

constexpr std::string_view kQuantizer = "weight_quantizer.";
constexpr std::string_view kInputQuantizer = "input_quantizer.";

std::string joined(const std::string& module, const std::string& name) {
  return module.empty() ? name : module + "." + name;
}

BufferRole role_of(const torch::nn::Module& module, const std::string& name) {
  const auto* layer = dynamic_cast<const Layer*>(&module);
  return layer != nullptr ? layer->buffer_role(name) : BufferRole::forward;
}

// Every buffer of the model with its role.
struct Buffer {
  std::string name;
  BufferRole role;
  at::Tensor tensor;
};

std::vector<Buffer> buffers_of(torch::nn::Module& model) {
  std::vector<Buffer> buffers;
  const auto add = [&](const std::string& prefix, const torch::nn::Module& module) {
    for (const auto& item : module.named_buffers(/*recurse=*/false)) {
      buffers.push_back({joined(prefix, item.key()), role_of(module, item.key()), item.value()});
    }
  };
  add("", model);
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    add(item.key(), *item.value());
  }
  return buffers;
}

// What a file or a state may not, need not and must hold, and what is wrong with it, all at once.
class Differences {
 public:
  void missing(const std::string& name) { add(missing_, "missing: " + name); }
  void unused(const std::string& name) { add(unused_, "unused: " + name); }
  void unlike(const std::string& what) { add(unlike_, what); }
  void throw_if_any(const std::string& what) const {
    if (missing_.count + unlike_.count + unused_.count > 0) {
      throw data::InputError(
          what + " does not fit the model:" + text_of(missing_) + text_of(unlike_) + text_of(unused_),
          "every tensor of the forward must come from it, and nothing may be dropped",
          "use the configuration that it was made with");
    }
  }

 private:
  struct Lines {
    std::size_t count = 0;
    std::string text;  // of the first
  };
  static void add(Lines& lines, const std::string& line) {
    if (lines.count++ < kMostDifferencesShown) {
      lines.text += "\n  " + line;
    }
  }
  static std::string text_of(const Lines& lines) {
    const bool all = lines.count <= kMostDifferencesShown;
    return all ? lines.text
               : lines.text + "\n  ... and " + std::to_string(lines.count - kMostDifferencesShown) + " more";
  }
  Lines missing_, unlike_, unused_;
};

void check_tensor(const std::string& name, const at::Tensor& into, const TensorKind& from,
                  Differences& differences) {
  const auto number = [](bool is_floating_point) { return is_floating_point ? "real" : "whole"; };
  if (into.sizes() != at::IntArrayRef(from.shape)) {
    differences.unlike(name + ": shape " + c10::str(at::IntArrayRef(from.shape)) + ", the model has " +
                       c10::str(into.sizes()));
  } else if (into.is_floating_point() != from.is_floating_point) {
    differences.unlike(name + ": " + number(from.is_floating_point) + " numbers, the model has " +
                       number(into.is_floating_point()) + " ones");
  }
}

std::map<std::string, TensorKind> kinds_of(const std::map<std::string, at::Tensor>& state) {
  std::map<std::string, TensorKind> kinds;
  for (const auto& [name, tensor] : state) {
    kinds.emplace(name, TensorKind{tensor.sizes().vec(), tensor.is_floating_point()});
  }
  return kinds;
}

void check_finite(const std::string& name, const at::Tensor& tensor) {
  if (tensor.is_floating_point() && !at::isfinite(tensor).all().item<bool>()) {
    throw data::InputError("tensor " + name + " holds NaN or infinity",
                           "a packed model must give the numbers that were trained",
                           "export an earlier checkpoint");
  }
}

at::Tensor tensor_of(const PackedTensor& packed) {
  const std::vector<float> values = dequantise(packed);
  at::Tensor tensor = at::empty({packed.out_features, packed.in_features}, at::kFloat);
  std::memcpy(tensor.mutable_data_ptr(), values.data(), tensor.nbytes());
  return tensor;
}

InputTransform transform_of(const PackedTensor& packed) {
  InputTransform transform{{}, packed.hadamard_block};
  if (!packed.input_multiplier.empty()) {
    transform.multiplier = at::tensor(packed.input_multiplier);
  }
  return transform;
}

// Whether a weight with codes, or the state of a quantizer: tensors that are stored as something else.
bool is_coded(const std::string& name, const PackedModel& packed) {
  for (const auto& [module, weight] : packed.weights) {
    if (name == joined(module, "weight") || name.starts_with(joined(module, std::string(kQuantizer)))) {
      return true;
    }
  }
  for (const auto& [module, input] : packed.activations) {
    if (name.starts_with(joined(module, std::string(kInputQuantizer)))) {
      return true;
    }
  }
  return false;
}

Differences differences_of(torch::nn::Module& model, const std::map<std::string, TensorKind>& state) {
  std::map<std::string, BufferRole> roles;
  for (const Buffer& buffer : buffers_of(model)) {
    roles.emplace(buffer.name, buffer.role);
  }
  const auto has_role = [&](const std::string& name, BufferRole role) {
    const auto found = roles.find(name);
    return found != roles.end() && found->second == role;
  };
  Differences differences;
  const std::map<std::string, at::Tensor> own = state_of(model, StateScope::checkpoint);
  for (const auto& [name, tensor] : own) {
    const auto found = state.find(name);
    if (found != state.end()) {
      check_tensor(name, tensor, found->second, differences);
    } else if (!has_role(name, BufferRole::training)) {
      differences.missing(name);
    }
  }
  for (const auto& [name, kind] : state) {
    if (own.count(name) == 0 && !has_role(name, BufferRole::constant)) {
      differences.unused(name);
    }
  }
  return differences;
}

void copy_into(torch::nn::Module& model, const std::map<std::string, at::Tensor>& state) {
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : state_of(model, StateScope::checkpoint)) {
    if (const auto found = state.find(name); found != state.end()) {
      tensor.copy_(found->second);
    }
  }
}

}  // namespace

std::map<std::string, at::Tensor> state_of(torch::nn::Module& model, StateScope scope) {
  std::map<std::string, at::Tensor> state;
  for (const auto& item : model.named_parameters()) {
    state.emplace(item.key(), item.value().detach());
  }
  for (const Buffer& buffer : buffers_of(model)) {
    if (buffer.role == BufferRole::forward ||
        (buffer.role == BufferRole::training && scope == StateScope::checkpoint)) {
      state.emplace(buffer.name, buffer.tensor.detach());
    }
  }
  return state;
}

std::string parameter_hash(torch::nn::Module& model) {
  return data::hash_tensors(state_of(model, StateScope::deployed)).hex();
}

PackedModel pack_model(torch::nn::Module& model, RestType rest_dtype) {
  const at::NoGradGuard no_grad;
  PackedModel packed;
  for (const auto& [name, linear] : linear_layers(model)) {
    if (linear->input_quantizer()) {
      packed.activations.emplace(name, linear->input_quantizer()->pack());
    }
    if (linear->weight_quantizer()) {
      check_finite(joined(name, "weight"), linear->weight);
      packed.weights.emplace(name, linear->weight_quantizer()->pack(linear->weight));
    }
  }
  for (const auto& [name, tensor] : state_of(model, StateScope::deployed)) {
    if (is_coded(name, packed)) {
      continue;
    }
    const at::Tensor stored = tensor.is_floating_point() ? tensor.to(scalar_type_of(rest_dtype)) : tensor;
    check_finite(name, stored);
    packed.tensors.emplace(name, data::raw_tensor_of(stored));
  }
  packed.attributes["model_bits"] = std::to_string(count_bits(packed).model_bits());
  return packed;
}

void load_packed(torch::nn::Module& model, const PackedModel& packed) {
  std::map<std::string, at::Tensor> state;
  for (const auto& [name, raw] : packed.tensors) {
    state.emplace(name, data::tensor_of(raw));
  }
  for (const auto& [name, weight] : packed.weights) {
    state.emplace(joined(name, "weight"), tensor_of(weight));
  }
  std::map<std::string, Linear*> layers;
  for (const auto& [name, linear] : linear_layers(model)) {
    TORCH_CHECK(!linear->weight_quantizer(), "load_packed wants a full-precision model; ", name,
                " has a quantizer");
    layers.emplace(name, linear);
  }
  Differences differences = differences_of(model, kinds_of(state));
  for (const auto& [name, input] : packed.activations) {
    if (layers.count(name) == 0) {
      differences.unused("activations of " + name);
    }
  }
  differences.throw_if_any("the file");
  copy_into(model, state);
  for (const auto& [name, input] : packed.activations) {
    layers.at(name)->attach_inputs(std::make_shared<InputQuantizer>(input));
  }
  for (const auto& [name, weight] : packed.weights) {
    layers.at(name)->set_input_transform(transform_of(weight));
  }
}

void check_state(torch::nn::Module& model, const std::map<std::string, TensorKind>& state) {
  differences_of(model, state).throw_if_any("the state");
}

void load_state(torch::nn::Module& model, const std::map<std::string, at::Tensor>& state) {
  check_state(model, kinds_of(state));
  copy_into(model, state);
  for (const auto& [name, linear] : linear_layers(model)) {
    check_quantizer_state(name, *linear);
  }
}

}  // namespace bitlaw::quant
