// What happens between the matrix products of a transformer block, one pass over memory each: gated residual,
// LayerNorm with AdaLN modulation, GELU; forward and backward. CPU, vector instructions chosen at run time;
// the sums of a row are made in the same order for every choice. Torch-free.
//
// T is float, or std::uint16_t for bfloat16 bit patterns. Rows have `width` elements, a multiple of 16.
#pragma once

#include <cstdint>

namespace bitlaw::distill::kernels {

// residual' = residual + branch * gate; out = LN(residual') (1 + scale) + shift, LN with epsilon and without
// affine part. Rows of one sample: gate, scale and shift [width] are the same for all.
template <class T>
struct NormForward {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  float epsilon = 0;
  const float* residual = nullptr;
  const T* branch = nullptr;    // null: residual' is residual, and new_residual is not written
  const float* gate = nullptr;  // with branch
  const float* scale = nullptr;
  const float* shift = nullptr;
  float* new_residual = nullptr;
  T* out = nullptr;          // null: no normalisation, only residual'
  float* mean = nullptr;     // [rows]
  float* inverse = nullptr;  // [rows]: 1 / sqrt(variance + epsilon)
};
void norm_forward(const NormForward<float>& task);
void norm_forward(const NormForward<std::uint16_t>& task);

// From d loss / d out and d loss / d residual' to all inputs. Sums over rows are added to what grad_gate,
// grad_scale and grad_shift [width] hold.
template <class T>
struct NormBackward {
  NormForward<T> forward;       // as the forward had it; new_residual, mean, inverse as it left them
  const T* grad_out = nullptr;  // null: no normalisation
  const float* grad_new_residual = nullptr;  // null: zero
  float* grad_residual = nullptr;
  T* grad_branch = nullptr;  // with branch
  float* grad_gate = nullptr;
  float* grad_scale = nullptr;
  float* grad_shift = nullptr;
};
void norm_backward(const NormBackward<float>& task);
void norm_backward(const NormBackward<std::uint16_t>& task);

// GELU, tanh form: x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3). Any count.
void gelu_forward(const float* x, float* out, std::int64_t count);
void gelu_forward(const std::uint16_t* x, std::uint16_t* out, std::int64_t count);
// grad_x = grad_out * gelu'(x)
void gelu_backward(const float* x, const float* grad_out, float* grad_x, std::int64_t count);
void gelu_backward(const std::uint16_t* x, const std::uint16_t* grad_out, std::uint16_t* grad_x,
                   std::int64_t count);

}  // namespace bitlaw::distill::kernels
