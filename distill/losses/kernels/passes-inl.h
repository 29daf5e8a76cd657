// The passes of the fused divergence over one row in cache: maxima, exponentials with their sums, gradient.
//
// Legend, for class i of set A (head or tail): s, t logits of student and teacher divided by the temperature;
// x = logit - maximum over A; es = exp(xs), et = exp(xt); delta = xs - xt, so that log(q_i/p_i) = delta + a
// constant of A. Working with each set's own maximum, no set's exponentials all underflow.
#include <hwy/highway.h>

#if defined(BITLAW_LOSSES_PASSES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BITLAW_LOSSES_PASSES_INL_H_
#undef BITLAW_LOSSES_PASSES_INL_H_
#else
#define BITLAW_LOSSES_PASSES_INL_H_
#endif

#include "distill/losses/kernels/lanes-inl.h"
#include "distill/losses/kernels/row_law.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::distill::kernels::HWY_NAMESPACE {

// One row, padded to whole blocks with kPadding. The buffers may be used for something else between passes.
// Passes take it by value: stores of vectors may alias whatever a reference leads to, and it would be read
// again.
struct Row {
  const float* student;
  const float* teacher;
  float* gradient;              // also a buffer until the last pass
  float* first;                 // buffer
  float* second;                // buffer
  const std::uint8_t* members;  // the head, when there are two sets
  std::size_t size;             // padded
  // The next row in memory, fetched into cache while this one is computed on; for the last row, itself.
  const float* next_student;
  const float* next_teacher;
  const float* next_gradient;
};

// Far below any logit, so that its exponential is 0; finite, so that differences are numbers.
constexpr float kPadding = -1e30f;

// A number of each set; without sets only `tail` counts.
struct PerSet {
  float head = 0;
  float tail = 0;
};

template <bool kSets>
struct PerSetVec {
  FloatVec head;
  FloatVec tail;
  explicit HWY_INLINE PerSetVec(PerSet numbers)
      : head(hn::Set(Floats(), numbers.head)), tail(hn::Set(Floats(), numbers.tail)) {}
  HWY_INLINE FloatVec at(FloatMask in_head) const {
    if constexpr (kSets) return hn::IfThenElse(in_head, head, tail);
    return tail;
  }
};

HWY_INLINE void fetch_next(Row row, std::size_t i) {
  if (i % kBlock != 0) return;  // a block is a cache line
  __builtin_prefetch(row.next_student + i);
  __builtin_prefetch(row.next_teacher + i);
  __builtin_prefetch(row.next_gradient + i, 1);
}

template <bool kSets>
HWY_INLINE FloatMask head_at(Row row, std::size_t i) {
  if constexpr (kSets) return members_at(row.members, i);
  return hn::FirstN(Floats(), 0);
}

// The maxima over each set.
template <bool kSets>
HWY_INLINE PerSet find_maxima(const float* values, Row row) {
  const Floats d;
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto head = lowest;
  auto tail = lowest;
  for (std::size_t i = 0; i < row.size; i += kLanes) {
    const auto x = hn::LoadU(d, values + i);
    if constexpr (kSets) {
      const auto in_head = members_at(row.members, i);
      head = hn::Max(head, hn::IfThenElse(in_head, x, lowest));
      tail = hn::Max(tail, hn::IfThenElse(in_head, lowest, x));
    } else {
      tail = hn::Max(tail, x);
    }
  }
  return {hn::GetLane(hn::MaxOfLanes(d, head)), hn::GetLane(hn::MaxOfLanes(d, tail))};
}

// Adds x to the head's sum or to the tail's.
template <bool kSets>
HWY_INLINE void add_to_set(FloatMask in_head, FloatVec x, FloatVec* sums, std::size_t index) {
  FloatVec& tail = sums[index];
  if constexpr (kSets) {
    FloatVec& head = sums[index + 1];
    head = hn::Add(head, hn::IfThenElseZero(in_head, x));
    tail = hn::Add(tail, hn::IfThenZeroElse(in_head, x));
  } else {
    tail = hn::Add(tail, x);
  }
}

struct Shifts {
  float inverse_temperature;
  PerSet student;  // maxima, divided by the temperature
  PerSet teacher;
};

template <bool kSets>
struct Exponents {
  FloatVec inverse_temperature;
  PerSetVec<kSets> student;
  PerSetVec<kSets> teacher;
  explicit HWY_INLINE Exponents(const Shifts& shifts)
      : inverse_temperature(hn::Set(Floats(), shifts.inverse_temperature)),
        student(shifts.student),
        teacher(shifts.teacher) {}
  HWY_INLINE FloatVec xs(Row row, std::size_t i, FloatMask in_head) const {
    return hn::Sub(hn::Mul(hn::LoadU(Floats(), row.student + i), inverse_temperature), student.at(in_head));
  }
  HWY_INLINE FloatVec xt(Row row, std::size_t i, FloatMask in_head) const {
    return hn::Sub(hn::Mul(hn::LoadU(Floats(), row.teacher + i), inverse_temperature), teacher.at(in_head));
  }
};

