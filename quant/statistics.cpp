#include "quant/statistics.h"

#include <ATen/ATen.h>

#include <stdexcept>

namespace bitlaw::quant {

namespace {

const char* word_of(MergeOp op) {
  switch (op) {
    case MergeOp::sum:
      return "sum";
    case MergeOp::minimum:
      return "minimum";
    case MergeOp::maximum:
      break;
  }
  return "maximum";
}

at::Tensor as_value(const at::Tensor& value) {
  // A copy: the caller may go on to change what it handed over.
  return value.detach().to(at::kCPU, at::kDouble, /*non_blocking=*/false, /*copy=*/true).contiguous();
}

void check_mergeable(const std::string& name, const Statistics::Entry& a, const Statistics::Entry& b) {
  if (a.op != b.op) {
    throw std::invalid_argument("statistic '" + name + "' is a " + word_of(a.op) + " here and a " +
                                word_of(b.op) + " there");
  }
  if (a.value.sizes() != b.value.sizes()) {
    throw std::invalid_argument("statistic '" + name + "' has shape " + c10::str(a.value.sizes()) +
                                " here and " + c10::str(b.value.sizes()) + " there");
  }
}

void accumulate(Statistics::Entry& into, const at::Tensor& value) {
  switch (into.op) {
    case MergeOp::sum:
      into.value = into.value + value;  // not in place: copies of a Statistics share tensors
      return;
    case MergeOp::minimum:
      into.value = at::minimum(into.value, value);
      return;
    case MergeOp::maximum:
      into.value = at::maximum(into.value, value);
      return;
  }
}

}  // namespace

void Statistics::add(const std::string& name, const at::Tensor& value) {
  combine(name, MergeOp::sum, as_value(value));
}

void Statistics::add(const std::string& name, double value) {
  combine(name, MergeOp::sum, at::full({}, value, at::kDouble));
}

void Statistics::minimum(const std::string& name, const at::Tensor& value) {
  combine(name, MergeOp::minimum, as_value(value));
}

void Statistics::maximum(const std::string& name, const at::Tensor& value) {
  combine(name, MergeOp::maximum, as_value(value));
}

void Statistics::combine(const std::string& name, MergeOp op, at::Tensor value) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    entries_.emplace(name, Entry{op, std::move(value)});
    return;
  }
  check_mergeable(name, found->second, Entry{op, value});
  accumulate(found->second, value);
}

void Statistics::merge(const Statistics& other) {
  if (entries_.empty()) {
    for (const auto& [name, entry] : other.entries_) {
      entries_.emplace(name, Entry{entry.op, entry.value.clone()});
    }
    return;
  }
  if (other.entries_.empty()) {
    return;
  }
  for (const auto& [name, entry] : entries_) {
    if (!other.contains(name)) {
      throw std::invalid_argument("statistic '" + name + "' is missing in what is merged");
    }
    check_mergeable(name, entry, other.entries_.at(name));
  }
  for (const auto& [name, entry] : other.entries_) {
    if (!contains(name)) {
      throw std::invalid_argument("statistic '" + name + "' is in what is merged only");
    }
  }
  for (auto& [name, entry] : entries_) {
    accumulate(entry, other.entries_.at(name).value);
  }
}

const at::Tensor& Statistics::at(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    throw std::invalid_argument("there is no statistic '" + name + "'");
  }
  return found->second.value;
}

double Statistics::scalar(const std::string& name) const {
  const at::Tensor& value = at(name);
  if (value.numel() != 1) {
    throw std::invalid_argument("statistic '" + name + "' has " + std::to_string(value.numel()) +
                                " values, not one");
  }
  return value.item<double>();
}

}  // namespace bitlaw::quant
