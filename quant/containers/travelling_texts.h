// What a container of others has no place for travels in its metadata, as texts: the way back to the native
// file is then the identity.
//
//   bitlaw.version      "1"
//   bitlaw.config, bitlaw.model_bits, bitlaw.source   attributes of the native file, where it has them
//   bitlaw.weights      JSON: module -> spec (text form) of its weight
//   bitlaw.activations  JSON: module -> spec of its input
// A file without bitlaw.version is somebody else's: its weights keep the spec that the container states.
// Torch-free.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "data/formats/json.h"
#include "quant/containers/native.h"

namespace bitlaw::quant {

using Texts = std::map<std::string, std::string>;

inline constexpr const char* kTextPrefix = "bitlaw.";

Texts travelling_texts(const PackedModel& model);

struct TravellingSpecs {
  bool present = false;
  std::map<std::string, QuantSpec> weights;
  std::map<std::string, QuantSpec> activations;
  std::map<std::string, std::string> attributes;

  // The spec of a module's weight; null where none travelled.
  const QuantSpec* weight(const std::string& module) const;
};

// Keys without the prefix are not looked at. InputError, naming `origin`, for an unknown version or key and
// for texts that are no specs.
TravellingSpecs read_travelling_texts(const Texts& texts, const std::string& origin);

// For containers that hold no scales of inputs: what travelled, made at run time. InputError for a static
// one.
std::map<std::string, PackedInput> dynamic_inputs(const TravellingSpecs& specs, const std::string& origin);
// NoExactForm (restate.h) when the input of the layer has a static scale.
void refuse_static_input(const PackedModel& model, const std::string& module);

// Inputs belong to layers that hold weights, and groups of inputs divide those of the layer: InputError.
void check_inputs(const PackedModel& model, const std::string& origin);

data::Json specs_json(const std::map<std::string, QuantSpec>& specs);

// `natural` under the spec that travelled with it, if any. InputError when the two contradict each other.
PackedTensor at_home(PackedTensor natural, const TravellingSpecs& specs, const std::string& module,
                     std::span<const std::int8_t> zero_points = {});

// Every weight that the texts name is in the model, and its inputs fit its weights (check_inputs): InputError
// if not.
void check_complete(const PackedModel& model, const TravellingSpecs& specs, const std::string& origin);

}  // namespace bitlaw::quant
