// The loops of elementwise.h for the instruction set that Highway is compiling for. Torch-free.
#include <hwy/highway.h>

#if defined(BITLAW_DISTILL_KERNELS_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BITLAW_DISTILL_KERNELS_ELEMENTWISE_INL_H_
#undef BITLAW_DISTILL_KERNELS_ELEMENTWISE_INL_H_
#else
#define BITLAW_DISTILL_KERNELS_ELEMENTWISE_INL_H_
#endif

#include <cmath>
#include <cstdint>

#include "distill/kernels/elementwise.h"
#include "distill/kernels/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::distill::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using vectors::constant;
using vectors::kStep;
using vectors::load;
using vectors::store;
using vectors::sum_of_row;
using vectors::Tag;
using vectors::Vec;

template <class T>
HWY_INLINE void add_branch(const NormForward<T>& task, std::int64_t row) {
  const float* residual = task.residual + row * task.width;
  const T* branch = task.branch + row * task.width;
  float* into = task.new_residual + row * task.width;
  for (std::int64_t i = 0; i < task.width; i += kStep)
    store(hn::Add(load(residual + i), hn::Mul(load(branch + i), load(task.gate + i))), into + i);
}

template <class T>
HWY_INLINE void normalise(const NormForward<T>& task, const float* x, std::int64_t row) {
  const float count = static_cast<float>(task.width);
  const float mean = sum_of_row(task.width, [&](std::int64_t i) { return load(x + i); }) / count;
  const Vec means = constant(mean);
  const float squares = sum_of_row(task.width, [&](std::int64_t i) {
    const Vec centred = hn::Sub(load(x + i), means);
    return hn::Mul(centred, centred);
  });
  const float inverse = 1.0F / std::sqrt(squares / count + task.epsilon);
  const Vec inverses = constant(inverse), one = constant(1.0F);
  T* out = task.out + row * task.width;
  for (std::int64_t i = 0; i < task.width; i += kStep) {
    const Vec normed = hn::Mul(hn::Sub(load(x + i), means), inverses);
    const Vec scaled = hn::Mul(normed, hn::Add(one, load(task.scale + i)));
    store(hn::Add(scaled, load(task.shift + i)), out + i);
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
  const Vec means = constant(f.mean[row]), inverses = constant(f.inverse[row]);
  const Vec one = constant(1.0F);
  const auto gradient = [&](std::int64_t i) {
    return hn::Mul(load(grad_out + i), hn::Add(one, load(f.scale + i)));
  };
  const auto normed = [&](std::int64_t i) { return hn::Mul(hn::Sub(load(x + i), means), inverses); };
  const float count = static_cast<float>(f.width);
  const float mean_g = sum_of_row(f.width, gradient) / count;
  const float mean_gx =
      sum_of_row(f.width, [&](std::int64_t i) { return hn::Mul(gradient(i), normed(i)); }) / count;
  const Vec means_g = constant(mean_g), means_gx = constant(mean_gx);
  float* into = task.grad_residual + row * f.width;
  for (std::int64_t i = 0; i < f.width; i += kStep) {
    const Vec g_out = load(grad_out + i), x_hat = normed(i);
    const Vec inner = hn::Sub(hn::Sub(gradient(i), means_g), hn::Mul(x_hat, means_gx));
    Vec g_x = hn::Mul(inverses, inner);
    if (task.grad_new_residual != nullptr)
      g_x = hn::Add(g_x, load(task.grad_new_residual + row * f.width + i));
    store(g_x, into + i);
    store(hn::Add(load(task.grad_scale + i), hn::Mul(g_out, x_hat)), task.grad_scale + i);
    store(hn::Add(load(task.grad_shift + i), g_out), task.grad_shift + i);
  }
}

// `gradient`: d loss / d residual' of the row.
template <class T>
HWY_INLINE void differentiate_branch(const NormBackward<T>& task, const float* gradient, std::int64_t row) {
  const NormForward<T>& f = task.forward;
  const T* branch = f.branch + row * f.width;
  T* grad_branch = task.grad_branch + row * f.width;
  for (std::int64_t i = 0; i < f.width; i += kStep) {
    const Vec g = load(gradient + i);
    store(hn::Mul(g, load(f.gate + i)), grad_branch + i);
    store(hn::Add(load(task.grad_gate + i), hn::Mul(g, load(branch + i))), task.grad_gate + i);
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

// 1 / x for 1 <= x <= 2, relative error 1e-7: an approximation and one step of Newton's method.
HWY_INLINE Vec reciprocal(Vec x) {
  const Vec y = hn::ApproximateReciprocal(x);
  return hn::Mul(y, hn::NegMulAdd(x, y, constant(2.0F)));
}

// 1 / (1 + exp(-2 u)), the factor of x. Both sides from exp of a number that is not positive.
HWY_INLINE Vec gelu_factor(Vec x, Vec square) {
  const Vec one = constant(1.0F);
  const Vec twice_u = hn::Mul(x, hn::MulAdd(square, constant(kTwoRoots * kGeluCubic), constant(kTwoRoots)));
  const Vec small = vectors::exp_nonpositive(hn::Neg(hn::Abs(twice_u)));
  const Vec numerator = hn::IfThenElse(hn::Lt(twice_u, hn::Zero(Tag())), small, one);
  return hn::Mul(numerator, reciprocal(hn::Add(one, small)));
}

HWY_INLINE Vec gelu(Vec x) {
  return hn::Mul(x, gelu_factor(x, hn::Mul(x, x)));
}

// f + x f (1 - f) d(2u)/dx, f the factor of x.
HWY_INLINE Vec gelu_slope(Vec x) {
  const Vec square = hn::Mul(x, x), factor = gelu_factor(x, square);
  const Vec inner = hn::MulAdd(square, constant(3 * kTwoRoots * kGeluCubic), constant(kTwoRoots));
  const Vec tail = hn::Mul(hn::Mul(x, hn::Sub(constant(1.0F), factor)), inner);
  return hn::MulAdd(factor, tail, factor);
}

template <class T>
HWY_INLINE void gelu_values(const T* x, T* out, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kStep <= count; i += kStep) store(gelu(load(x + i)), out + i);
  if (i == count) return;
  T lanes[kStep] = {};
  for (std::int64_t left = i; left < count; ++left) lanes[left - i] = x[left];
  store(gelu(load(lanes)), lanes);
  for (std::int64_t left = i; left < count; ++left) out[left] = lanes[left - i];
}

template <class T>
HWY_INLINE void gelu_gradients(const T* x, const T* grad_out, T* grad_x, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kStep <= count; i += kStep)
    store(hn::Mul(load(grad_out + i), gelu_slope(load(x + i))), grad_x + i);
  if (i == count) return;
  T lanes[kStep] = {}, gradients[kStep] = {};
  for (std::int64_t left = i; left < count; ++left) {
    lanes[left - i] = x[left];
    gradients[left - i] = grad_out[left];
  }
  store(hn::Mul(load(gradients), gelu_slope(load(lanes))), lanes);
  for (std::int64_t left = i; left < count; ++left) grad_x[left] = lanes[left - i];
}

}  // namespace bitlaw::distill::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