// Losses with one direction a set. Leaves es in `first` and, in `gradient`, what the other coefficient of the
// gradient is multiplied with: et where the set is forward, es delta where it is reverse. Sums, tail before
// head: et, es, and delta times et (forward) or es (reverse).
template <bool kSets, bool kForwardHead, bool kForwardTail>
struct DirectedPass {
  static constexpr std::size_t kSums = kSets ? 6 : 3;
  Row row;
  Exponents<kSets> exponents;

  HWY_INLINE FloatVec pick(FloatMask in_head, FloatVec forward, FloatVec reverse) const {
    if constexpr (!kSets || kForwardHead == kForwardTail) return kForwardTail ? forward : reverse;
    return kForwardHead ? hn::IfThenElse(in_head, forward, reverse)
                        : hn::IfThenElse(in_head, reverse, forward);
  }
  HWY_INLINE void step(std::size_t i, FloatVec* sums) {
    const Floats d;
    const auto in_head = head_at<kSets>(row, i);
    const auto xs = exponents.xs(row, i, in_head);
    const auto xt = exponents.xt(row, i, in_head);
    const auto es = exp_nonpositive(xs);
    const auto et = exp_nonpositive(xt);
    const auto weighted = hn::Mul(pick(in_head, et, es), hn::Sub(xs, xt));
    fetch_next(row, i);
    hn::StoreU(es, d, row.first + i);
    hn::StoreU(pick(in_head, et, weighted), d, row.gradient + i);
    constexpr std::size_t kEach = kSets ? 2 : 1;
    add_to_set<kSets>(in_head, et, sums, 0);
    add_to_set<kSets>(in_head, es, sums, kEach);
    add_to_set<kSets>(in_head, weighted, sums, 2 * kEach);
  }
};

// gradient = factor_s es + factor_other (what DirectedPass left there)
template <bool kSets>
HWY_INLINE void directed_gradient(Row row, PerSet factor_s, PerSet factor_other) {
  const Floats d;
  const PerSetVec<kSets> on_s(factor_s);
  const PerSetVec<kSets> on_other(factor_other);
  for (std::size_t i = 0; i < row.size; i += kLanes) {
    const auto in_head = head_at<kSets>(row, i);
    const auto es = hn::LoadU(d, row.first + i);
    const auto other = hn::LoadU(d, row.gradient + i);
    hn::StoreU(hn::Add(hn::Mul(on_s.at(in_head), es), hn::Mul(on_other.at(in_head), other)), d,
               row.gradient + i);
  }
}

// Losses over all classes with both directions, and mixtures. Leaves es in `first`, et in `second`. Sums: et,
// es, et delta, es delta.
struct UndirectedPass {
  static constexpr std::size_t kSums = 4;
  Row row;
  Exponents<false> exponents;

  HWY_INLINE void step(std::size_t i, FloatVec* sums) {
    const Floats d;
    const auto none = head_at<false>(row, i);
    const auto xs = exponents.xs(row, i, none);
    const auto xt = exponents.xt(row, i, none);
    const auto es = exp_nonpositive(xs);
    const auto et = exp_nonpositive(xt);
    const auto delta = hn::Sub(xs, xt);
    hn::StoreU(es, d, row.first + i);
    hn::StoreU(et, d, row.second + i);
    sums[0] = hn::Add(sums[0], et);
    sums[1] = hn::Add(sums[1], es);
    sums[2] = hn::Add(sums[2], hn::Mul(et, delta));
    sums[3] = hn::Add(sums[3], hn::Mul(es, delta));
  }
};

// gradient = a et + (b + c delta) es
HWY_INLINE void undirected_gradient(Row row, const Shifts& shifts, float a, float b, float c) {
  const Floats d;
  const Exponents<false> exponents(shifts);
  for (std::size_t i = 0; i < row.size; i += kLanes) {
    const auto none = head_at<false>(row, i);
    const auto delta = hn::Sub(exponents.xs(row, i, none), exponents.xt(row, i, none));
    const auto on_s = hn::Add(hn::Set(d, b), hn::Mul(hn::Set(d, c), delta));
    const auto teacher = hn::Mul(hn::Set(d, a), hn::LoadU(d, row.second + i));
    hn::StoreU(hn::Add(teacher, hn::Mul(on_s, hn::LoadU(d, row.first + i))), d, row.gradient + i);
  }
}

// Cross entropy. Leaves es in `first`; its sum.
struct StudentPass {
  static constexpr std::size_t kSums = 1;
  Row row;
  Exponents<false> exponents;

  HWY_INLINE void step(std::size_t i, FloatVec* sums) {
    const auto es = exp_nonpositive(exponents.xs(row, i, head_at<false>(row, i)));
    hn::StoreU(es, Floats(), row.first + i);
    sums[0] = hn::Add(sums[0], es);
  }
};

