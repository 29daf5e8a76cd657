// The loops of elementwise.h for the instruction set that Highway is compiling for. Torch-free.
#include <hwy/highway.h>

#if defined(BITLAW_DISTILL_KERNELS_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BITLAW_DISTILL_KERNELS_ELEMENTWISE_INL_H_
#undef BITLAW_DISTILL_KERNELS_ELEMENTWISE_INL_H_
#else
#define BITLAW_DISTILL_KERNELS_ELEMENTWISE_INL_H_
#endif

#include <bit>
#include <cmath>
#include <cstdint>

#include "distill/kernels/elementwise.h"
#include "distill/losses/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::distill::kernels::HWY_NAMESPACE {

constexpr auto kStep = static_cast<std::int64_t>(kLanes);

HWY_INLINE FloatVec load_values(const float* from) {
  return hn::LoadU(Floats(), from);
}
HWY_INLINE void store_values(FloatVec x, float* into) {
  hn::StoreU(x, Floats(), into);
}

#if HWY_TARGET == HWY_SCALAR                                  // no vectors of integers there: lane by lane
HWY_INLINE FloatVec load_values(const std::uint16_t* from) {  // bfloat16
  float values[kLanes];
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    values[lane] = std::bit_cast<float>(static_cast<std::uint32_t>(from[lane]) << 16);
  }
  return hn::LoadU(Floats(), values);
}

HWY_INLINE void store_values(FloatVec x, std::uint16_t* into) {  // nearest, half to even; NaN stays NaN
  float values[kLanes];
  hn::StoreU(x, Floats(), values);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const auto bits = std::bit_cast<std::uint32_t>(values[lane]);
    const std::uint32_t rounded = (bits + ((bits >> 16) & 1U) + 0x7FFFU) >> 16;
    into[lane] = static_cast<std::uint16_t>(std::isnan(values[lane]) ? 0x7FC0U : rounded);
  }
}
#else
HWY_INLINE FloatVec load_values(const std::uint16_t* from) {  // bfloat16
  const hn::RebindToUnsigned<Floats> words;
  const hn::Rebind<std::uint16_t, Floats> halves;
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(words, hn::LoadU(halves, from))));
}

HWY_INLINE void store_values(FloatVec x, std::uint16_t* into) {  // nearest, half to even; NaN stays NaN
  const hn::RebindToUnsigned<Floats> words;
  const hn::Rebind<std::uint16_t, Floats> halves;
  const auto bits = hn::BitCast(words, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7FFF))));
  const auto is_nan = hn::RebindMask(words, hn::IsNaN(x));
  hn::StoreU(hn::TruncateTo(halves, hn::IfThenElse(is_nan, hn::Set(words, 0x7FC0), rounded)), halves, into);
}
#endif

// Sum over a row of what `term(i)` gives for the vector from element i on: 16 sums, one per lane of a block
// of 16, then their sum in rising order, the same for each width.
template <class Term>
HWY_INLINE float sum_of_row(std::int64_t width, const Term& term) {
  FloatVec sums[kParts];
  for (auto& sum : sums) sum = hn::Zero(Floats());
  for (std::int64_t block = 0; block < width; block += static_cast<std::int64_t>(kBlock))
    for (std::size_t part = 0; part < kParts; ++part)
      sums[part] = hn::Add(sums[part], term(block + static_cast<std::int64_t>(part * kLanes)));
  HWY_ALIGN float lanes[kBlock];
  for (std::size_t part = 0; part < kParts; ++part) hn::Store(sums[part], Floats(), lanes + part * kLanes);
  float total = 0;
  for (const float lane : lanes) total += lane;
  return total;
}

template <class T>
HWY_INLINE void add_branch(const NormForward<T>& task, std::int64_t row) {
  const float* residual = task.residual + row * task.width;
  const T* branch = task.branch + row * task.width;
  float* into = task.new_residual + row * task.width;
  for (std::int64_t i = 0; i < task.width; i += kStep)
    store_values(
        hn::Add(load_values(residual + i), hn::Mul(load_values(branch + i), load_values(task.gate + i))),
        into + i);
}

