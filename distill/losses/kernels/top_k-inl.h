// Exact selection of the K largest of a row without sorting it: the K-th largest value, then one bit a class.
//
// Equal values are taken by rising index, so that the set is the same everywhere (-0 and 0 are equal). A
// sample brackets the K-th value; one pass counts what lies above the bracket and keeps what lies in it; a
// few such passes over ever fewer candidates leave a handful, which are ranked directly. Values that are not
// numbers belong to no set.
#include <hwy/highway.h>

#if defined(BITLAW_LOSSES_TOP_K_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BITLAW_LOSSES_TOP_K_INL_H_
#undef BITLAW_LOSSES_TOP_K_INL_H_
#else
#define BITLAW_LOSSES_TOP_K_INL_H_
#endif

#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "distill/losses/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::distill::kernels::HWY_NAMESPACE {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::size_t kSample = 32;

// The members are all x > value, and of those equal to it the first `ties` by index.
struct Threshold {
  float value = kInfinity;
  std::size_t ties = 0;
};

// Candidates for the rank-th largest value (1-based). Up to a whole number of vectors, they are followed by
// values that no candidate is below.
struct Candidates {
  const float* values;
  std::size_t size;
  std::size_t rank;
};

struct Counts {
  std::size_t greater;
  std::size_t equal;
};

HWY_INLINE Counts count_around(const Candidates& c, float value) {
  const Floats d;
  const auto bound = hn::Set(d, value);
  Counts counts{0, 0};
  for (std::size_t i = 0; i < c.size; i += kLanes) {
    const auto x = hn::LoadU(d, c.values + i);
    counts.greater += hn::CountTrue(d, hn::Gt(x, bound));
    counts.equal += hn::CountTrue(d, hn::Eq(x, bound));
  }
  return counts;
}

// Two values of a sample between which the wanted one lies with high probability; infinite where the sample
// does not reach.
struct Bracket {
  float low = -kInfinity;
  float high = kInfinity;
};

// In a sample in falling order, the value at place n is the largest that at least n + 1 values reach.
HWY_INLINE Bracket bracket(const Candidates& c) {
  const Floats d;
  HWY_ALIGN float sample[kSample];
  for (std::size_t i = 0; i < kSample; ++i) sample[i] = c.values[i * c.size / kSample];
  const double expected = static_cast<double>(c.rank) / static_cast<double>(c.size) * kSample;
  const double margin = 1.0 + 1.5 * std::sqrt(expected * (1.0 - expected / kSample));
  const auto first = hn::Set(d, static_cast<float>(std::floor(expected - margin)));
  const auto last = hn::Set(d, static_cast<float>(std::ceil(expected + margin)));
  const auto lowest = hn::Set(d, -kInfinity);
  auto high = lowest;
  auto low = lowest;
  for (std::size_t i = 0; i < kSample; i += kLanes) {
    const auto x = hn::LoadU(d, sample + i);
    auto reached_by = hn::Zero(d);
    for (const float value : sample) {
      reached_by = hn::Add(reached_by, hn::IfThenElseZero(hn::Ge(hn::Set(d, value), x), hn::Set(d, 1.0f)));
    }
    high = hn::Max(high, hn::IfThenElse(hn::Gt(reached_by, first), x, lowest));
    low = hn::Max(low, hn::IfThenElse(hn::Gt(reached_by, last), x, lowest));
  }
  const bool reaches_up = expected - margin >= 0;
  return {hn::GetLane(hn::MaxOfLanes(d, low)), reaches_up ? hn::GetLane(hn::MaxOfLanes(d, high)) : kInfinity};
}

// The members of `mask` of the vector x, which lies at `from`, to `to`, where a whole vector is overwritten;
// returns their number.
HWY_INLINE std::size_t compress_store(FloatVec x, FloatMask mask, const float* from, float* to) {
  const Floats d;
#if HWY_TARGET <= HWY_AVX3  // has an instruction for it; storing with it directly is slow on some processors
  static_cast<void>(from);
  hn::StoreU(hn::Compress(x, mask), d, to);
  return hn::CountTrue(d, mask);
#else
  static_cast<void>(x);
  std::uint8_t bits[8];
  hn::StoreMaskBits(d, mask, bits);
  std::size_t count = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    to[count] = from[lane];
    count += (std::size_t{bits[0]} >> lane) & 1U;
  }
  return count;
#endif
}

// Copies the candidates with low <= x <= high to `kept` (room for a vector more); returns how many, and the
// count of those above high.
HWY_INLINE std::size_t keep_between(const Candidates& c, float low, float high, float* kept,
                                    std::size_t& above) {
  const Floats d;
  const auto low_v = hn::Set(d, low);
  const auto high_v = hn::Set(d, high);
  std::size_t count = 0;
  above = 0;
  for (std::size_t i = 0; i < c.size; i += kLanes) {
    const auto x = hn::LoadU(d, c.values + i);
    const auto greater = hn::Gt(x, high_v);
    const auto inside = hn::And(hn::Ge(x, low_v), hn::Le(x, high_v));
    count += compress_store(x, inside, c.values + i, kept + count);
    above += hn::CountTrue(d, greater);
  }
  hn::StoreU(hn::Set(d, -kInfinity), d, kept + count);
  return count;
}

