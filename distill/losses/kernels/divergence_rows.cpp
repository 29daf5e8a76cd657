#include "distill/losses/kernels/divergence_rows.h"

// Vectors of a length that is unknown when compiling have no arrays, which the fixed order of sums needs.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "distill/losses/kernels/divergence_rows.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "distill/losses/kernels/row_worker-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::distill::kernels::HWY_NAMESPACE {

void compute_rows(const DivergenceSpec& spec, const RowBatch& batch, std::int64_t begin, std::int64_t end) {
  RowWorker worker(spec, batch);
  for (std::int64_t t = begin; t < end; ++t) worker.compute(t, t + 1 < end);
}

}  // namespace bitlaw::distill::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitlaw::distill::kernels {

HWY_EXPORT(compute_rows);

void divergence_rows(const DivergenceSpec& spec, const RowBatch& batch, std::int64_t begin,
                     std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(compute_rows)(spec, batch, begin, end);
}

}  // namespace bitlaw::distill::kernels
#endif
