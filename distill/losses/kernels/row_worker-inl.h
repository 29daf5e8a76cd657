// One row of the fused divergence after another, in one set of buffers: which passes a loss needs, and the
// scalars between them.
#include <hwy/highway.h>

#if defined(BITLAW_LOSSES_ROW_WORKER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BITLAW_LOSSES_ROW_WORKER_INL_H_
#undef BITLAW_LOSSES_ROW_WORKER_INL_H_
#else
#define BITLAW_LOSSES_ROW_WORKER_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "distill/losses/kernels/divergence_rows.h"
#include "distill/losses/kernels/passes-inl.h"
#include "distill/losses/kernels/row_buffers.h"
#include "distill/losses/kernels/row_law.h"
#include "distill/losses/kernels/top_k-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::distill::kernels::HWY_NAMESPACE {

HWY_INLINE void widen(const std::uint16_t* from, std::size_t count, float* to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = std::bit_cast<float>(std::uint32_t{from[i]} << 16);
}

// To bfloat16, round to nearest even; NaN stays NaN.
HWY_INLINE void narrow_to(const float* from, std::size_t count, std::uint16_t* to) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(from[i]);
    const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
    to[i] = static_cast<std::uint16_t>(is_nan ? 0x7fc0U : rounded);
  }
}

class RowWorker {
 public:
  RowWorker(const DivergenceSpec& spec, const RowBatch& batch)
      : spec_(spec),
        batch_(batch),
        classes_(static_cast<std::size_t>(batch.vocab)),
        top_k_(static_cast<std::size_t>(spec.top_k)),
        buffers_(batch),
        inverse_temperature_(static_cast<float>(1.0 / spec.temperature)) {
    row_.members = buffers_.members;
    row_.first = buffers_.first;
    row_.second = buffers_.second;
    row_.size = padded(classes_);
  }

  void compute(std::int64_t t, bool has_next) {
    const std::size_t offset = static_cast<std::size_t>(t) * classes_;
    row_.student = load(batch_.student, batch_.student_type, offset, buffers_.student);
    row_.teacher = load(batch_.teacher, batch_.teacher_type, offset, buffers_.teacher);
    const bool in_place = batch_.gradient != nullptr && buffers_.gradient == nullptr;
    row_.gradient = in_place ? static_cast<float*>(batch_.gradient) + offset : buffers_.gradient;
    row_.next_student = row_.student + (has_next && buffers_.student == nullptr ? classes_ : 0);
    row_.next_teacher =
        row_.teacher + (has_next && row_.teacher != nullptr && buffers_.teacher == nullptr ? classes_ : 0);
    row_.next_gradient = row_.gradient + (has_next && in_place ? classes_ : 0);
    weight_ = static_cast<double>(batch_.weights[t]);
    batch_.per_token[t] = static_cast<float>(loss_and_gradient(t));
    if (batch_.gradient != nullptr && !in_place) store(offset);
  }

 private:
  double loss_and_gradient(std::int64_t t) {
    switch (spec_.loss) {
      case Loss::cross_entropy:
        return cross_entropy(static_cast<std::size_t>(batch_.targets[t]));
      case Loss::mse:
        return mean_squared();
      case Loss::jsd:
        return mixture(spec_.beta, spec_.beta, 1 - spec_.beta);
      case Loss::skew_forward_kl:
        return mixture(spec_.alpha, 1, 0);
      case Loss::skew_reverse_kl:
        return mixture(1 - spec_.alpha, 0, 1);
      case Loss::cakld:
      case Loss::akl:
        return both_directions();
      case Loss::forward_kl:
        return one_set<true>(RowLaw::kTail);
      case Loss::reverse_kl:
        return one_set<false>(RowLaw::kTail);
      default:
        return topkld();
    }
  }

  // The row as floats, padded; the caller's memory itself where it has that form.
  const float* load(const void* tensor, LogitType type, std::size_t offset, float* buffer) const {
    if (tensor == nullptr) return nullptr;
    if (buffer == nullptr) return static_cast<const float*>(tensor) + offset;
    if (type == LogitType::bfloat16) {
      widen(static_cast<const std::uint16_t*>(tensor) + offset, classes_, buffer);
    } else {
      std::memcpy(buffer, static_cast<const float*>(tensor) + offset, classes_ * sizeof(float));
    }
    std::fill(buffer + classes_, buffer + row_.size, kPadding);
    return buffer;
  }
  void store(std::size_t offset) const {
    if (batch_.student_type == LogitType::bfloat16) {
      narrow_to(row_.gradient, classes_, static_cast<std::uint16_t*>(batch_.gradient) + offset);
    } else {
      std::memcpy(static_cast<float*>(batch_.gradient) + offset, row_.gradient, classes_ * sizeof(float));
    }
  }

  // d(loss temperature^2)/d(logits) from the coefficients of d loss/d(logits / temperature)
  double gradient_scale() const { return weight_ * spec_.temperature; }
  double scaled(double loss) const { return loss * spec_.temperature * spec_.temperature; }
  bool wants_gradient() const { return batch_.gradient != nullptr; }

