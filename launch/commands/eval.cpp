// bitlaw eval: figures of a run or an export.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "launch/commands/command.h"
#include "launch/evaluation.h"
#include "launch/exit_code.h"

namespace bitlaw::launch {
namespace {

using Figures = std::vector<std::pair<std::string, double>>;

struct EvalArguments {
  std::string model;
  EvaluationRequest request;
  std::string precision;
  std::string teacher_weights;
  std::string dump;
  bool ema = false;
  bool json = false;
};

nlohmann::ordered_json to_json(const EvaluationSetup& setup, const Figures& figures) {
  nlohmann::ordered_json json;
  json["model"] = setup.origin.path.string();
  json["weights"] = name_of(setup.origin.weights);
  json["step"] = setup.origin.step;
  json["parameter_hash"] = setup.origin.parameter_hash;
  for (const auto& [name, value] : figures) {
    json[name] = value;
  }
  json["samples"] = setup.eval.samples;
  json["tokens"] = setup.eval.samples * setup.task->tokens_per_sample();
  json["micro_batch_size"] = setup.eval.micro_batch_size;
  json["precision"] = data::enum_name(setup.precision);
  json["data"] = setup.data_path;
  json["data_hash"] = setup.dataset->info().content_hash;
  if (setup.teacher) {
    json["teacher"] = setup.teacher->path.string();
    json["teacher_weights"] = name_of(setup.teacher->weights);
    json["teacher_parameter_hash"] = setup.teacher->parameter_hash;
  }
  return json;
}

void print_table(const EvaluationSetup& setup, const Figures& figures) {
  const auto adjective = [](Weights weights) { return weights == Weights::ema ? "EMA" : "trained"; };

  fmt::print("{} ({} weights of step {})\n", setup.origin.path.string(), adjective(setup.origin.weights),
             setup.origin.step);
  fmt::print("first {} samples of {}, {}{}\n", setup.eval.samples, setup.data_path,
             data::enum_name(setup.precision),
             setup.teacher ? fmt::format(", teacher {} ({} weights)", setup.teacher->path.string(),
                                         adjective(setup.teacher->weights))
                           : std::string());
  for (const auto& [name, value] : figures) {
    fmt::print("  {:<20} {:.6g}\n", name, value);
  }
}

int evaluate_on(trainer::Collective& collective, const EvalArguments& arguments) {
  EvaluationSetup setup = prepare_evaluation(arguments.request);
  const Figures figures = run_evaluation(setup, collective);
  if (collective.rank() == 0) {
    if (!arguments.dump.empty()) {
      dump_logits(setup, arguments.dump);
    }
    if (arguments.json) {
      fmt::print("{}\n", to_json(setup, figures).dump(2));
    } else {
      print_table(setup, figures);
    }
  }
  return kDone;
}

int run_eval(EvalArguments& arguments) {
  arguments.request.model = arguments.model;
  arguments.request.weights = wish_of_flag(arguments.ema);
  if (!arguments.precision.empty()) {
    arguments.request.precision =
        arguments.precision == "bf16" ? trainer::Precision::bf16 : trainer::Precision::fp32;
  }
  if (!arguments.teacher_weights.empty()) {
    arguments.request.teacher_weights =
        arguments.teacher_weights == "ema" ? distill::TeacherWeights::ema : distill::TeacherWeights::model;
  }
  return run_on_ranks({},
                      [&](trainer::Collective& collective) { return evaluate_on(collective, arguments); });
}

}  // namespace

void add_eval(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<EvalArguments>();
  EvaluationRequest& request = arguments->request;
  CLI::App* command = app.add_subcommand(
      "eval", "figures of a run or an export; what is not named comes from its own configuration");
  command->add_option("model", arguments->model, "run folder, checkpoint or export")
      ->required()
      ->type_name("RUN|EXPORT");
  command->add_flag("--ema", arguments->ema, "the moving averages instead of the weights");
  command->add_option("--teacher", request.teacher, "run or export to compare with; none: no teacher")
      ->type_name("RUN");
  command->add_option("--teacher-weights", arguments->teacher_weights, "which weights of the teacher's run")
      ->check(CLI::IsMember({"model", "ema"}));
  command->add_option("--data", request.data, "folder of shards, tokens or images")->type_name("DIR");
  command->add_option("--tokenizer", request.tokenizer, "run or export of the tokenizer")->type_name("RUN");
  command->add_option("--samples", request.samples, "first so many samples")->check(CLI::PositiveNumber);
  command->add_option("--precision", arguments->precision, "of the forward passes")
      ->check(CLI::IsMember({"fp32", "bf16"}));
  command
      ->add_option("--dump-logits", arguments->dump,
                   "write tokens, labels and logits, so that anyone can recompute the figures")
      ->type_name("FILE.h5");
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([arguments, &action] { action = [arguments] { return run_eval(*arguments); }; });
}

}  // namespace bitlaw::launch
