#include "distill/losses/kernels/row_buffers.h"

#include <new>

namespace bitlaw::distill::kernels {
namespace {

constexpr std::size_t kAlignment = 64;

std::size_t row_bytes(const RowBatch& batch, std::size_t element) {
  return ((static_cast<std::size_t>(batch.vocab) + 15) / 16 * 16 + 16) * element;
}
std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

bool usable_in_place(const void* tensor, LogitType type, std::int64_t vocab) {
  return tensor != nullptr && type == LogitType::float32 && vocab % 16 == 0;
}

struct Needed {
  bool student, teacher, gradient;
};
Needed needed(const RowBatch& batch) {
  return {!usable_in_place(batch.student, batch.student_type, batch.vocab),
          batch.teacher != nullptr && !usable_in_place(batch.teacher, batch.teacher_type, batch.vocab),
          !usable_in_place(batch.gradient, batch.student_type, batch.vocab)};
}

}  // namespace

std::size_t RowBuffers::bytes(const RowBatch& batch) {
  const Needed need = needed(batch);
  const std::size_t floats = aligned(row_bytes(batch, sizeof(float)));
  const std::size_t rows = 2 + static_cast<std::size_t>(need.student) +
                           static_cast<std::size_t>(need.teacher) + static_cast<std::size_t>(need.gradient);
  return rows * floats + aligned(row_bytes(batch, 1));
}

void RowBuffers::Free::operator()(std::byte* memory) const {
  ::operator delete (memory, std::align_val_t{kAlignment});
}

RowBuffers::RowBuffers(const RowBatch& batch)
    : memory_(static_cast<std::byte*>(::operator new (bytes(batch), std::align_val_t{kAlignment}))) {
  const Needed need = needed(batch);
  const std::size_t floats = aligned(row_bytes(batch, sizeof(float)));
  std::byte* next = memory_.get();
  const auto take = [&](bool wanted) -> float* {
    if (!wanted) return nullptr;
    std::byte* row = next;
    next += floats;
    return reinterpret_cast<float*>(row);
  };
  first = take(true);
  second = take(true);
  student = take(need.student);
  teacher = take(need.teacher);
  gradient = take(need.gradient);
  members = reinterpret_cast<std::uint8_t*>(next);
}

std::size_t workspace_bytes(const RowBatch& batch) {
  return RowBuffers::bytes(batch);
}

}  // namespace bitlaw::distill::kernels
