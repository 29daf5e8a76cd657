#include "launch/model_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "data/formats/input_error.h"
#include "launch/export_origin.h"
#include "launch/foreign_model.h"
#include "quant/containers/model_state.h"
#include "quant/prepare.h"
#include "quant/progressive.h"
#include "trainer/checkpoint.h"
#include "trainer/config/reader.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

struct Place {
  fs::path path;
  bool is_export = false;
};

[[noreturn]] void refuse_foreign(const fs::path& path, const ForeignModel& foreign) {
  throw data::InputError(fmt::format("{}: holds {}, which is no run and no export in the native format",
                                     path.string(), foreign.noun()),
                         "a network is rebuilt from one of those", foreign.remedy());
}

// Run folder, checkpoint folder, export folder or export file -> the checkpoint folder or the file.
Place find_place(const fs::path& path) {
  const std::optional<ForeignModel> foreign = foreign_model(path);
  if (fs::is_regular_file(path)) {
    if (foreign) {
      refuse_foreign(path, *foreign);
    }
    return {path, true};
  }
  if (fs::is_regular_file(path / "model.h5")) {
    return {path / "model.h5", true};
  }
  if (fs::exists(path / "shard-00000.h5")) {
    throw data::InputError(fmt::format("{}: is a data set", path.string()),
                           "a model is read from a run folder, a checkpoint, or an exported model.h5",
                           "name one of these; 'bitlaw data inspect' shows data sets");
  }
  if (fs::exists(path / "manifest.json")) {
    return {path, false};
  }
  if (!fs::is_directory(path / "checkpoints")) {
    if (foreign) {
      refuse_foreign(path, *foreign);
    }
    throw data::InputError(fmt::format("{}: no run and no export is there", path.string()),
                           "a model is read from a run folder, a checkpoint, or an exported model.h5",
                           "check the path, or train it first");
  }
  const auto newest = trainer::newest_whole_checkpoint(path / "checkpoints");
  for (const std::string& line : newest.skipped) {
    fmt::print(stderr, "warning: {}\n", line);
  }
  if (!newest.path) {
    throw data::InputError(fmt::format("{}: the run has no committed checkpoint", path.string()),
                           "its weights would be incomplete", "let it train until its first save");
  }
  return {*newest.path, false};
}

// The geometry of a VAR's tokenizer is recorded in its model.vq; a tokenizer is its own.
std::shared_ptr<torch::nn::Module> bare_model(const ModelOrigin& origin) {
  return distill::make_model(origin.config.model, origin.config.model.vq, origin.num_classes);
}

distill::State prefixed(const trainer::CheckpointState& checkpoint, const std::string& prefix) {
  distill::State state;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (name.rfind(prefix, 0) == 0) {
      state[name.substr(prefix.size())] = tensor;
    }
  }
  return state;
}

distill::State weights_of(const trainer::CheckpointState& checkpoint, Weights weights, const fs::path& path) {
  distill::State state = prefixed(checkpoint, "model/");
  if (weights == Weights::model) {
    return state;
  }
  const distill::State averages = prefixed(checkpoint, "ema/");
  if (averages.empty()) {
    throw data::InputError(fmt::format("{}: the run keeps no moving averages", path.string()),
                           "its train.ema_decay is 0, so there are no EMA weights to use",
                           "use the weights themselves (without --ema; distill.teacher_weights: model)");
  }
  for (const auto& [name, tensor] : averages) {
    state[name] = tensor;
  }
  return state;
}

// A text that every checkpoint of this program has.
std::int64_t number_of(const std::string& text, const char* key, const fs::path& path) {
  std::int64_t number = 0;
  const auto end = text.data() + text.size();
  if (const auto read = std::from_chars(text.data(), end, number);
      read.ec != std::errc() || read.ptr != end) {
    throw data::InputError(
        fmt::format("{}: the text {} is '{}', which is no number", path.string(), key, text),
        "the network is rebuilt from it", "name another checkpoint, or train the run again");
  }
  return number;
}