template <class T>
HWY_INLINE void normalise(const NormForward<T>& task, const float* x, std::int64_t row) {
  const float count = static_cast<float>(task.width);
  const float mean = sum_of_row(task.width, [&](std::int64_t i) { return load_values(x + i); }) / count;
  const FloatVec means = hn::Set(Floats(), mean);
  const float squares = sum_of_row(task.width, [&](std::int64_t i) {
    const FloatVec centred = hn::Sub(load_values(x + i), means);
    return hn::Mul(centred, centred);
  });
  const float inverse = 1.0F / std::sqrt(squares / count + task.epsilon);
  const FloatVec inverses = hn::Set(Floats(), inverse), one = hn::Set(Floats(), 1.0F);
  T* out = task.out + row * task.width;
  for (std::int64_t i = 0; i < task.width; i += kStep) {
    const FloatVec normed = hn::Mul(hn::Sub(load_values(x + i), means), inverses);
    const FloatVec scaled = hn::Mul(normed, hn::Add(one, load_values(task.scale + i)));
    store_values(hn::Add(scaled, load_values(task.shift + i)), out + i);
  }
  task.mean[row] = mean;
  task.inverse[row] = inverse;
}

template <class T>
HWY_INLINE void forward_rows(const NormForward<T>& task) {
  for (std::int64_t row = 0; row < task.rows; ++row) {
    if (task.branch != nullptr) add_branch(task, row);
    const float* x = task.branch != nullptr ? task.new_residual : task.residual;
    if (task.out != nullptr) normalise(task, x + row * task.width, row);
  }
}

// d loss / d residual' of one row into grad_residual, and the sums for scale and shift:
// inverse * (g - mean(g) - x_hat mean(g x_hat)) with g = grad_out (1 + scale).
template <class T>
HWY_INLINE void differentiate_norm(const NormBackward<T>& task, std::int64_t row) {
  const NormForward<T>& f = task.forward;
  const float* x = (f.branch != nullptr ? f.new_residual : f.residual) + row * f.width;
  const T* grad_out = task.grad_out + row * f.width;
  const FloatVec means = hn::Set(Floats(), f.mean[row]), inverses = hn::Set(Floats(), f.inverse[row]);
  const FloatVec one = hn::Set(Floats(), 1.0F);
  const auto gradient = [&](std::int64_t i) {
    return hn::Mul(load_values(grad_out + i), hn::Add(one, load_values(f.scale + i)));
  };
  const auto normed = [&](std::int64_t i) { return hn::Mul(hn::Sub(load_values(x + i), means), inverses); };
  const float count = static_cast<float>(f.width);
  const float mean_g = sum_of_row(f.width, gradient) / count;
  const float mean_gx =
      sum_of_row(f.width, [&](std::int64_t i) { return hn::Mul(gradient(i), normed(i)); }) / count;
  const FloatVec means_g = hn::Set(Floats(), mean_g), means_gx = hn::Set(Floats(), mean_gx);
  float* into = task.grad_residual + row * f.width;
  for (std::int64_t i = 0; i < f.width; i += kStep) {
    const FloatVec g_out = load_values(grad_out + i), x_hat = normed(i);
    const FloatVec inner = hn::Sub(hn::Sub(gradient(i), means_g), hn::Mul(x_hat, means_gx));
    FloatVec g_x = hn::Mul(inverses, inner);
    if (task.grad_new_residual != nullptr)
      g_x = hn::Add(g_x, load_values(task.grad_new_residual + row * f.width + i));
    store_values(g_x, into + i);
    store_values(hn::Add(load_values(task.grad_scale + i), hn::Mul(g_out, x_hat)), task.grad_scale + i);
    store_values(hn::Add(load_values(task.grad_shift + i), g_out), task.grad_shift + i);
  }
}

