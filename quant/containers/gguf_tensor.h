// A tensor that is not quantised, in GGUF: its type and extents there, and back. Torch-free.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/formats/gguf_file.h"
#include "data/formats/json.h"
#include "data/formats/raw_tensor.h"

namespace bitlaw::quant {

// Innermost extent first. InputError for an empty tensor and for a name longer than ggml holds.
data::GgufTensorInfo gguf_info(const std::string& name, const data::RawTensor& tensor);

// {"dtype", "shape"} where the info does not say them, else nothing.
std::optional<data::Json> gguf_remark(const data::RawTensor& tensor);

// `remark` may be null. InputError for block types and for a remark that does not fit the bytes.
data::RawTensor tensor_of_gguf(const data::GgufTensorInfo& info, std::vector<std::byte> bytes,
                               const data::Json* remark, const std::string& origin);

// Extents of a tensor, outermost first.
std::vector<std::int64_t> shape_of_gguf(const data::GgufTensorInfo& info);

void check_gguf_name(const std::string& name);  // InputError

}  // namespace bitlaw::quant
