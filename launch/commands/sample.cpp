// bitlaw sample: pictures of one or several models from the same seeds, in one PNG.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/formats/input_error.h"
#include "distill/samplers/var_sampler.h"
#include "launch/commands/command.h"
#include "launch/exit_code.h"
#include "launch/model_source.h"
#include "launch/picture.h"
#include "trainer/autocast.h"
#include "trainer/stop_signal.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kBatch = 50;

struct SampleArguments {
  std::vector<std::string> models;
  std::vector<std::string> names;
  std::vector<std::int64_t> labels;
  std::string tokenizer;
  std::string precision;
  std::string out;
  std::int64_t count = 10;
  std::int64_t columns = 10;
  bool ema = false;
  distill::SamplerSettings settings{.cfg = 1.0, .top_k = 50, .top_p = 0.96, .seed = 7};
};

// Class of each sample: --labels over and over, or all classes in turn.
at::Tensor class_labels(const SampleArguments& arguments, const ModelOrigin& origin) {
  std::vector<std::int64_t> labels(static_cast<std::size_t>(arguments.count));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = arguments.labels.empty() ? static_cast<std::int64_t>(i) % origin.num_classes
                                         : arguments.labels[i % arguments.labels.size()];
    if (labels[i] < 0 || labels[i] >= origin.num_classes) {
      throw data::InputError(fmt::format("--labels: {} is no class of {}", labels[i], origin.path.string()),
                             fmt::format("it knows classes 0 to {}", origin.num_classes - 1),
                             "name classes of this range");
    }
  }
  return at::tensor(labels, at::kLong);
}

trainer::Precision precision_of(const SampleArguments& arguments, const trainer::RunConfig& config) {
  if (arguments.precision.empty()) {
    return config.train.precision;
  }
  return arguments.precision == "bf16" ? trainer::Precision::bf16 : trainer::Precision::fp32;
}

at::Tensor sample_images(const SampleArguments& arguments, const ModelOrigin& origin, distill::Var& model,
                         distill::VqTokenizer& tokenizer) {
  const at::NoGradGuard no_grad;
  const at::Tensor labels = class_labels(arguments, origin);
  std::vector<at::Tensor> images;
  for (std::int64_t first = 0; first < arguments.count; first += kBatch) {
    if (trainer::stop_requested()) {
      throw trainer::StopRequested("asked to stop while sampling: nothing was written");
    }
    const trainer::Autocast autocast(precision_of(arguments, origin.config));
    const std::int64_t count = std::min(kBatch, arguments.count - first);
    images.push_back(
        distill::sample(model, tokenizer, labels.narrow(0, first, count), arguments.settings, first).images);
  }
  return at::cat(images).to(at::kCPU, at::kFloat).contiguous();
}

std::string name_of(const SampleArguments& arguments, std::size_t index, const ModelOrigin& origin) {
  if (!arguments.names.empty()) {
    return arguments.names[index];
  }
  return origin.config.run.name + (origin.is_export                 ? " (packed)"
                                   : origin.weights == Weights::ema ? " (EMA)"
                                                                    : "");
}

struct Row {
  PictureBlock block;
  nlohmann::ordered_json description;
};

Row make_row(const SampleArguments& arguments, std::size_t index) {
  const LoadedModel loaded = load_model(arguments.models[index], wish_of_flag(arguments.ema));
  const auto model = std::dynamic_pointer_cast<distill::Var>(loaded.model);
  if (!model) {
    throw data::InputError(fmt::format("{}: is {}", arguments.models[index],
                                       distill::noun_of(loaded.origin.config.model.family)),
                           "pictures are drawn from the tokens of a VAR", "name the run of a VAR model");
  }
  const auto tokenizer = tokenizer_of(load_tokenizer(loaded.origin, arguments.tokenizer));
  const at::Tensor images = sample_images(arguments, loaded.origin, *model, *tokenizer);
  Row row;
  row.block.label = name_of(arguments, index, loaded.origin);
  row.block.count = images.size(0);
  row.block.channels = images.size(1);
  row.block.side = images.size(2);
  row.block.pixels.assign(images.const_data_ptr<float>(), images.const_data_ptr<float>() + images.numel());
  row.description["name"] = row.block.label;
  row.description["path"] = loaded.origin.path.string();
  row.description["weights"] = name_of(loaded.origin.weights);
  row.description["step"] = loaded.origin.step;
  row.description["parameter_hash"] = loaded.origin.parameter_hash;
  row.description["precision"] = data::enum_name(precision_of(arguments, loaded.origin.config));
  return row;
}

void check_arguments(const SampleArguments& arguments) {
  if (!arguments.names.empty() && arguments.names.size() != arguments.models.size()) {
    throw data::InputError(
        fmt::format("--names: {} names for {} models", arguments.names.size(), arguments.models.size()),
        "each block of the picture has one label", "give one name per model");
  }
}

int sample_all(const SampleArguments& arguments) {
  check_arguments(arguments);
  const distill::SamplerSettings& settings = arguments.settings;
  nlohmann::ordered_json description;
  description["cfg"] = settings.cfg;
  description["top_k"] = settings.top_k;
  description["top_p"] = settings.top_p;
  description["seed"] = settings.seed;
  std::vector<PictureBlock> blocks;
  for (std::size_t i = 0; i < arguments.models.size(); ++i) {
    Row row = make_row(arguments, i);
    blocks.push_back(std::move(row.block));
    description["models"].push_back(row.description);
  }
  draw_blocks(blocks, std::min(arguments.columns, arguments.count))
      .save(arguments.out, {{"bitlaw", description.dump()}});
  fmt::print("{}: {} model(s) x {} samples, cfg {}, top-k {}, top-p {}, seed {}\n", arguments.out,
             blocks.size(), arguments.count, settings.cfg, settings.top_k, settings.top_p, settings.seed);
  return kDone;
}

}  // namespace

void add_sample(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<SampleArguments>();
  distill::SamplerSettings& settings = arguments->settings;
  CLI::App* command =
      app.add_subcommand("sample", "pictures from runs or exports, one block a model, from the same seeds");
  command->add_option("models", arguments->models, "run folders, checkpoints or exports")
      ->required()
      ->type_name("RUN|EXPORT");
  command->add_option("--out", arguments->out, "the picture; its settings are stored inside")
      ->required()
      ->type_name("FILE.png");
  command->add_option("--names", arguments->names, "a label for each model; default: names of the runs");
  command->add_flag("--ema", arguments->ema, "the moving averages instead of the weights");
  command->add_option("--tokenizer", arguments->tokenizer, "run or export of the tokenizer")
      ->type_name("RUN");
  command->add_option("--cfg", settings.cfg, "classifier-free guidance at the last scale")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--top-k", settings.top_k, "most probable tokens that may be drawn; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--top-p", settings.top_p, "probability mass that may be drawn; 0: all")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--seed", settings.seed, "of the draws")->capture_default_str();
  command->add_option("--count", arguments->count, "samples of each model")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--columns", arguments->columns, "samples of one line")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--labels", arguments->labels, "classes, used in turn; default: all classes");
  command->add_option("--precision", arguments->precision, "of the forward passes; default: as in training")
      ->check(CLI::IsMember({"fp32", "bf16"}));
  command->callback([arguments, &action] {
    action = [arguments] {
      return run_on_ranks({}, [&](trainer::Collective& collective) {
        return collective.rank() == 0 ? sample_all(*arguments) : kDone;
      });
    };
  });
}

}  // namespace bitlaw::launch
