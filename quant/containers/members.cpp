#include "quant/containers/members.h"

#include <algorithm>
#include <cmath>

#include "data/formats/input_error.h"
#include "quant/containers/scale_bytes.h"

namespace bitlaw::quant {

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text;
  for (const std::int64_t extent : shape) {
    text.append(text.empty() ? "" : ", ").append(std::to_string(extent));
  }
  return std::string("[").append(text).append("]");
}

void MemberReader::fail(const std::string& what, const std::string& why) const {
  throw data::InputError(what, why, "write the " + container_ + " file again with the tool that made it");
}

const data::RawTensor& MemberReader::get(const std::string& name) {
  const auto found = members_.find(name);
  if (found == members_.end()) {
    fail("no tensor " + name, "a layer is incomplete without it");
  }
  const data::RawTensor& tensor = found->second;
  if (data::byte_count(tensor.dtype, tensor.shape) != tensor.bytes.size()) {
    fail("tensor " + name + " of shape " + shape_text(tensor.shape) + " has " +
             std::to_string(tensor.bytes.size()) + " bytes",
         "they do not fit its shape");
  }
  taken_.insert(name);
  return tensor;
}

const data::RawTensor& MemberReader::get(const std::string& name, std::size_t dimensions) {
  const data::RawTensor& tensor = get(name);
  if (tensor.shape.size() != dimensions ||
      std::any_of(tensor.shape.begin(), tensor.shape.end(), [](auto extent) { return extent < 1; })) {
    fail("tensor " + name + " has shape " + shape_text(tensor.shape),
         "it has " + std::to_string(dimensions) + " dimensions, none of them empty");
  }
  return tensor;
}

const data::RawTensor& MemberReader::checked(const std::string& name, data::DType dtype,
                                             const std::vector<std::int64_t>& shape) {
  const data::RawTensor& tensor = get(name);
  if (tensor.dtype != dtype) {
    fail("tensor " + name + " is " + std::string(data::name_of(tensor.dtype)) + " instead of " +
             std::string(data::name_of(dtype)),
         "its bytes would mean something else");
  }
  if (tensor.shape != shape) {
    fail("tensor " + name + " has shape " + shape_text(tensor.shape) + " instead of " + shape_text(shape),
         "it must fit the other tensors of its layer");
  }
  return tensor;
}

std::vector<float> MemberReader::scales(const std::string& name, const std::vector<std::int64_t>& shape,
                                        ScaleType& type) {
  const data::DType dtype = get(name).dtype;
  for (const ScaleType candidate : {ScaleType::float16, ScaleType::bfloat16, ScaleType::float32}) {
    if (dtype == dtype_of(candidate)) {
      type = candidate;
      std::vector<float> scales = decode_scales(checked(name, dtype, shape).bytes, candidate);
      if (!std::all_of(scales.begin(), scales.end(),
                       [](float scale) { return std::isfinite(scale) && scale > 0.0F; })) {
        fail("tensor " + name + " holds a scale that is not positive and finite", "a step is positive");
      }
      return scales;
    }
  }
  fail("tensor " + name + " is " + std::string(data::name_of(dtype)),
       "scales are float16, bfloat16 or float32");
}

void MemberReader::finish() const {
  for (const auto& [name, tensor] : members_) {
    if (taken_.count(name) == 0) {
      fail("tensor " + name + " is not known", "ignoring it could change the weights");
    }
  }
}

}  // namespace bitlaw::quant
