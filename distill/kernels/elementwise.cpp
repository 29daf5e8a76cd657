#include "distill/kernels/elementwise.h"

// Vectors of a length that is unknown when compiling have no arrays, which the fixed order of sums needs.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "distill/kernels/elementwise.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "distill/kernels/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::distill::kernels::HWY_NAMESPACE {

void norm_forward_float(const NormForward<float>& task) {
  forward_rows(task);
}
void norm_forward_bf16(const NormForward<std::uint16_t>& task) {
  forward_rows(task);
}
void norm_backward_float(const NormBackward<float>& task) {
  backward_rows(task);
}
void norm_backward_bf16(const NormBackward<std::uint16_t>& task) {
  backward_rows(task);
}
void gelu_float(const float* x, float* out, std::int64_t count) {
  gelu_values(x, out, count);
}
void gelu_bf16(const std::uint16_t* x, std::uint16_t* out, std::int64_t count) {
  gelu_values(x, out, count);
}
void gelu_gradient_float(const float* x, const float* grad_out, float* grad_x, std::int64_t count) {
  gelu_gradients(x, grad_out, grad_x, count);
}
void gelu_gradient_bf16(const std::uint16_t* x, const std::uint16_t* grad_out, std::uint16_t* grad_x,
                        std::int64_t count) {
  gelu_gradients(x, grad_out, grad_x, count);
}

}  // namespace bitlaw::distill::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitlaw::distill::kernels {

namespace {
HWY_EXPORT(norm_forward_float);
HWY_EXPORT(norm_forward_bf16);
HWY_EXPORT(norm_backward_float);
HWY_EXPORT(norm_backward_bf16);
HWY_EXPORT(gelu_float);
HWY_EXPORT(gelu_bf16);
HWY_EXPORT(gelu_gradient_float);
HWY_EXPORT(gelu_gradient_bf16);
}  // namespace

void norm_forward(const NormForward<float>& task) {
  HWY_DYNAMIC_DISPATCH(norm_forward_float)(task);
}
void norm_forward(const NormForward<std::uint16_t>& task) {
  HWY_DYNAMIC_DISPATCH(norm_forward_bf16)(task);
}
void norm_backward(const NormBackward<float>& task) {
  HWY_DYNAMIC_DISPATCH(norm_backward_float)(task);
}
void norm_backward(const NormBackward<std::uint16_t>& task) {
  HWY_DYNAMIC_DISPATCH(norm_backward_bf16)(task);
}

void gelu_forward(const float* x, float* out, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(gelu_float)(x, out, count);
}
void gelu_forward(const std::uint16_t* x, std::uint16_t* out, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(gelu_bf16)(x, out, count);
}
void gelu_backward(const float* x, const float* grad_out, float* grad_x, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(gelu_gradient_float)(x, grad_out, grad_x, count);
}
void gelu_backward(const std::uint16_t* x, const std::uint16_t* grad_out, std::uint16_t* grad_x,
                   std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(gelu_gradient_bf16)(x, grad_out, grad_x, count);
}

}  // namespace bitlaw::distill::kernels
#endif