// `gradient`: d loss / d residual' of the row.
template <class T>
HWY_INLINE void differentiate_branch(const NormBackward<T>& task, const float* gradient, std::int64_t row) {
  const NormForward<T>& f = task.forward;
  const T* branch = f.branch + row * f.width;
  T* grad_branch = task.grad_branch + row * f.width;
  for (std::int64_t i = 0; i < f.width; i += kStep) {
    const FloatVec g = load_values(gradient + i);
    store_values(hn::Mul(g, load_values(f.gate + i)), grad_branch + i);
    store_values(hn::Add(load_values(task.grad_gate + i), hn::Mul(g, load_values(branch + i))),
                 task.grad_gate + i);
  }
}

template <class T>
HWY_INLINE void backward_rows(const NormBackward<T>& task) {
  const NormForward<T>& f = task.forward;
  for (std::int64_t row = 0; row < f.rows; ++row) {
    if (task.grad_out != nullptr) differentiate_norm(task, row);
    const float* gradient = task.grad_out != nullptr ? task.grad_residual : task.grad_new_residual;
    if (f.branch != nullptr) differentiate_branch(task, gradient + row * f.width, row);
  }
}

constexpr float kGeluCubic = 0.044715F;
constexpr float kTwoRoots = 1.5957691216F;  // 2 sqrt(2 / pi)

// 1 / (1 + exp(-2 u)), the factor of x. Both sides from exp of a number that is not positive.
HWY_INLINE FloatVec gelu_factor(FloatVec x) {
  const Floats d;
  const FloatVec one = hn::Set(d, 1.0F);
  const FloatVec cubic = hn::Mul(hn::Mul(hn::Mul(x, x), x), hn::Set(d, kGeluCubic));
  const FloatVec twice_u = hn::Mul(hn::Add(x, cubic), hn::Set(d, kTwoRoots));
  const FloatVec small = exp_nonpositive(hn::Neg(hn::Abs(twice_u)));
  const FloatVec numerator = hn::IfThenElse(hn::Lt(twice_u, hn::Zero(d)), small, one);
  return hn::Div(numerator, hn::Add(one, small));
}

HWY_INLINE FloatVec gelu(FloatVec x) {
  return hn::Mul(x, gelu_factor(x));
}

HWY_INLINE FloatVec gelu_slope(FloatVec x) {
  const Floats d;
  const FloatVec one = hn::Set(d, 1.0F), factor = gelu_factor(x);
  const FloatVec square = hn::Mul(hn::Mul(x, x), hn::Set(d, 3 * kGeluCubic));
  const FloatVec inner = hn::Mul(hn::Add(one, square), hn::Set(d, kTwoRoots));  // d 2u / dx
  const FloatVec rest = hn::Mul(hn::Mul(x, hn::Sub(one, factor)), inner);
  return hn::Mul(factor, hn::Add(one, rest));
}

template <class T>
HWY_INLINE void gelu_values(const T* x, T* out, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kStep <= count; i += kStep) store_values(gelu(load_values(x + i)), out + i);
  if (i == count) return;
  T lanes[kLanes] = {};
  for (std::int64_t left = i; left < count; ++left) lanes[left - i] = x[left];
  store_values(gelu(load_values(lanes)), lanes);
  for (std::int64_t left = i; left < count; ++left) out[left] = lanes[left - i];
}

template <class T>
HWY_INLINE void gelu_gradients(const T* x, const T* grad_out, T* grad_x, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kStep <= count; i += kStep)
    store_values(hn::Mul(load_values(grad_out + i), gelu_slope(load_values(x + i))), grad_x + i);
  if (i == count) return;
  T lanes[kLanes] = {}, gradients[kLanes] = {};
  for (std::int64_t left = i; left < count; ++left) {
    lanes[left - i] = x[left];
    gradients[left - i] = grad_out[left];
  }
  store_values(hn::Mul(load_values(gradients), gelu_slope(load_values(lanes))), lanes);
  for (std::int64_t left = i; left < count; ++left) grad_x[left] = lanes[left - i];
}

}  // namespace bitlaw::distill::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
