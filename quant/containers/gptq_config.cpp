#include "quant/containers/gptq_config.h"

#include <algorithm>
#include <tuple>

#include "data/formats/input_error.h"
#include "quant/containers/module_pattern.h"

namespace bitlaw::quant {

namespace {

using data::Json;

// What a layer states for itself: bits, group size, symmetry, scattered groups.
using Numbers = std::tuple<std::int64_t, std::int64_t, bool, bool>;

Numbers numbers_of(const GptqLayer& layer) {
  const QuantSpecFields& fields = layer.spec.fields();
  return {fields.num_bits, fields.strategy == Strategy::group ? fields.group_size : -1, fields.symmetric,
          layer.scattered_groups};
}

Json::Object object_of(const Numbers& numbers) {
  const auto& [bits, group_size, symmetric, scattered] = numbers;
  return {{"bits", bits}, {"group_size", group_size}, {"sym", symmetric}, {"desc_act", scattered}};
}

Numbers most_common(const std::map<std::string, GptqLayer>& layers) {
  std::map<Numbers, int> counts;
  for (const auto& [module, layer] : layers) {
    ++counts[numbers_of(layer)];
  }
  const auto most = std::max_element(counts.begin(), counts.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? Numbers{4, 128, true, false} : most->first;
}

}  // namespace

Json gptq_config(const std::map<std::string, GptqLayer>& layers, GptqVersion version) {
  const Numbers usual = most_common(layers);
  Json::Object config = object_of(usual);
  Json::Object dynamic;
  for (const auto& [module, layer] : layers) {
    if (const Numbers own = numbers_of(layer); own != usual) {
      dynamic.emplace_back("+:" + exact_pattern(module), object_of(own));
    }
  }
  config.insert(config.begin(), {"quant_method", "gptq"});
  config.emplace_back("checkpoint_format", version == GptqVersion::v1 ? "gptq" : "gptq_v2");
  config.emplace_back("static_groups", false);
  config.emplace_back("true_sequential", true);
  config.emplace_back("damp_percent", 0.01);
  config.emplace_back("lm_head", false);
  if (!dynamic.empty()) {
    config.emplace_back("dynamic", std::move(dynamic));
  }
  return config;
}

void GptqConfig::fail(const std::string& what, const std::string& why) const {
  throw data::InputError(origin_ + ": " + what, why, "write the file again with the tool that made it");
}

void GptqConfig::read_numbers(const Json& object, GptqClaim& claim) const {
  const auto integer = [&](const char* key, std::int64_t& value) {
    if (const Json* member = object.find(key)) {
      if (member->integer() == nullptr) {
        fail(std::string(key) + " is no integer", "it says what the codes mean");
      }
      value = *member->integer();
    }
  };
  integer("bits", claim.bits);
  integer("group_size", claim.group_size);
  if (const Json* member = object.find("sym")) {
    if (member->boolean() == nullptr) {
      fail("sym is neither true nor false", "it says what the codes mean");
    }
    claim.symmetric = *member->boolean();
  }
}

GptqConfig::GptqConfig(const Json& config, std::string origin) : origin_(std::move(origin)) {
  const Json* method = config.find("quant_method");
  if (config.object() == nullptr ||
      (method != nullptr && (method->text() == nullptr || *method->text() != "gptq"))) {
    fail("quant_method is not gptq", "another method stores other numbers");
  }
  read_numbers(config, usual_);
  for (const char* key : {"checkpoint_format", "format"}) {
    const Json* format = config.find(key);
    if (format == nullptr) {
      continue;
    }
    if (format->text() == nullptr || (*format->text() != "gptq" && *format->text() != "gptq_v2")) {
      fail(std::string(key) + " is neither gptq nor gptq_v2", "it says how zeros are stored");
    }
    usual_.version = *format->text() == "gptq" ? GptqVersion::v1 : GptqVersion::v2;
    break;
  }
  if (const Json* dynamic = config.find("dynamic")) {
    if (dynamic->object() == nullptr) {
      fail("dynamic is no object", "it names layers with numbers of their own");
    }
    dynamic_ = *dynamic->object();
  }
}

GptqClaim GptqConfig::claim_of(const std::string& module) const {
  GptqClaim claim = usual_;
  for (const auto& [key, numbers] : dynamic_) {
    std::string_view pattern = key;
    const bool without = pattern.starts_with("-:");
    pattern.remove_prefix(without || pattern.starts_with("+:") ? 2 : 0);
    if (!matches_beginning(pattern, module)) {
      continue;
    }
    if (without) {
      fail("layer " + module + " is left out under dynamic, but holds codes", "nothing says what they mean");
    }
    read_numbers(numbers, claim);
    break;
  }
  return claim;
}

}  // namespace bitlaw::quant
