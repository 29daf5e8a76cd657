// The quantization_config of compressed-tensors' config.json: which layers have which numbers. Torch-free.
//
// Written: one group for each distinct scheme, with the modules' names as targets. Read: targets may be
// module names, "re:" patterns (module_pattern.h) or a class name, which fits every layer that no other group
// names
// ("Linear"); a layer that `ignore` names must hold no codes.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/formats/json.h"
#include "quant/containers/compressed_tensors_layer.h"

namespace bitlaw::quant {

struct CompressedScheme {
  CompressedFormat format = CompressedFormat::pack_quantized;
  QuantSpec weights{QuantSpecFields{}};
  bool scattered_groups = false;    // weight_g_idx
  std::optional<QuantSpec> inputs;  // dynamic, or (strategy tensor) with a static scale

  bool operator==(const CompressedScheme&) const = default;
};

data::Json compressed_config(const std::map<std::string, CompressedScheme>& layers,
                             const std::vector<std::string>& ignore, WordLayout layout);

class CompressedConfig {
 public:
  // `config`: the object "quantization_config"; `origin` names it in errors. InputError for what is not read:
  // other methods, sparsity, a quantised cache or output.
  CompressedConfig(const data::Json& config, std::string origin);

  // Of a layer that holds codes; InputError when no group or several fit.
  const CompressedScheme& scheme_of(const std::string& module) const;
  std::optional<WordLayout> layout() const { return layout_; }

 private:
  struct Group {
    std::string name;
    std::vector<std::string> targets;
    CompressedScheme scheme;
  };

  [[noreturn]] void fail(const std::string& what, const std::string& why) const;
  void read_group(const std::string& name, const data::Json& group, const std::string& usual_format);
  int rank_of(const Group& group, const std::string& module) const;

  std::string origin_;
  std::optional<WordLayout> layout_;
  std::vector<Group> groups_;
  std::vector<std::string> ignore_;
};

}  // namespace bitlaw::quant
