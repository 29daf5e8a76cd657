#include "quant/containers/compressed_tensors_config.h"

#include <array>
#include <utility>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"
#include "quant/containers/compressed_tensors_args.h"
#include "quant/containers/compressed_tensors_inputs.h"
#include "quant/containers/module_pattern.h"

namespace bitlaw::quant {

namespace {

using data::Json;

// "naive-quantized" is the package's name for either plain format.
std::optional<CompressedFormat> format_named(std::string_view name, const Json& weights) {
  if (name == "naive-quantized") {
    const Json* type = weights.find("type");
    const bool floating = type != nullptr && type->text() != nullptr && *type->text() == "float";
    return floating ? CompressedFormat::float_quantized : CompressedFormat::int_quantized;
  }
  int value = 0;
  for (const std::string_view candidate : data::EnumNames<CompressedFormat>::names) {
    if (candidate == name) {
      return static_cast<CompressedFormat>(value);
    }
    ++value;
  }
  return std::nullopt;
}

std::string text_or(const Json* json, const std::string& usual) {
  return json == nullptr || json->text() == nullptr ? usual : *json->text();
}

Json texts(const std::vector<std::string>& values) {
  return Json::Array(values.begin(), values.end());
}

Json group_json(const CompressedScheme& scheme, const std::vector<std::string>& targets) {
  return Json::Object{{"targets", texts(targets)},
                      {"weights", compressed_weight_args(scheme)},
                      {"input_activations", scheme.inputs ? compressed_input_args(*scheme.inputs) : Json()},
                      {"output_activations", Json()},
                      {"format", std::string(data::enum_name(scheme.format))}};
}

// "0.17.1" -> 17: the minor number decides while the major one is 0.
std::optional<WordLayout> layout_of_version(const Json* version) {
  if (version == nullptr || version->text() == nullptr) {
    return std::nullopt;
  }
  const std::string& text = *version->text();
  const std::size_t dot = text.find('.');
  if (dot == std::string::npos || text.empty() || text[0] < '0' || text[0] > '9') {
    return std::nullopt;
  }
  int minor = 0;
  std::size_t digits = 0;
  for (std::size_t i = dot + 1; i < text.size() && digits < 4 && text[i] >= '0' && text[i] <= '9'; ++i) {
    minor = minor * 10 + (text[i] - '0');
    ++digits;
  }
  if (digits == 0) {
    return std::nullopt;
  }
  const bool dense = text.substr(0, dot) != "0" || minor >= 18;
  return dense ? WordLayout::dense : WordLayout::words;
}

}  // namespace

Json compressed_config(const std::map<std::string, CompressedScheme>& layers,
                       const std::vector<std::string>& ignore, WordLayout layout) {
  std::vector<std::pair<CompressedScheme, std::vector<std::string>>> groups;
  for (const auto& [module, scheme] : layers) {
    auto found = groups.begin();
    while (found != groups.end() && !(found->first == scheme)) {
      ++found;
    }
    if (found == groups.end()) {
      found = groups.insert(groups.end(), {scheme, {}});
    }
    found->second.push_back(module);
  }
  Json::Object members;
  bool one_format = true;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    members.emplace_back("group_" + std::to_string(i), group_json(groups[i].first, groups[i].second));
    one_format = one_format && groups[i].first.format == groups[0].first.format;
  }
  std::string format = groups.empty() ? "dense" : std::string(data::enum_name(groups[0].first.format));
  return Json::Object{{"quant_method", "compressed-tensors"},
                      {"version", layout == WordLayout::dense ? "0.20.0" : "0.17.0"},
                      {"format", one_format ? format : "mixed-precision"},
                      {"quantization_status", "compressed"},
                      {"global_compression_ratio", Json()},
                      {"config_groups", std::move(members)},
                      {"ignore", texts(ignore)},
                      {"kv_cache_scheme", Json()}};
}

void CompressedConfig::fail(const std::string& what, const std::string& why) const {
  throw data::InputError(origin_ + ": " + what, why, "write the file again, or choose another scheme");
}

