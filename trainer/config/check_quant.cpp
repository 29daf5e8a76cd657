// Specs and rules of the quant section.
#include <algorithm>

#include "data/formats/input_error.h"
#include "quant/input_plan.h"
#include "quant/methods/method_plan.h"
#include "quant/progressive.h"
#include "trainer/config/check_parts.h"
#include "trainer/config/field_writer.h"

namespace bitlaw::trainer {

namespace {

using quant::Method;

bool is_given(const quant::SpecConfig& spec) {
  return spec.num_bits || spec.type || spec.format || spec.symmetric || spec.grid || spec.strategy ||
         spec.group_size || !spec.block_structure.empty() || spec.scale_dtype || spec.zero_point_dtype ||
         spec.dynamic;
}

// Building the spec finds what contradicts itself; its message gets the key in front.
template <class Build>
void check_spec(const std::string& key, const Build& build, Problems& problems) {
  try {
    build();
  } catch (const data::InputError& error) {
    problems.add(key, error);
  }
}

void check_unused(const quant::QuantConfig& quant, Problems& problems) {
  const auto unused = [&](bool given, const std::string& key) {
    if (given) {
      problems.add(key + " is given with quant.method: none", "nothing is quantised, so it would be ignored",
                   "set quant.method to rtn, ste or lsq, or remove " + key);
    }
  };
  unused(is_given(quant.weights), "quant.weights");
  unused(quant.activations.has_value(), "quant.activations");
  unused(!quant.ignore.empty(), "quant.ignore");
  unused(!quant.overrides.empty(), "quant.overrides");
  unused(!quant.progressive.num_bits.empty(), "quant.progressive");
}

void check_weights(const quant::QuantConfig& quant, Problems& problems) {
  const bool width_is_known =
      quant.weights.num_bits || quant.weights.format || quant.weights.type == quant::NumberType::ternary;
  if (!width_is_known) {
    problems.add(
        "quant.weights.num_bits is missing with quant.method: " + std::string(data::enum_name(quant.method)),
        quant.activations ? "activations are quantised only where weights are"
                          : "the number of bits is the point of a quantised model",
        "give 2 to 8 (or a format), or set quant.method: none");
  }
  check_spec(
      "quant.weights", [&] { quant::check_method(quant, quant::weight_spec(quant.weights)); }, problems);
  if (quant.activations) {
    check_spec(
        "quant.activations", [&] { quant::check_inputs(quant); }, problems);
  }
}

void check_rules(const quant::QuantConfig& quant, Problems& problems) {
  if (quant.targets != std::vector<std::string>{"linear"}) {
    problems.add("quant.targets: " + flow_list(quant.targets), "linear layers are what can be quantised",
                 "write [linear], and name exceptions in quant.ignore");
  }
  for (std::size_t i = 0; i < quant.overrides.size(); ++i) {
    const quant::OverrideConfig& rule = quant.overrides[i];
    const std::string key = "quant.overrides." + std::to_string(i);
    if (rule.match.empty()) {
      problems.add(key + ".match is missing", "it names the modules that the rule is for",
                   "give a pattern such as '*.fc2'");
    }
    if (!is_given(rule.weights)) {
      problems.add(key + ".weights is empty", "the rule would change nothing",
                   "give what differs, or put the pattern into quant.ignore");
    }
    check_spec(
        key + ".weights",
        [&] { quant::check_method(quant, quant::weight_spec(rule.weights, quant.weights)); }, problems);
  }
}

void check_zero_points(const quant::QuantConfig& quant, Problems& problems) {
  if (quant.zero_points == quant::ZeroPointTraining::learned && quant.method != Method::lsq) {
    problems.add(
        "quant.zero_points: learned with quant.method: " + std::string(data::enum_name(quant.method)),
        quant.method == Method::block_ap ? "it trains zero points in any case"
                                         : "only lsq trains them with its scales",
        "remove quant.zero_points, or use method: lsq");
    return;
  }
  const auto asymmetric = [](const quant::SpecConfig& spec) { return spec.symmetric == false; };
  const bool any =
      asymmetric(quant.weights) || std::any_of(quant.overrides.begin(), quant.overrides.end(),
                                               [&](const auto& rule) { return asymmetric(rule.weights); });
  if (quant.zero_points == quant::ZeroPointTraining::learned && !any) {
    problems.add("quant.zero_points: learned without symmetric: false",
                 "symmetric numbers have no zero point, so it would be ignored",
                 "set quant.weights.symmetric: false, or remove quant.zero_points");
  }
}

void check_frozen_codes(const RunConfig& config, Problems& problems) {
  if (config.quant.method == Method::e2e_qp &&
      (config.model.init == "random" || config.model.init == "teacher")) {
    problems.add("quant.method: e2e_qp with model.init: " + config.model.init,
                 "it trains the scales of codes that are there",
                 "name a run of 'bitlaw ptq' (such as method: block_ap), or an export of one");
  }
}

}  // namespace

void check_quant(const RunConfig& config, Problems& problems) {
  if (config.quant.method == Method::none) {
    check_unused(config.quant, problems);
    return;
  }
  check_weights(config.quant, problems);
  check_rules(config.quant, problems);
  check_spec(
      "quant", [&] { quant::check_transforms(config.quant); }, problems);
  check_spec(
      "quant", [&] { quant::check_progressive(config.quant, config.train.max_steps); }, problems);
  check_zero_points(config.quant, problems);
  check_frozen_codes(config, problems);
  if (quant::is_post_training(config.quant.method) && config.train.max_steps > 0) {
    problems.add("quant.method: " + std::string(data::enum_name(config.quant.method)) +
                     " with train.max_steps: " + std::to_string(config.train.max_steps),
                 "a post-training method passes no gradient, so quantised weights would not be trained",
                 "use 'bitlaw ptq' for quantising without training, or quant.method: lsq or ste");
  }
}

}  // namespace bitlaw::trainer