LoadedModel load_run(const fs::path& checkpoint_path, Weights weights) {
  const std::vector<std::string> wanted = weights == Weights::ema ? std::vector<std::string>{"model/", "ema/"}
                                                                  : std::vector<std::string>{"model/"};
  const trainer::CheckpointState checkpoint = trainer::read_checkpoint(checkpoint_path, wanted);
  const auto text = [&](const char* key) {
    const auto found = checkpoint.texts.find(key);
    return found == checkpoint.texts.end() ? std::string() : found->second;
  };
  LoadedModel loaded;
  ModelOrigin& origin = loaded.origin;
  origin.path = checkpoint_path;
  origin.config = trainer::parse_config(text("config"), checkpoint_path.string());
  origin.weights = weights;
  origin.step = checkpoint.step;
  origin.num_classes = number_of(text("num_classes"), "num_classes", checkpoint_path);
  origin.tokenizer = origin.config.model.vq;
  origin.tokenizer_hash = text("tokenizer_hash");
  origin.parameter_hash = text("parameter_hash");
  origin.state_hash = text("state_hash");
  loaded.model = bare_model(origin);
  if (origin.config.quant.method != quant::Method::none) {
    quant::prepare(*loaded.model, quant::config_at(origin.config.quant, origin.step),
                   quant::ScaleInit::left_for_load);
  }
  quant::load_state(*loaded.model, weights_of(checkpoint, weights, checkpoint_path));
  loaded.model->eval();
  return loaded;
}

void check_wish(const WeightsWish& wish, const ModelOrigin& origin) {
  const auto name = [](Weights weights) {
    return weights == Weights::ema ? "moving averages" : "trained weights";
  };
  // An import is the one set of weights that somebody published; only a flag asks for another.
  const bool is_default = !wish.said_by.starts_with("--") || wish.weights == Weights::model;
  if (!origin.imported_from.empty() && is_default) {
    return;
  }
  if (!wish.said_by.empty() && wish.weights != origin.weights) {
    throw data::InputError(
        fmt::format("{}: {} are asked for, {} holds the {}", wish.said_by, name(wish.weights),
                    origin.path.string(), name(origin.weights)),
        "an export holds one of the two, and the other ones are other numbers",
        fmt::format("ask for what it holds, or name the run itself or an export made {} --ema",
                    wish.weights == Weights::ema ? "with" : "without"));
  }
}

LoadedModel load_export(const fs::path& path, const WeightsWish& wish) {
  auto file = std::make_shared<const quant::PackedModel>(quant::read_native(path));
  LoadedModel loaded;
  ModelOrigin& origin = loaded.origin;
  origin = read_origin(*file, path);
  check_wish(wish, origin);
  check_size(*file, origin);
  loaded.model = bare_model(origin);
  quant::load_packed(*loaded.model, *file);
  loaded.model->eval();
  loaded.packed = std::move(file);
  return loaded;
}

fs::path tokenizer_place(const ModelOrigin& origin, const fs::path& wish) {
  if (!wish.empty()) {
    return wish;
  }
  const fs::path beside = origin.path.parent_path() / "tokenizer.h5";
  if (origin.is_export && fs::exists(beside)) {
    return beside;
  }
  return origin.config.tokenizer.from;
}

}  // namespace

const char* name_of(Weights weights) {
  return weights == Weights::ema ? "ema" : "model";
}

WeightsWish wish_of_flag(bool ema) {
  return ema ? WeightsWish{Weights::ema, "--ema"} : WeightsWish{};
}

LoadedModel load_model(const fs::path& path, const WeightsWish& wish) {
  const Place place = find_place(path);
  return place.is_export ? load_export(place.path, wish) : load_run(place.path, wish.weights);
}

std::shared_ptr<distill::VqTokenizer> tokenizer_of(const LoadedModel& loaded) {
  return std::dynamic_pointer_cast<distill::VqTokenizer>(loaded.model);
}

LoadedModel load_tokenizer(const ModelOrigin& origin, const fs::path& path) {
  const fs::path place = tokenizer_place(origin, path);
  if (path.empty() && !fs::exists(place)) {
    throw data::InputError(
        fmt::format("tokenizer.from of {}: {} is not there", origin.path.string(), place.string()),
        "tokens become pictures, and pictures tokens, through it",
        "name the tokenizer with --tokenizer, or export the run with --with-tokenizer");
  }
  LoadedModel loaded = load_model(place, {Weights::model, path.empty() ? "tokenizer.from" : "--tokenizer"});
  if (!tokenizer_of(loaded)) {
    throw data::InputError(fmt::format("{}: is no tokenizer but {}", place.string(),
                                       distill::noun_of(loaded.origin.config.model.family)),
                           "tokens become pictures through a tokenizer",
                           "name the tokenizer's run or export");
  }
  if (loaded.origin.parameter_hash != origin.tokenizer_hash) {
    throw data::InputError(
        fmt::format("{}: parameter_hash {} is not that of the tokenizer {} was trained with ({})",
                    place.string(), loaded.origin.parameter_hash, origin.path.string(),
                    origin.tokenizer_hash),
        "its codes mean other things", "put the right one back there, or name it with --tokenizer");
  }
  return loaded;
}

}  // namespace bitlaw::launch