// One pass: fewer candidates for the same value. Where the bracket missed it, those beyond it are kept.
HWY_INLINE Candidates narrow(const Candidates& c, float* kept) {
  const auto [low, high] = bracket(c);
  std::size_t above;
  std::size_t between = keep_between(c, low, high, kept, above);
  if (c.rank <= above) {
    between = keep_between(c, std::nextafter(high, kInfinity), kInfinity, kept, above);
    return {kept, between, c.rank};
  }
  if (c.rank <= above + between) return {kept, between, c.rank - above};
  const std::size_t rank = c.rank - above - between;
  between = keep_between(c, -kInfinity, std::nextafter(low, -kInfinity), kept, above);
  return {kept, between, rank};
}

// Total order of floats as integers; used where sampling does not make headway.
inline std::int32_t key_of(float value) {
  const auto bits = std::bit_cast<std::int32_t>(value);
  return bits < 0 ? bits ^ 0x7fffffff : bits;
}
inline float value_of(std::int32_t key) {
  return std::bit_cast<float>(key < 0 ? key ^ 0x7fffffff : key);
}

// The largest value for which `holds`, which holds for -infinity and for everything below what it holds for.
template <class Predicate>
HWY_INLINE float largest_value(const Predicate& predicate) {
  std::int64_t low = key_of(-kInfinity);
  std::int64_t high = std::int64_t{key_of(kInfinity)} + 1;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (predicate.holds(value_of(static_cast<std::int32_t>(middle))) ? low : high) = middle;
  }
  return value_of(static_cast<std::int32_t>(low));
}

struct RankReached {
  const Candidates& candidates;
  HWY_INLINE bool holds(float value) const {
    const Counts counts = count_around(candidates, value);
    return counts.greater + counts.equal >= candidates.rank;
  }
};

HWY_INLINE Threshold rank_few(const Candidates& c) {
  for (std::size_t i = 0; i < c.size; ++i) {
    const Counts counts = count_around(c, c.values[i]);
    if (counts.greater < c.rank && c.rank <= counts.greater + counts.equal) {
      return {c.values[i], c.rank - counts.greater};
    }
  }
  return {};
}

// The threshold of the `rank` largest of `size` values, 1 <= rank <= size, followed as candidates are. Both
// scratches have room for size + 32 values.
HWY_INLINE Threshold find_top_k(const float* values, std::size_t size, std::size_t rank, float* scratch,
                                float* other_scratch) {
  Candidates c{values, size, rank};
  while (c.size > 2 * kSample) {
    const Candidates fewer = narrow(c, scratch);
    if (fewer.size + fewer.size / 8 > c.size) {  // many equal values
      const float value = largest_value(RankReached{c});
      return {value, c.rank - count_around(c, value).greater};
    }
    c = fewer;
    std::swap(scratch, other_scratch);
  }
  return rank_few(c);
}

// The first `count` members of a mask.
HWY_INLINE FloatMask first_of(FloatMask mask, std::size_t count) {
  const Floats d;
  std::uint8_t bytes[8] = {};
  hn::StoreMaskBits(d, mask, bytes);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const auto bit = static_cast<std::uint8_t>(1U << (lane % 8));
    if ((bytes[lane / 8] & bit) == 0) continue;
    if (count == 0) bytes[lane / 8] = static_cast<std::uint8_t>(bytes[lane / 8] & ~bit);
    count -= count == 0 ? 0 : 1;
  }
  return hn::LoadMaskBits(d, bytes);
}

// Writes the set, joined with the one that is there when `join`.
HWY_INLINE void mark_members(const float* values, std::size_t size, Threshold threshold, bool join,
                             std::uint8_t* members) {
  const Floats d;
  const auto bound = hn::Set(d, threshold.value);
  for (std::size_t i = 0; i < size; i += kLanes) {
    const auto x = hn::LoadU(d, values + i);
    auto in = hn::Gt(x, bound);
    const auto equal = hn::Eq(x, bound);
    if (!hn::AllFalse(d, equal)) {
      const std::size_t count = hn::CountTrue(d, equal);
      in = count <= threshold.ties ? hn::Or(in, equal) : hn::Or(in, first_of(equal, threshold.ties));
      threshold.ties -= HWY_MIN(count, threshold.ties);
    }
    std::uint8_t* bytes = members + i / kLanes * kMaskBytes;
    if (join) in = hn::Or(in, hn::LoadMaskBits(d, bytes));
    hn::StoreMaskBits(d, in, bytes);
  }
}

}  // namespace bitlaw::distill::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
