// Named sums, minima and maxima with an associative merge: everything that must be equal on all ranks and is
// not a gradient (codebook statistics, observed ranges, evaluation). A plain value that makes no collective
// call: the trainer reduces it over ranks and hands it back.
//
// Values are float64 on the CPU. Merging two with different names or shapes is an error
// (std::invalid_argument).
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

namespace bitlaw::quant {

enum class MergeOp { sum, minimum, maximum };

class Statistics {
 public:
  struct Entry {
    MergeOp op = MergeOp::sum;
    at::Tensor value;  // float64, CPU, contiguous
  };

  void add(const std::string& name, const at::Tensor& value);  // sum; accumulates when the name is there
  void add(const std::string& name, double value);
  void minimum(const std::string& name, const at::Tensor& value);
  void maximum(const std::string& name, const at::Tensor& value);
  void merge(const Statistics& other);

  bool empty() const { return entries_.empty(); }
  bool contains(const std::string& name) const { return entries_.count(name) != 0; }
  const at::Tensor& at(const std::string& name) const;
  double scalar(const std::string& name) const;
  std::map<std::string, Entry>& entries() { return entries_; }
  const std::map<std::string, Entry>& entries() const { return entries_; }

 private:
  void combine(const std::string& name, MergeOp op, at::Tensor value);
  std::map<std::string, Entry> entries_;
};

}  // namespace bitlaw::quant
