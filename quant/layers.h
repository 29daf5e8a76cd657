// Layers whose weights may be quantised: what models are built from.
//
// A layer starts in full precision. `prepare` gives a Linear its quantizer and tells every layer the type in
// which unquantised tensors are used and stored (rest_dtype): the forward rounds them to it, straight
// through, so that training sees what the file will hold. Names of parameters are those of torch.nn (weight,
// bias). Weights and biases start at zero: models set them by name (counter-based), or a file does.
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "quant/input_quantizer.h"
#include "quant/input_transform.h"
#include "quant/quantizer.h"

namespace bitlaw::quant {

// What becomes of a registered buffer.
enum class BufferRole {
  forward,   // shapes the forward: saved, hashed, exported
  training,  // moving averages of training: saved in checkpoints, neither exported nor part of parameter_hash
  constant  // rebuilt from the configuration (masks, level tables): never saved; ignored when a file holds it
};

// Base of every module that owns parameters or buffers.
class Layer : public torch::nn::Module {
 public:
  using torch::nn::Module::Module;
  void set_rest_dtype(RestType type) { rest_dtype_ = type; }
  RestType rest_dtype() const { return rest_dtype_; }

  // Role of a buffer that this module registered under `name`; the default is BufferRole::forward.
  virtual BufferRole buffer_role(std::string_view name) const;

 protected:
  // x rounded to rest_dtype, as float32, gradient straight through. Undefined stays undefined.
  at::Tensor rest(const at::Tensor& x) const;

 private:
  RestType rest_dtype_ = RestType::float32;
};

class Linear : public Layer {
 public:
  // Parameters "weight" [out, in] and, unless bias_option says so, "bias" [out].
  enum class Bias { yes, no };
  Linear(std::int64_t in_features, std::int64_t out_features, Bias bias = Bias::yes);

  at::Tensor forward(const at::Tensor& x);  // [..., in] -> [..., out]
  at::Tensor effective_weight();  // what is multiplied: fake-quantised, or rounded to rest_dtype; float32
  at::Tensor weight_as(at::ScalarType type);  // effective_weight(), rounded once to `type`
  at::Tensor effective_bias() const;          // undefined without bias
  // With a bias that the caller builds (fused qkv).
  at::Tensor forward_with_bias(const at::Tensor& x, const at::Tensor& bias);

  // Inputs of a dynamic spec; attach_inputs() has those of any.
  void attach(std::shared_ptr<Quantizer> weights, std::optional<QuantSpec> activations);
  void attach_inputs(std::shared_ptr<InputQuantizer> inputs);  // registered as "input_quantizer"; null: none
  // The input as it meets the weight: transformed, in `type`, and quantised where activations are.
  at::Tensor prepared_input(const at::Tensor& x, at::ScalarType type) const;
  // The quantizer's, else the one that was set: a file's, of a layer without quantizer.
  InputTransform input_transform() const;
  void set_input_transform(InputTransform transform) { input_transform_ = std::move(transform); }
  // float32 [out, in]: the master for an input that is not transformed.
  at::Tensor plain_weight() const { return input_transform().undone(weight); }
  // Shown every input as it comes, before any transform; empty: nobody.
  using InputObserver = std::function<void(const at::Tensor&)>;
  void set_input_observer(InputObserver observer) { observer_ = std::move(observer); }
  const std::shared_ptr<Quantizer>& weight_quantizer() const { return weight_quantizer_; }
  const std::shared_ptr<InputQuantizer>& input_quantizer() const { return input_quantizer_; }
  std::optional<QuantSpec> activation_spec() const;

  at::Tensor weight;  // a parameter, but where a quantizer has frozen codes: zeros of its shape
  at::Tensor bias;

 private:
  at::Tensor product(const at::Tensor& x, const at::Tensor& with_bias, at::ScalarType type);

  std::shared_ptr<Quantizer> weight_quantizer_;  // registered as "weight_quantizer"
  std::shared_ptr<InputQuantizer> input_quantizer_;
  InputTransform input_transform_;
  InputObserver observer_;
};

class Embedding : public Layer {
 public:
  Embedding(std::int64_t count, std::int64_t dim);
  at::Tensor forward(const at::Tensor& indices);  // int64 [...] -> float32 [..., dim]
  at::Tensor weight;                              // [count, dim]
};

struct Conv2dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;  // zeros on all four sides
};

// Cross-correlation with a square kernel, as torch.nn.Conv2d. Never quantised.
class Conv2d : public Layer {
 public:
  Conv2d(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel_size,
         Conv2dOptions options = {});
  at::Tensor forward(const at::Tensor& x);  // [B, in, H, W] -> [B, out, H', W']
  at::Tensor weight;                        // [out, in, kernel, kernel]
  at::Tensor bias;                          // [out]

 private:
  Conv2dOptions options_;
};

// As torch.nn.GroupNorm; the published tokenizers use eps 1e-6.
class GroupNorm : public Layer {
 public:
  GroupNorm(std::int64_t groups, std::int64_t channels, double eps = 1e-6);
  at::Tensor forward(const at::Tensor& x);  // [B, channels, ...]
  at::Tensor weight;                        // [channels], ones at first
  at::Tensor bias;                          // [channels]

 private:
  std::int64_t groups_;
  double eps_;
};

}  // namespace bitlaw::quant