// Sum of |p - q| over all classes and over the head, after UndirectedPass.
struct DifferencePass {
  static constexpr std::size_t kSums = 2;
  Row row;
  FloatVec inverse_es;
  FloatVec inverse_et;

  HWY_INLINE void step(std::size_t i, FloatVec* sums) {
    const Floats d;
    const auto q = hn::Mul(hn::LoadU(d, row.first + i), inverse_es);
    const auto p = hn::Mul(hn::LoadU(d, row.second + i), inverse_et);
    const auto difference = hn::Abs(hn::Sub(p, q));
    sums[0] = hn::Add(sums[0], difference);
    sums[1] = hn::Add(sums[1], hn::IfThenElseZero(members_at(row.members, i), difference));
  }
};

// Sum of et where the teacher's logit is greater than `bound`, after UndirectedPass.
struct MassAbovePass {
  static constexpr std::size_t kSums = 1;
  Row row;
  FloatVec bound;

  HWY_INLINE void step(std::size_t i, FloatVec* sums) {
    const Floats d;
    const auto greater = hn::Gt(hn::LoadU(d, row.teacher + i), bound);
    sums[0] = hn::Add(sums[0], hn::IfThenElseZero(greater, hn::LoadU(d, row.second + i)));
  }
};

// weight_p KL(p || m) + weight_q KL(q || m), m = mix_p p + mix_q q. With base = max(p, q), ratio = m / base
// lies between the smaller mixture weight and 1, whatever underflows: log(m / p) = log(ratio) + max(log(q /
// p), 0). Leaves q_i h_i in `second`. Sums: loss, q_i h_i.
struct MixturePass {
  static constexpr std::size_t kSums = 2;
  Row row;
  Exponents<false> exponents;
  FloatVec inverse_es, inverse_et;
  FloatVec offset;  // log(q_i / p_i) = delta + offset
  FloatVec mix_p, mix_q, weight_p, weight_q;

  HWY_INLINE void step(std::size_t i, FloatVec* sums) {
    const Floats d;
    const auto none = head_at<false>(row, i);
    const auto log_ratio_qp =
        hn::Add(hn::Sub(exponents.xs(row, i, none), exponents.xt(row, i, none)), offset);
    const auto q = hn::Mul(hn::LoadU(d, row.first + i), inverse_es);
    const auto p = hn::Mul(hn::LoadU(d, row.second + i), inverse_et);
    const auto m = hn::Add(hn::Mul(mix_p, p), hn::Mul(mix_q, q));
    const auto tiny = hn::Set(d, 1e-37f);
    const auto ratio = hn::Div(hn::Max(tiny, m), hn::Max(tiny, hn::Max(p, q)));
    const auto log_ratio = log_positive(hn::Max(tiny, ratio));
    const auto zero = hn::Zero(d);
    const auto loss_p = hn::Mul(hn::Mul(weight_p, p), hn::Add(log_ratio, hn::Max(log_ratio_qp, zero)));
    const auto loss_q =
        hn::Mul(hn::Mul(weight_q, q), hn::Add(log_ratio, hn::Max(hn::Neg(log_ratio_qp), zero)));
    const auto share = hn::Div(hn::Add(hn::Mul(weight_p, p), hn::Mul(weight_q, q)), hn::Max(tiny, m));
    const auto qh = hn::Sub(hn::Mul(q, hn::Sub(weight_q, hn::Mul(mix_q, share))), loss_q);
    hn::StoreU(qh, d, row.second + i);
    sums[0] = hn::Sub(sums[0], hn::Add(loss_p, loss_q));
    sums[1] = hn::Add(sums[1], qh);
  }
};

// gradient = a first + b second
HWY_INLINE void combine(Row row, float a, float b) {
  const Floats d;
  for (std::size_t i = 0; i < row.size; i += kLanes) {
    const auto from_first = hn::Mul(hn::Set(d, a), hn::LoadU(d, row.first + i));
    hn::StoreU(hn::Add(from_first, hn::Mul(hn::Set(d, b), hn::LoadU(d, row.second + i))), d,
               row.gradient + i);
  }
}

// Leaves student - teacher in `gradient`; the sum of its squares.
struct SquaredPass {
  static constexpr std::size_t kSums = 1;
  Row row;

  HWY_INLINE void step(std::size_t i, FloatVec* sums) {
    const Floats d;
    const auto difference = hn::Sub(hn::LoadU(d, row.student + i), hn::LoadU(d, row.teacher + i));
    hn::StoreU(difference, d, row.gradient + i);
    sums[0] = hn::Add(sums[0], hn::Mul(difference, difference));
  }
};

HWY_INLINE void scale(Row row, const float* values, float factor) {
  const Floats d;
  for (std::size_t i = 0; i < row.size; i += kLanes) {
    hn::StoreU(hn::Mul(hn::Set(d, factor), hn::LoadU(d, values + i)), d, row.gradient + i);
  }
}

}  // namespace bitlaw::distill::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
