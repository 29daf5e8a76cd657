// Four lanes for any processor, by the vectors of GCC and Clang: what the passes use where Highway has only
// its scalar target, with Highway's names (docs of Highway's quick reference). On x86-64 and AArch64 the
// compiler makes SSE2 and NEON of it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bitlaw::distill::kernels::portable {

constexpr std::size_t kLaneCount = 4;
using FloatLanes = float __attribute__((vector_size(16)));
using IntLanes = std::int32_t __attribute__((vector_size(16)));
using UnsignedLanes = std::uint32_t __attribute__((vector_size(16)));

struct FloatVector {
  FloatLanes v;
};
struct IntVector {  // signed, and wraps around
  UnsignedLanes v;
};
struct Mask {
  IntLanes v;  // -1 or 0
};
struct Floats {};
struct Ints {};

inline FloatVector Set(Floats, float x) {
  return {FloatLanes{x, x, x, x}};
}
inline IntVector Set(Ints, std::int32_t x) {
  const auto bits = static_cast<std::uint32_t>(x);
  return {UnsignedLanes{bits, bits, bits, bits}};
}
inline FloatVector Zero(Floats) {
  return {FloatLanes{}};
}
inline FloatVector LoadU(Floats, const float* from) {
  FloatVector x;
  std::memcpy(&x.v, from, sizeof(x.v));
  return x;
}
inline void StoreU(FloatVector x, Floats, float* to) {
  std::memcpy(to, &x.v, sizeof(x.v));
}
inline void Store(FloatVector x, Floats d, float* to) {
  StoreU(x, d, to);
}

inline FloatVector Add(FloatVector a, FloatVector b) {
  return {a.v + b.v};
}
inline FloatVector Sub(FloatVector a, FloatVector b) {
  return {a.v - b.v};
}
inline FloatVector Mul(FloatVector a, FloatVector b) {
  return {a.v * b.v};
}
inline FloatVector Div(FloatVector a, FloatVector b) {
  return {a.v / b.v};
}
inline IntVector Add(IntVector a, IntVector b) {
  return {a.v + b.v};
}
inline IntVector Sub(IntVector a, IntVector b) {
  return {a.v - b.v};
}
template <int kBits>
IntVector ShiftLeft(IntVector x) {
  return {x.v << kBits};
}
template <int kBits>
IntVector ShiftRight(IntVector x) {
  return {reinterpret_cast<UnsignedLanes>(reinterpret_cast<IntLanes>(x.v) >> kBits)};
}
inline IntVector BitCast(Ints, FloatVector x) {
  return {reinterpret_cast<UnsignedLanes>(x.v)};
}
inline FloatVector BitCast(Floats, IntVector x) {
  return {reinterpret_cast<FloatLanes>(x.v)};
}
inline FloatVector ConvertTo(Floats, IntVector x) {
  return {__builtin_convertvector(reinterpret_cast<IntLanes>(x.v), FloatLanes)};
}

inline Mask Lt(FloatVector a, FloatVector b) {
  return {a.v < b.v};
}
inline Mask Gt(FloatVector a, FloatVector b) {
  return {a.v > b.v};
}
inline Mask Le(FloatVector a, FloatVector b) {
  return {a.v <= b.v};
}
inline Mask Ge(FloatVector a, FloatVector b) {
  return {a.v >= b.v};
}
inline Mask Eq(FloatVector a, FloatVector b) {
  return {a.v == b.v};
}
inline Mask And(Mask a, Mask b) {
  return {a.v & b.v};
}
inline Mask Or(Mask a, Mask b) {
  return {a.v | b.v};
}
inline FloatVector IfThenElse(Mask m, FloatVector a, FloatVector b) {
  return {reinterpret_cast<FloatLanes>((m.v & reinterpret_cast<IntLanes>(a.v)) |
                                       (~m.v & reinterpret_cast<IntLanes>(b.v)))};
}
inline FloatVector IfThenElseZero(Mask m, FloatVector a) {
  return {reinterpret_cast<FloatLanes>(m.v & reinterpret_cast<IntLanes>(a.v))};
}
inline FloatVector IfThenZeroElse(Mask m, FloatVector b) {
  return {reinterpret_cast<FloatLanes>(~m.v & reinterpret_cast<IntLanes>(b.v))};
}
inline FloatVector Abs(FloatVector x) {
  return {reinterpret_cast<FloatLanes>(reinterpret_cast<IntLanes>(x.v) & 0x7fffffff)};
}
inline FloatVector Neg(FloatVector x) {
  return {-x.v};
}
// The second operand where one is not a number, as x86's own instruction.
inline FloatVector Max(FloatVector a, FloatVector b) {
  return IfThenElse(Gt(a, b), a, b);
}
inline FloatVector MaxOfLanes(Floats d, FloatVector x) {
  return Set(d, std::max(std::max(x.v[0], x.v[1]), std::max(x.v[2], x.v[3])));
}
inline float GetLane(FloatVector x) {
  return x.v[0];
}

inline Mask FirstN(Floats, std::size_t count) {
  const auto n = static_cast<std::int32_t>(std::min(count, kLaneCount));
  return {IntLanes{0, 1, 2, 3} < IntLanes{n, n, n, n}};
}
inline std::size_t CountTrue(Floats, Mask m) {
  return static_cast<std::size_t>(-(m.v[0] + m.v[1] + m.v[2] + m.v[3]));
}
inline bool AllFalse(Floats d, Mask m) {
  return CountTrue(d, m) == 0;
}
inline Mask LoadMaskBits(Floats, const std::uint8_t* bits) {
  const std::int32_t byte = *bits;
  return {(IntLanes{byte, byte, byte, byte} & IntLanes{1, 2, 4, 8}) != 0};
}
inline void StoreMaskBits(Floats, Mask m, std::uint8_t* bits) {
  const IntLanes bit = m.v & IntLanes{1, 2, 4, 8};
  *bits = static_cast<std::uint8_t>(bit[0] + bit[1] + bit[2] + bit[3]);
}

}  // namespace bitlaw::distill::kernels::portable
