// What a configuration's post-training method and transforms mean for the layers: decided by the
// configuration alone, so that a saved state can be read without calibrating, and refused before anything is
// loaded. Torch-free.
#pragma once

#include <cstdint>
#include <string>

#include "quant/config.h"
#include "quant/spec.h"

namespace bitlaw::quant {

// What a layer has beyond its scales and zero points.
struct LayerPlan {
  bool group_index = false;       // GPTQ's groups follow the order of rounding
  bool input_multiplier = false;  // smooth or AWQ
  std::int64_t hadamard_block = 0;
  ZeroPointTraining zero_points = ZeroPointTraining::fixed;
};
// e2e_qp takes over whatever a run or a file has, so its layers have room for all of it.
LayerPlan layer_plan(const QuantConfig& config, const QuantSpec& spec, std::int64_t in_features);

bool is_post_training(Method method);
bool has_learned_scales(Method method);  // lsq, e2e_qp: the state is log_scale
bool has_transform(const QuantConfig& config, TransformKind kind);
// Whether the method or a transform needs to know the layers' inputs.
bool needs_calibration(const QuantConfig& config);
// That, or anything else that is done with samples before the first step: block_ap, static scales of inputs.
bool looks_at_samples(const QuantConfig& config);
// The key, with its value, for which a model must be shown samples before it is quantised: for the inputs of
// its layers, or for training. "" when weights alone are enough: no method, or rtn or hqq with no transform
// but hadamard and no static scales of inputs.
std::string what_needs_samples(const QuantConfig& config);
// Whether codes come from a walk over the layers (post_training.h, or block by block), not from the
// quantizers' own rounding: where layers are looked at one after the other, for their codes or for static
// scales of their inputs.
bool is_calibrated(const QuantConfig& config);

// InputError: transforms that the method cannot have.
void check_transforms(const QuantConfig& config);
// InputError (data::InputErrors when several things are wrong): weights of `spec` are nothing for the
// configuration's method or transforms.
void check_method(const QuantConfig& config, const QuantSpec& spec);

}  // namespace bitlaw::quant
