#include "launch/model_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/formats/input_error.h"
#include "quant/containers/model_state.h"
#include "quant/prepare.h"
#include "trainer/checkpoint.h"
#include "trainer/config/reader.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

constexpr std::array<std::string_view, 2> kQuantizerMembers = {".weight_quantizer.", ".input_quantizer."};

struct Place {
  fs::path path;
  bool is_export = false;
};

// Run folder, checkpoint folder, export folder or export file -> the checkpoint folder or the file.
Place find_place(const fs::path& path) {
  if (fs::is_regular_file(path)) {
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
    quant::prepare(*loaded.model, origin.config.quant, quant::ScaleInit::left_for_load);
  }
  quant::load_state(*loaded.model, weights_of(checkpoint, weights, checkpoint_path));
  loaded.model->eval();
  return loaded;
}

nlohmann::json source_of(const quant::PackedModel& packed, const fs::path& path) {
  const auto found = packed.attributes.find("source");
  const auto json = found == packed.attributes.end() ? nlohmann::json()
                                                     : nlohmann::json::parse(found->second, nullptr, false);
  if (!json.is_object() || packed.attributes.count("config") == 0) {
    throw data::InputError(
        fmt::format("{}: attributes config and source are missing or unreadable", path.string()),
        "a network is rebuilt from them", "export the run again");
  }
  return json;
}

void check_wish(const WeightsWish& wish, const ModelOrigin& origin) {
  const auto name = [](Weights weights) {
    return weights == Weights::ema ? "moving averages" : "trained weights";
  };
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
  const quant::PackedModel& packed = *file;
  const nlohmann::json source = source_of(packed, path);
  LoadedModel loaded;
  ModelOrigin& origin = loaded.origin;
  origin.path = path;
  origin.is_export = true;
  origin.config = trainer::parse_config(packed.attributes.at("config"), path.string());
  origin.weights = source.value("weights", "model") == "ema" ? Weights::ema : Weights::model;
  check_wish(wish, origin);
  origin.step = source.value("step", std::int64_t{0});
  origin.num_classes = source.value("num_classes", std::int64_t{0});
  origin.tokenizer = origin.config.model.vq;
  origin.tokenizer_hash = source.value("tokenizer_hash", "");
  origin.parameter_hash = source.value("parameter_hash", "");
  loaded.model = bare_model(origin);
  quant::load_packed(*loaded.model, packed);
  loaded.model->eval();
  loaded.packed = std::move(file);
  return loaded;
}

distill::State without_quantizers(const distill::State& state) {
  distill::State masters;
  for (const auto& [name, tensor] : state) {
    const bool is_state =
        std::any_of(kQuantizerMembers.begin(), kQuantizerMembers.end(),
                    [&](std::string_view member) { return name.find(member) != std::string::npos; });
    if (!is_state) {
      masters[name] = tensor;
    }
  }
  return masters;
}

// A layer without quantizer has no input transform either: its weight is for the input as it comes.
void undo_input_transforms(torch::nn::Module& model, distill::State& state) {
  for (const auto& [name, linear] : quant::linear_layers(model)) {
    const quant::InputTransform transform = linear->input_transform();
    if (!transform.is_identity()) {
      at::Tensor& weight = state.at(name + ".weight");
      weight = transform.undone(weight);
    }
  }
}

distill::State deployed_state(const LoadedModel& loaded) {
  if (loaded.origin.is_export || loaded.origin.config.quant.method == quant::Method::none) {
    return without_quantizers(quant::state_of(*loaded.model, quant::StateScope::deployed));
  }
  const auto plain = bare_model(loaded.origin);
  quant::load_packed(*plain, quant::pack_model(*loaded.model, loaded.origin.config.quant.rest_dtype));
  return without_quantizers(quant::state_of(*plain, quant::StateScope::deployed));
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

distill::SourceModel load_source(const fs::path& path, const WeightsWish& wish, SourceUse use) {
  const LoadedModel loaded = load_model(path, wish);
  distill::SourceModel source;
  source.origin = path.string();
  source.config = loaded.origin.config.model;
  source.parameter_hash = loaded.origin.parameter_hash;
  source.num_classes = loaded.origin.num_classes;
  source.tokenizer = loaded.origin.tokenizer;
  source.tokenizer_hash = loaded.origin.tokenizer_hash;
  source.state = use == SourceUse::deployed
                     ? deployed_state(loaded)
                     : without_quantizers(quant::state_of(*loaded.model, quant::StateScope::deployed));
  undo_input_transforms(*loaded.model, source.state);
  return source;
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
    throw data::InputError(fmt::format("{}: is no tokenizer but a {}", place.string(),
                                       data::enum_name(loaded.origin.config.model.family)),
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