  template <bool kSets>
  Shifts shifts(bool no_head, bool no_tail) const {
    const auto over_temperature = [&](const float* values) HWY_ATTR {
      PerSet maxima = find_maxima<kSets>(values, row_);
      maxima.head = no_head ? 0.0f : maxima.head * inverse_temperature_;
      maxima.tail = no_tail ? 0.0f : maxima.tail * inverse_temperature_;
      return maxima;
    };
    return {inverse_temperature_, over_temperature(row_.student), over_temperature(row_.teacher)};
  }

  void mark_top_k(const float* values, bool join) {
    const Threshold threshold = find_top_k(values, classes_, top_k_, row_.first, row_.second);
    mark_members(values, row_.size, threshold, join, buffers_.members);
  }
  bool head_is_everything() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < classes_; i += kLanes)
      count += hn::CountTrue(Floats(), members_at(row_.members, i));
    return count >= classes_;
  }

  double topkld() {
    const bool forward_tail = spec_.tail != Direction::reverse;
    const bool forward_head = spec_.head != Direction::reverse;
    if (top_k_ == 0) return forward_tail ? one_set<true>(RowLaw::kTail) : one_set<false>(RowLaw::kTail);
    if (top_k_ == classes_)
      return forward_head ? one_set<true>(RowLaw::kHead) : one_set<false>(RowLaw::kHead);
    if (spec_.set_source != SetSource::student) mark_top_k(row_.teacher, false);
    if (spec_.set_source != SetSource::teacher) {
      mark_top_k(row_.student, spec_.set_source == SetSource::union_of_both);
    }
    if (forward_head) return forward_tail ? two_sets<true, true>() : two_sets<true, false>();
    return forward_tail ? two_sets<false, true>() : two_sets<false, false>();
  }

  template <bool kForward>
  double one_set(int set) {
    const Shifts shift = shifts<false>(false, false);
    DirectedPass<false, true, kForward> pass{row_, Exponents<false>(shift)};
    const auto sums = sum_over_row<decltype(pass)::kSums>(pass, row_.size);
    const SetSums all{.empty = false,
                      .p = sums[0],
                      .q = sums[1],
                      .p_delta = kForward ? sums[2] : 0,
                      .q_delta = kForward ? 0 : sums[2],
                      .p_shift = static_cast<double>(shift.teacher.tail),
                      .q_shift = static_cast<double>(shift.student.tail)};
    const RowStatistics statistics =
        set == RowLaw::kHead ? row_statistics(all, SetSums{}) : row_statistics(SetSums{}, all);
    RowLaw law(statistics);
    law.add(spec_);
    if (wants_gradient()) {
      const Factors factors = directed_factors<kForward>(law, set, all, statistics);
      directed_gradient<false>(row_, {0, factors.on_s}, {0, factors.on_other});
    }
    return scaled(law.loss());
  }

  template <bool kForwardHead, bool kForwardTail>
  double two_sets() {
    const bool no_tail = spec_.set_source == SetSource::union_of_both && head_is_everything();
    const Shifts shift = shifts<true>(false, no_tail);
    DirectedPass<true, kForwardHead, kForwardTail> pass{row_, Exponents<true>(shift)};
    const auto sums = sum_over_row<decltype(pass)::kSums>(pass, row_.size);
    const SetSums tail{.empty = no_tail,
                       .p = sums[0],
                       .q = sums[2],
                       .p_delta = kForwardTail ? sums[4] : 0,
                       .q_delta = kForwardTail ? 0 : sums[4],
                       .p_shift = static_cast<double>(shift.teacher.tail),
                       .q_shift = static_cast<double>(shift.student.tail)};
    const SetSums head{.empty = false,
                       .p = sums[1],
                       .q = sums[3],
                       .p_delta = kForwardHead ? sums[5] : 0,
                       .q_delta = kForwardHead ? 0 : sums[5],
                       .p_shift = static_cast<double>(shift.teacher.head),
                       .q_shift = static_cast<double>(shift.student.head)};
    const RowStatistics statistics = row_statistics(head, tail);
    RowLaw law(statistics);
    law.add(spec_);
    if (wants_gradient()) {
      const Factors on_head = directed_factors<kForwardHead>(law, RowLaw::kHead, head, statistics);
      const Factors on_tail = directed_factors<kForwardTail>(law, RowLaw::kTail, tail, statistics);
      directed_gradient<true>(row_, {on_head.on_s, on_tail.on_s}, {on_head.on_other, on_tail.on_other});
    }
    return scaled(law.loss());
  }

  struct Factors {
    float on_s = 0;
    float on_other = 0;
  };
  template <bool kForward>
  Factors directed_factors(const RowLaw& law, int set, const SetSums& sums,
                           const RowStatistics& statistics) const {
    if (sums.empty) return {};
    const Coefficients c = law.gradient(set);
    const double offset = set == RowLaw::kHead ? statistics.head.offset : statistics.tail.offset;
    const double other = kForward ? c.p / sums.p : c.qd / sums.q;
    return {static_cast<float>(gradient_scale() * (c.q + c.qd * offset) / sums.q),
            static_cast<float>(gradient_scale() * other)};
  }

  SetSums undirected_sums(const Shifts& shift) {
    UndirectedPass pass{row_, Exponents<false>(shift)};
    const auto sums = sum_over_row<UndirectedPass::kSums>(pass, row_.size);
    return {.empty = false,
            .p = sums[0],
            .q = sums[1],
            .p_delta = sums[2],
            .q_delta = sums[3],
            .p_shift = static_cast<double>(shift.teacher.tail),
            .q_shift = static_cast<double>(shift.student.tail)};
  }

  // cakld, and akl with its weights of this row
  double both_directions() {
    const Shifts shift = shifts<false>(false, false);
    const SetSums all = undirected_sums(shift);
    const RowStatistics statistics = row_statistics(SetSums{}, all);
    RowLaw law(statistics);
    if (spec_.loss == Loss::cakld) {
      law.add(spec_);
    } else {
      const double head_share = adaptive_share(all);
      law.add_kl(head_share, 1 - head_share);
    }
    if (wants_gradient()) {
      const Coefficients c = law.gradient(RowLaw::kTail);
      const double g = gradient_scale();
      undirected_gradient(row_, shift, static_cast<float>(g * c.p / all.p),
                          static_cast<float>(g * (c.q + c.qd * statistics.tail.offset) / all.q),
                          static_cast<float>(g * c.qd / all.q));
    }
    return scaled(law.loss());
  }

  struct MassBeyond {  // whether the classes from a value on hold more than `mass`
    const Row& row;
    double mass;
    HWY_INLINE double above(float value) const {
      MassAbovePass pass{row, hn::Set(Floats(), value)};
      return sum_over_row<1>(pass, row.size)[0];
    }
    HWY_INLINE bool holds(float value) const { return above(std::nextafter(value, -kInfinity)) > mass; }
  };

  // akl: the share of |p - q| in the teacher's most probable classes of cumulative mass head_mass at most
  // (the first always); 1/2 where p = q.
  double adaptive_share(const SetSums& all) {
    const MassBeyond beyond{row_, spec_.head_mass * all.p};
    Threshold threshold{-kInfinity, 0};
    if (all.p > beyond.mass) {
      threshold.value = largest_value(beyond);
      const double above = beyond.above(threshold.value);
      const auto x = static_cast<double>(threshold.value) * static_cast<double>(inverse_temperature_);
      const double each = std::exp(x - all.p_shift);
      threshold.ties = static_cast<std::size_t>(std::max(0.0, (beyond.mass - above) / each));
      if (above == 0 && threshold.ties == 0) threshold.ties = 1;
    }
    mark_members(row_.teacher, row_.size, threshold, false, buffers_.members);
    const Floats d;
    DifferencePass pass{row_, hn::Set(d, static_cast<float>(1 / all.q)),
                        hn::Set(d, static_cast<float>(1 / all.p))};
    const auto sums = sum_over_row<DifferencePass::kSums>(pass, row_.size);
    return sums[0] > 0 ? sums[1] / sums[0] : 0.5;
  }

  double mixture(double mix_p, double weight_p, double weight_q) {
    const Floats d;
    const Shifts shift = shifts<false>(false, false);
    const SetSums all = undirected_sums(shift);
    const auto set = [&](double value) HWY_ATTR { return hn::Set(d, static_cast<float>(value)); };
    MixturePass pass{row_,
                     Exponents<false>(shift),
                     set(1 / all.q),
                     set(1 / all.p),
                     set(row_statistics(SetSums{}, all).tail.offset),
                     set(mix_p),
                     set(1 - mix_p),
                     set(weight_p),
                     set(weight_q)};
    const auto sums = sum_over_row<MixturePass::kSums>(pass, row_.size);
    if (wants_gradient()) {
      combine(row_, static_cast<float>(-gradient_scale() * sums[1] / all.q),
              static_cast<float>(gradient_scale()));
    }
    return scaled(sums[0]);
  }

  double cross_entropy(std::size_t target) {
    Shifts shift{1.0f, find_maxima<false>(row_.student, row_), {}};
    StudentPass pass{row_, Exponents<false>(shift)};
    const double sum = sum_over_row<1>(pass, row_.size)[0];
    if (wants_gradient()) {
      scale(row_, row_.first, static_cast<float>(weight_ / sum));
      row_.gradient[target] -= static_cast<float>(weight_);
    }
    const double above = static_cast<double>(shift.student.tail) - static_cast<double>(row_.student[target]);
    return above + std::log(sum);
  }

  double mean_squared() {
    SquaredPass pass{row_};
    const double sum = sum_over_row<1>(pass, row_.size)[0];
    const double classes = static_cast<double>(classes_);
    if (wants_gradient()) scale(row_, row_.gradient, static_cast<float>(2 * weight_ / classes));
    return sum / classes;
  }

  const DivergenceSpec& spec_;
  const RowBatch& batch_;
  std::size_t classes_;
  std::size_t top_k_;
  RowBuffers buffers_;
  float inverse_temperature_;
  double weight_ = 0;
  Row row_{};
};

}  // namespace bitlaw::distill::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
