// What the fused divergence allocates: every allocation of LibTorch's CPU allocator and of operator new is
// counted, live and at its peak.
#include <ATen/core/grad_mode.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/distill/losses/divergence_family.h"

namespace {

std::atomic<std::int64_t> live_bytes{0};
std::atomic<std::int64_t> peak_bytes{0};

void count(std::int64_t bytes) {
  const std::int64_t now = live_bytes += bytes;
  if (now > peak_bytes) peak_bytes = now;
}

void* counted(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  count(static_cast<std::int64_t>(malloc_usable_size(memory)));
  return memory;
}

void release(void* memory) {
  if (memory == nullptr) return;
  count(-static_cast<std::int64_t>(malloc_usable_size(memory)));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t bytes) {
  return counted(std::malloc(bytes));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto unit = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit));
}
void operator delete(void* memory) noexcept {
  release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  release(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  release(memory);
}

namespace bitlaw::distill {
namespace {

class TensorMemory : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, std::int64_t bytes, std::size_t, std::size_t, c10::Device) override {
    count(bytes);
  }
  bool memoryProfilingEnabled() const override { return true; }
};

// Peak of what `work` holds beyond what was there before.
template <class Work>
std::int64_t peak_of(Work work) {
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, std::make_shared<TensorMemory>());
  const std::int64_t before = live_bytes;
  peak_bytes = before;
  work();
  return peak_bytes - before;
}

TEST(DivergenceMemory, CountsWhatTensorsTake) {
  const std::int64_t bytes = peak_of([] { const at::Tensor some = at::zeros({1000, 1000}); });
  EXPECT_GE(bytes, 4'000'000);
  EXPECT_LT(bytes, 4'100'000);
}

TEST(DivergenceMemory, FusedNeedsTheGradientAndLessThanATwentiethMore) {
  const at::Tensor student = at::randn({1360, 4096}).requires_grad_(true);
  const at::Tensor teacher = at::randn({1360, 4096});
  const at::Tensor weights = at::full({1360}, 1.0 / 1360);
  const std::int64_t logits = 1360 * 4096 * 4;
  for (const Loss loss : {Loss::topkld, Loss::jsd, Loss::akl, Loss::cross_entropy}) {
    const DivergenceSpec spec{.loss = loss, .set_source = SetSource::union_of_both};
    const at::Tensor targets = at::zeros({1360}, at::kLong);
    const std::int64_t peak = peak_of([&] {
      const DivergenceOutput output = divergence_fused(spec, student, teacher, targets, weights);
      (output.weighted_sum * 3).backward();  // scaled in place
      student.mutable_grad() = at::Tensor();
    });
    EXPECT_GE(peak, logits) << data::enum_name(loss);  // the gradient is counted
    EXPECT_LT(peak, logits + logits / 20) << data::enum_name(loss);
    const at::NoGradGuard no_grad;
    const std::int64_t without = peak_of([&] { divergence_fused(spec, student, teacher, targets, weights); });
    EXPECT_LT(without, logits / 20) << data::enum_name(loss);
  }
}

}  // namespace
}  // namespace bitlaw::distill