CompressedConfig::CompressedConfig(const Json& config, std::string origin) : origin_(std::move(origin)) {
  const Json* method = config.find("quant_method");
  if (method == nullptr || method->text() == nullptr || *method->text() != "compressed-tensors") {
    fail("quant_method is not compressed-tensors", "another method stores other numbers");
  }
  if (config.find("kv_cache_scheme") != nullptr) {
    fail("a quantised cache", "bitlaw has none");
  }
  for (const char* key : {"sparsity_config", "transform_config"}) {
    const Json* member = config.find(key);
    if (member != nullptr && (member->object() == nullptr || !member->object()->empty())) {
      fail(key, "it changes the weights in a way that is not read");
    }
  }
  layout_ = layout_of_version(config.find("version"));
  const std::string usual = text_or(config.find("format"), "");
  const Json* groups = config.find("config_groups");
  if (groups == nullptr || groups->object() == nullptr) {
    fail("no config_groups", "they say what the codes mean");
  }
  for (const auto& [name, group] : *groups->object()) {
    read_group(name, group, usual);
  }
  const Json* ignore = config.find("ignore");
  for (const Json& entry :
       ignore == nullptr || ignore->array() == nullptr ? Json::Array() : *ignore->array()) {
    if (entry.text() == nullptr) {
      fail("ignore holds what is no text", "it names modules");
    }
    ignore_.push_back(*entry.text());
  }
}

void CompressedConfig::read_group(const std::string& name, const Json& group,
                                  const std::string& usual_format) {
  const std::string shown = data::printable(name);
  const std::string origin = origin_ + ": " + shown;
  const Json* targets = group.find("targets");
  const Json* weights = group.find("weights");
  if (targets == nullptr || targets->array() == nullptr || weights == nullptr) {
    fail(shown + " has no targets or no weights", "a group says which layers have which numbers");
  }
  if (group.find("output_activations") != nullptr) {
    fail(shown + " quantises outputs", "bitlaw quantises weights and inputs");
  }
  Group result{name, {}, {}};
  for (const Json& target : *targets->array()) {
    if (target.text() == nullptr) {
      fail(shown + " has a target that is no text", "targets are names");
    }
    result.targets.push_back(*target.text());
  }
  const auto format = format_named(text_or(group.find("format"), usual_format), *weights);
  if (!format) {
    fail(shown + " has no format that is read", "the format says how the codes lie");
  }
  result.scheme.format = *format;
  result.scheme.weights = compressed_weight_spec(*weights, *format, origin + ": weights");
  result.scheme.scattered_groups = compressed_scattered(*weights, origin + ": weights");
  if (const Json* inputs = group.find("input_activations")) {
    result.scheme.inputs = compressed_input_spec(*inputs, origin + ": input_activations");
  }
  groups_.push_back(std::move(result));
}

// 0: does not fit; 1: by its class; 2: by a pattern; 3: by name.
int CompressedConfig::rank_of(const Group& group, const std::string& module) const {
  int rank = 0;
  for (const std::string& target : group.targets) {
    if (target == module) {
      return 3;
    }
    if (target.starts_with("re:")) {
      rank = matches_beginning(std::string_view(target).substr(3), module) ? 2 : rank;
    } else if (target.find('.') == std::string::npos && rank == 0) {
      rank = target == "Linear" ? 1 : 0;
    }
  }
  return rank;
}

const CompressedScheme& CompressedConfig::scheme_of(const std::string& module) const {
  for (const std::string& pattern : ignore_) {
    if (pattern == module ||
        (pattern.starts_with("re:") && matches_beginning(std::string_view(pattern).substr(3), module))) {
      fail("layer " + module + " is ignored, but holds codes", "nothing says what they mean");
    }
  }
  const Group* best = nullptr;
  int best_rank = 0;
  bool several = false;
  for (const Group& group : groups_) {
    const int rank = rank_of(group, module);
    several = rank > best_rank
                  ? false
                  : several || (rank > 0 && rank == best_rank && !(group.scheme == best->scheme));
    if (rank > best_rank) {
      best = &group;
      best_rank = rank;
    }
  }
  if (best == nullptr || several) {
    fail("layer " + module + " belongs to " + (several ? "several groups" : "no group"),
         "one group says what its codes mean");
  }
  return best->scheme;
}

}  // namespace bitlaw::quant
