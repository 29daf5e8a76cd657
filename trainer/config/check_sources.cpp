// Where a run's inputs come from: names, paths, and which of them its kind of task uses.
#include "quant/input_plan.h"
#include "quant/methods/method_plan.h"
#include "trainer/config/check_parts.h"
#include "trainer/config/field_writer.h"

namespace bitlaw::trainer {

namespace {

using distill::TaskKind;

void check_name(const RunSection& run, Problems& problems) {
  if (run.name.empty()) {
    problems.add("run.name is missing", "the folder of the run has this name", "give one: run.name=my-run");
  } else if (run.name == "." || run.name == ".." || run.name.find('/') != std::string::npos) {
    problems.add("run.name: '" + run.name + "' is no name of a folder",
                 "the run's files lie in run.dir/run.name", "put the path into run.dir");
  }
}

void check_device(const RunSection& run, Problems& problems) {
  if (run.device == Device::cuda) {
    problems.add("run.device: cuda", "this build computes on the CPU; the record of the run would be false",
                 "set it to auto or cpu");
  }
}

void require(const std::string& value, const std::string& key, const std::string& why,
             const std::string& remedy, Problems& problems) {
  if (value.empty()) {
    problems.add(key + " is missing", why, remedy);
  }
}

void refuse(const std::string& value, const std::string& key, const std::string& why, Problems& problems) {
  if (!value.empty()) {
    problems.add(key + ": '" + value + "' is given", why, "remove it, or change task.kind");
  }
}

void check_tokenizer_task(const RunConfig& config, Problems& problems) {
  refuse(config.tokenizer.from, "tokenizer.from", "task.kind: tokenizer trains a tokenizer, it uses none",
         problems);
  refuse(config.distill.teacher, "distill.teacher", "task.kind: tokenizer has no teacher", problems);
  if (config.quant.method != quant::Method::none) {
    problems.add(
        "quant.method: " + std::string(data::enum_name(config.quant.method)) + " with task.kind: tokenizer",
        "linear layers are quantised, a tokenizer is made of convolutions", "set quant.method: none");
  }
}

void check_token_task(const RunConfig& config, Problems& problems) {
  require(config.tokenizer.from, "tokenizer.from",
          "the model's input is made of the tokenizer's code vectors, and its tokens must be the same",
          "name the run or the export of the tokenizer", problems);
  if (config.task.kind == TaskKind::distill) {
    require(config.distill.teacher, "distill.teacher", "task.kind: distill learns from a teacher",
            "name its run or export, or set task.kind: pretrain", problems);
  }
  if (config.task.kind == TaskKind::pretrain && config.model.init == "teacher") {
    problems.add("model.init: teacher with task.kind: pretrain", "there is no teacher to start from",
                 "set it to random or to the path of a run, or set task.kind: distill");
  }
}

// What post-training quantisation does with samples.
std::string reader_of_samples(const quant::QuantConfig& quant, Use use) {
  const std::string method(data::enum_name(quant.method));
  if (use == Use::width_search) {
    return "the search for widths measures on its samples what each layer loses by each width";
  }
  if (quant.method == quant::Method::block_ap) {
    return "block_ap trains each block on its samples";
  }
  if (quant::has_static_inputs(quant)) {
    return "static scales of inputs are observed on its samples";
  }
  return quant::needs_calibration(quant)
             ? method + (quant.transforms.empty() ? "" : " with transforms") +
                   " measures the inputs of layers on its samples"
             : "data.validation is given, and a run with data has both; " + method + " itself needs none";
}

void check_data(const RunConfig& config, Use use, Problems& problems) {
  const bool trains = use == Use::training;
  const std::string remedy = trains ? "name a folder made by 'bitlaw data import' or 'bitlaw data tokenize'"
                                    : "name tokens of the model's tokenizer, made by 'bitlaw data tokenize'";
  require(config.data.train, "data.train",
          trains ? "there is nothing to train on" : reader_of_samples(config.quant, use), remedy, problems);
  require(
      config.data.validation, "data.validation",
      trains ? "the model is evaluated at the end of every run" : "the quantised model is evaluated on it",
      remedy, problems);
}

bool is_untrained(distill::Family family) {
  return family == distill::Family::dit || family == distill::Family::raster ||
         family == distill::Family::sd_vae;
}

// Made of convolutions.
bool is_never_quantised(distill::Family family) {
  return family == distill::Family::vq || family == distill::Family::sd_vae;
}

void check_family(const RunConfig& config, Problems& problems) {
  if (is_untrained(config.model.family)) {
    problems.add(
        "model.family: " + std::string(data::enum_name(config.model.family)),
        "there is no task yet that trains " + std::string(noun_of(config.model.family)) +
            " or shows it samples",
        is_never_quantised(config.model.family)
            ? "import, inspect and convert it"
            : "import, inspect, export and convert it, and quantise its weights by 'bitlaw ptq' with "
              "quant.method rtn or hqq, without data.train and data.validation, the transform smooth "
              "and static scales of inputs");
    return;
  }
  const bool tokenizer = config.task.kind == TaskKind::tokenizer;
  const auto wanted = tokenizer ? distill::Family::vq : distill::Family::var;
  if (config.model.family != wanted) {
    problems.add("model.family: " + std::string(data::enum_name(config.model.family)) +
                     " with task.kind: " + std::string(data::enum_name(config.task.kind)),
                 "this task trains a model of family " + std::string(data::enum_name(wanted)),
                 "set model.family: " + std::string(data::enum_name(wanted)) + " or another task.kind");
  }
  if (tokenizer && config.model.init == "teacher") {
    problems.add("model.init: teacher with task.kind: tokenizer", "there is no teacher to start from",
                 "set it to random or to the path of a run");
  }
}

}  // namespace

void check_weights_alone(const RunConfig& config, Problems& problems) {
  check_name(config.run, problems);
  check_device(config.run, problems);
  if (config.model.family != distill::Family::var && !config.tokenizer.from.empty()) {
    problems.add("tokenizer.from: '" + config.tokenizer.from +
                     "' with model.family: " + std::string(data::enum_name(config.model.family)),
                 "only a VAR speaks a tokenizer's tokens here", "remove it");
  }
  if (config.model.init == "teacher") {
    problems.add("model.init: teacher", "without samples there is no teacher beside the model",
                 "name the path of a run, an export or an import");
  }
  if (is_never_quantised(config.model.family) && config.quant.method != quant::Method::none) {
    const bool tokens = config.model.family == distill::Family::vq;
    problems.add("quant.method: " + std::string(data::enum_name(config.quant.method)) +
                     " with model.family: " + std::string(data::enum_name(config.model.family)),
                 "linear layers are quantised, " + std::string(noun_of(config.model.family)) +
                     " is made of convolutions",
                 std::string("quantise the model of its ") + (tokens ? "tokens" : "latents"));
  }
  if (const std::string key = quant::what_needs_samples(config.quant); !key.empty()) {
    problems.add(key + " without samples", "inputs of layers are measured on them, or weights trained",
                 "name data.train and data.validation, or use quant.method rtn or hqq without the "
                 "transform smooth and static scales of inputs");
  }
  if (config.train.ema_decay > 0.0) {
    problems.add("train.ema_decay: " + format_number(config.train.ema_decay),
                 "no step is made, so there is nothing to average", "remove it");
  }
}

void check_sources(const RunConfig& config, Use use, Problems& problems) {
  check_name(config.run, problems);
  check_device(config.run, problems);
  check_data(config, use, problems);
  check_family(config, problems);
  if (config.task.kind == TaskKind::tokenizer) {
    check_tokenizer_task(config, problems);
  } else {
    check_token_task(config, problems);
  }
}

}  // namespace bitlaw::trainer
