// quantize_config.json of GPTQ's tools. Torch-free.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "data/formats/json.h"
#include "quant/containers/gptq_layer.h"

namespace bitlaw::quant {

data::Json gptq_config(const std::map<std::string, GptqLayer>& layers, GptqVersion version);

class GptqConfig {
 public:
  // InputError for another method, and for values of another kind.
  GptqConfig(const data::Json& config, std::string origin);

  // What is said of a layer that holds codes: the first pattern under "dynamic" that fits decides. InputError
  // when that says that the layer has none.
  GptqClaim claim_of(const std::string& module) const;

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& why) const;
  void read_numbers(const data::Json& object, GptqClaim& claim) const;

  std::string origin_;
  GptqClaim usual_;
  std::vector<std::pair<std::string, data::Json>> dynamic_;
};

}  // namespace bitlaw::quant
