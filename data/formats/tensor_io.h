// at::Tensor in and out of a TensorFile. Tensors are on the CPU; a tensor read owns its memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "data/formats/raw_tensor.h"
#include "data/formats/tensor_file.h"
#include "data/formats/tensor_hash.h"

namespace bitlaw::data {

DType dtype_of(const at::Tensor& tensor);    // InputError for a dtype that the format does not hold
at::ScalarType scalar_type_of(DType dtype);  // InputError for elements narrower than a byte, and complex

void put_tensor(TensorFile& file, const std::string& name,
                const at::Tensor& tensor);  // made contiguous, on the CPU
at::Tensor read_tensor(const TensorFile& file, const std::string& name);

at::Tensor tensor_of(const RawTensor& raw);         // owns its memory
RawTensor raw_tensor_of(const at::Tensor& tensor);  // made contiguous, on the CPU

// Hash of whole named tensors (CPU, any strides).
TensorHash hash_tensors(const std::map<std::string, at::Tensor>& tensors);

}  // namespace bitlaw::data
