#include "trainer/checkpoint/part_buffer.h"

#include <ATen/ATen.h>

#include <cstring>

#include "data/formats/file_io.h"
#include "data/formats/tensor_io.h"
#include "trainer/checkpoint/layout.h"

namespace bitlaw::trainer {

namespace {

constexpr std::size_t kAlignment = 64;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::size_t share_bytes(const at::Tensor& tensor, const Share& share) {
  return static_cast<std::size_t>(share.count) * tensor.element_size();
}

void copy_share(const at::Tensor& tensor, const Share& share, std::byte* into) {
  const at::Tensor plain = tensor.detach().contiguous();
  const auto* from = static_cast<const std::byte*>(plain.const_data_ptr());
  std::memcpy(into, from + static_cast<std::size_t>(share.first) * plain.element_size(),
              share_bytes(plain, share));
}

}  // namespace

std::size_t PartBuffer::bytes_needed(const CheckpointState& state) const {
  std::size_t bytes = 0;
  for (const auto& [name, tensor] : state.tensors) {
    bytes += aligned(share_bytes(tensor, share_of(tensor.numel(), rank_, size_)));
  }
  return bytes;
}

void PartBuffer::reserve(const CheckpointState& state) {
  pages_.at_least(bytes_needed(state));
}

void PartBuffer::copy(const CheckpointState& state) {
  const std::span<std::byte> memory = pages_.at_least(bytes_needed(state));
  manifest_ = Manifest{};
  manifest_.step = state.step;
  manifest_.texts = state.texts;
  entries_.clear();
  std::size_t offset = 0;
  for (const auto& [name, tensor] : state.tensors) {
    const Share share = share_of(tensor.numel(), rank_, size_);
    const data::DType dtype = data::dtype_of(tensor);
    manifest_.tensors.emplace(name, ManifestTensor{dtype, tensor.sizes().vec()});
    if (share.count > 0) {
      copy_share(tensor, share, memory.data() + offset);
      entries_.push_back({name, dtype, share.count, offset});
      offset += aligned(share_bytes(tensor, share));
    }
  }
}

ManifestPart PartBuffer::write(const std::filesystem::path& folder) const {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    throw data::file_error(folder, "make the folder", error.value());
  }
  const std::filesystem::path path = folder / part_file_name(rank_, size_);
  data::TensorFile file = data::TensorFile::create(path);
  for (const Entry& entry : entries_) {
    const std::size_t bytes = static_cast<std::size_t>(entry.count) * data::size_of(entry.dtype);
    const std::array<std::int64_t, 1> shape = {entry.count};
    file.put(entry.name, entry.dtype, shape, pages_.bytes().subspan(entry.offset, bytes));
  }
  file.commit();
  return describe_part(path);
}

}  // namespace bitlaw::trainer
