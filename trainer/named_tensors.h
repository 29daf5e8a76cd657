// Small operations on name -> tensor maps, the form in which state travels.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

namespace bitlaw::trainer {

using NamedTensors = std::map<std::string, at::Tensor>;

// Copies values by name; the maps must have the same names and shapes. InputError names everything that is
// missing, unused or mis-shaped; `what` says whose state it is.
void copy_by_name(const NamedTensors& into, const NamedTensors& from, const std::string& what);

// Entries whose name begins with prefix, under the rest of their name.
NamedTensors without_prefix(const NamedTensors& tensors, const std::string& prefix);
// Entries whose name begins with prefix, under their whole name.
NamedTensors having_prefix(const NamedTensors& tensors, const std::string& prefix);
NamedTensors with_prefix(const NamedTensors& tensors, const std::string& prefix);

}  // namespace bitlaw::trainer
