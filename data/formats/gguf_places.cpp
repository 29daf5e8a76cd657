// Where the tensors of a GGUF file lie: side by side, each at a multiple of the alignment.
#include <algorithm>
#include <vector>

#include "data/formats/gguf_header.h"
#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"

namespace bitlaw::data {

namespace {

constexpr std::uint64_t kLargestAlignment = std::uint64_t{1} << 20;

[[noreturn]] void fail(const std::string& origin, const std::string& what) {
  throw InputError(origin + ": " + what, "the header says where each tensor lies",
                   "get the file again from where it came, or write it with another program");
}

}  // namespace

std::uint64_t gguf_alignment(const GgufHeader& header, const std::function<void(const std::string&)>& fail) {
  for (const auto& [key, value] : header.values) {
    if (key != kGgufAlignmentKey) {
      continue;
    }
    const auto* alignment = std::get_if<std::uint32_t>(&value);
    if (alignment == nullptr || *alignment == 0 || *alignment > kLargestAlignment ||
        (*alignment & (*alignment - 1)) != 0) {
      fail(std::string(kGgufAlignmentKey) + " is not a power of two of type u32, up to " +
           std::to_string(kLargestAlignment));
    }
    return *alignment;
  }
  return kGgufAlignment;
}

void check_gguf_places(const GgufHeader& header, std::uint64_t data_bytes, std::uint64_t alignment,
                       const std::string& origin) {
  std::vector<const GgufTensorInfo*> order;
  for (const GgufTensorInfo& info : header.tensors) {
    order.push_back(&info);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->offset < b->offset; });
  std::uint64_t end = 0;
  for (const GgufTensorInfo* info : order) {
    const std::string tensor = "tensor '" + printable(info->name) + "'";
    if (info->offset > data_bytes || info->bytes > data_bytes - info->offset) {
      throw InputError(
          origin + ": " + tensor + " has " + std::to_string(info->bytes) + " bytes at byte " +
              std::to_string(info->offset) + " of " + std::to_string(data_bytes) + " bytes of data",
          "the file is truncated or its header is wrong", "get the file again from where it came");
    }
    if (info->offset != aligned(end, alignment)) {
      fail(origin, tensor + " begins at byte " + std::to_string(info->offset) + " of the data, not at " +
                       std::to_string(aligned(end, alignment)) + ", where the one before it ends");
    }
    end = info->offset + info->bytes;
  }
  if (data_bytes > aligned(end, alignment)) {
    fail(origin, std::to_string(data_bytes - end) + " bytes at the end belong to no tensor");
  }
}

}  // namespace bitlaw::data
