// Keys of quant.calibration that the method at hand does not read.
#include "quant/input_plan.h"
#include "quant/methods/method_plan.h"
#include "trainer/config/changed_keys.h"
#include "trainer/config/check_parts.h"

namespace bitlaw::trainer {

namespace {

using quant::Method;
using quant::QuantConfig;

// Why a key has no effect, and what would read it; no reason: something does.
struct Unread {
  std::string why;
  std::string remedy;
};

Unread unless(bool is_read, const std::string& reader, const std::string& setting) {
  return is_read ? Unread()
                 : Unread{"only " + reader + " reads it, so it would be ignored", "set " + setting};
}

Unread unread(const std::string& key, const QuantConfig& quant, Use use) {
  if (key == "samples") {
    return quant::looks_at_samples(quant) || use == Use::width_search
               ? Unread()
               : Unread{"no sample is looked at, so it would be ignored",
                        "choose a method that looks at samples, such as gptq"};
  }
  if (key == "inputs") {
    return quant::is_calibrated(quant) && quant::looks_at_samples(quant) && quant.method != Method::block_ap
               ? Unread()
               : Unread{"no layer is measured behind others, so it would be ignored",
                        "choose a method that measures inputs layer after layer, such as gptq"};
  }
  if (key == "smooth_alpha") {
    return unless(quant::has_transform(quant, quant::TransformKind::smooth), "the transform smooth",
                  "quant.transforms: [smooth]");
  }
  if (key.starts_with("clip_")) {
    return unless(quant.method == Method::omniquant, "omniquant", "quant.method: omniquant");
  }
  if (key.starts_with("block_")) {
    return unless(quant.method == Method::block_ap, "block_ap", "quant.method: block_ap");
  }
  return unless(quant.method == Method::gptq, "gptq", "quant.method: gptq");
}

}  // namespace

void check_calibration(const RunConfig& config, Use use, Problems& problems) {
  for (const std::string& key : changed_keys(config.quant.calibration)) {
    const Unread reason = unread(key, config.quant, use);
    if (!reason.why.empty()) {
      problems.add("quant.calibration." + key +
                       " is given with quant.method: " + std::string(data::enum_name(config.quant.method)),
                   reason.why, "remove it, or " + reason.remedy);
    }
  }
}

}  // namespace bitlaw::trainer
