#include "trainer/named_tensors.h"

#include <ATen/ATen.h>

#include "data/formats/input_error.h"

namespace bitlaw::trainer {

void copy_by_name(const NamedTensors& into, const NamedTensors& from, const std::string& what) {
  std::string problems;
  for (const auto& [name, tensor] : into) {
    const auto found = from.find(name);
    if (found == from.end()) {
      problems += (problems.empty() ? "" : ", ") + name + " is missing";
    } else if (found->second.sizes() != tensor.sizes()) {
      problems += (problems.empty() ? "" : ", ") + name + " has shape " + c10::str(found->second.sizes()) +
                  " instead of " + c10::str(tensor.sizes());
    }
  }
  for (const auto& [name, tensor] : from) {
    if (into.count(name) == 0) {
      problems += (problems.empty() ? "" : ", ") + name + " is not used";
    }
  }
  if (!problems.empty()) {
    throw data::InputError(what + " does not fit: " + problems, "the run would continue from something else",
                           "resume with the configuration that the checkpoint was made with");
  }
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : into) {
    tensor.copy_(from.at(name));
  }
}

NamedTensors without_prefix(const NamedTensors& tensors, const std::string& prefix) {
  NamedTensors part;
  for (const auto& [name, tensor] : having_prefix(tensors, prefix)) {
    part.emplace(name.substr(prefix.size()), tensor);
  }
  return part;
}

NamedTensors having_prefix(const NamedTensors& tensors, const std::string& prefix) {
  NamedTensors part;
  for (const auto& [name, tensor] : tensors) {
    if (name.compare(0, prefix.size(), prefix) == 0) {
      part.emplace(name, tensor);
    }
  }
  return part;
}

NamedTensors with_prefix(const NamedTensors& tensors, const std::string& prefix) {
  NamedTensors renamed;
  for (const auto& [name, tensor] : tensors) {
    renamed.emplace(prefix + name, tensor);
  }
  return renamed;
}

}  // namespace bitlaw::trainer
