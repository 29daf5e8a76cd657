#include "launch/weights_import.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "data/formats/file_io.h"
#include "data/formats/input_error.h"
#include "distill/models/published_models.h"
#include "launch/commands/command.h"
#include "launch/export_origin.h"
#include "launch/importable_file.h"
#include "launch/output_folder.h"
#include "quant/containers/model_state.h"
#include "quant/containers/unproved_files.h"
#include "trainer/config/check.h"
#include "trainer/config/key_list.h"
#include "trainer/config/writer.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

constexpr const char* kModelFile = "model.h5";
constexpr const char* kIncludeFile = "model.yaml";
constexpr std::size_t kMostSectionsShown = 12;

using distill::Family;
using distill::WeightShapes;

void refuse_what_is_there(const fs::path& folder) {
  refuse_any_model(folder);
  if (fs::exists(folder / kIncludeFile)) {
    throw data::InputError(fmt::format("--out: {} is there already", (folder / kIncludeFile).string()),
                           "another model may have been made of it",
                           "name another folder, or remove the file");
  }
}

distill::PublishedModel published(const std::string& name) {
  try {
    return distill::published_model(name);
  } catch (const data::InputError& error) {
    throw data::InputError(std::string("--model: ") + error.what());
  }
}

void refuse_two_geometries(const trainer::RunConfig& config, const std::string& name) {
  trainer::RunConfig plain = config;
  plain.model = {};
  if (trainer::write_config(plain) != trainer::write_config(config)) {
    throw data::InputError(fmt::format("--model: {} beside keys of model", name),
                           "two geometries would contradict each other", "give one of the two");
  }
}

// What the export records as its configuration.
trainer::RunConfig complete_config(const ImportRequest& request) {
  trainer::RunConfig config = request.config;
  if (!request.published.empty()) {
    refuse_two_geometries(config, request.published);
    config.model = published(request.published).config;
  }
  if (config.quant.method != quant::Method::none) {
    throw data::InputError(fmt::format("quant.method: {}", data::enum_name(config.quant.method)),
                           "what is imported is in full precision",
                           "remove it, and quantise the import with 'bitlaw ptq'");
  }
  if (config.run.name.empty()) {
    config.run.name = request.file.stem().string();
  }
  const bool is_tokenizer = config.model.family == Family::vq || config.model.family == Family::sd_vae;
  config.task.kind = is_tokenizer ? distill::TaskKind::tokenizer : distill::TaskKind::pretrain;
  config.model.init = "random";  // of the file, from here on
  config.train.max_steps = 0;
  config.train.ema_decay = 0.0;
  config.schedule.warmup_steps = 0;
  trainer::check_config(config, 1, trainer::Use::weights_alone);
  return config;
}

// The tokenizer gives a VAR its scales and code vectors; the file does not say which one it was.
void take_tokenizer(const ImportRequest& request, ModelOrigin& origin) {
  trainer::RunConfig& config = origin.config;
  if (config.tokenizer.from.empty()) {
    throw data::InputError("--tokenizer is missing",
                           "the tokens of a VAR mean what its tokenizer makes of them, and its file does not "
                           "hold it",
                           "import the tokenizer's file first, and name its folder");
  }
  const ModelOrigin tokenizer = load_model(config.tokenizer.from, {Weights::model, "--tokenizer"}).origin;
  const distill::VqConfig& ours = config.model.vq;
  const distill::VqConfig& theirs = tokenizer.config.model.vq;
  const auto refuse = [&](const std::string& what, const std::string& remedy) {
    throw data::InputError(fmt::format("--tokenizer: {} {}", config.tokenizer.from, what),
                           "the model would read and predict other tokens than it knows", remedy);
  };
  if (tokenizer.config.model.family != Family::vq) {
    refuse("is no tokenizer", "name the import or the run of one");
  }
  if (!request.published.empty() && ours.patch_nums != theirs.patch_nums) {
    refuse(fmt::format("has scales [{}], {} speaks [{}]", fmt::join(theirs.patch_nums, ", "),
                       request.published, fmt::join(ours.patch_nums, ", ")),
           "import the tokenizer with --model var-vq for 256 pixels, var-vq-512 for 512");
  }
  config.model.vq = theirs;
  origin.tokenizer = theirs;
  origin.tokenizer_hash = tokenizer.parameter_hash;
}

bool holds_all(const WeightShapes& section, const std::vector<distill::WeightShape>& weights) {
  return std::all_of(weights.begin(), weights.end(), [&](const distill::WeightShape& weight) {
    return weight.is_buffer || section.count(weight.name) != 0;
  });
}

std::string list_of(const Sections& sections, const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kMostSectionsShown); ++i) {
    const std::string shown = names[i].empty() ? "(the file itself)" : names[i];
    text.append(i == 0 ? "" : ", ")
        .append(fmt::format("{} ({} tensors)", shown, sections.at(names[i]).size()));
  }
  return names.size() > kMostSectionsShown ? text + ", ..." : text;
}

std::string choose_section(const ImportRequest& request, const trainer::RunConfig& config,
                           const Sections& sections) {
  if (request.section) {
    return *request.section;
  }
  const auto wanted = distill::weights_of(config.model, 1);
  std::vector<std::string> all, fitting;
  for (const auto& [name, shapes] : sections) {
    all.push_back(name);
    if (holds_all(shapes, wanted)) {
      fitting.push_back(name);
    }
  }
  if (fitting.size() == 1 || all.size() == 1) {
    return fitting.size() == 1 ? fitting.front() : all.front();
  }
  throw data::InputError(fmt::format("{}: {} sections could be meant: {}", request.file.string(),
                                     fitting.empty() ? all.size() : fitting.size(),
                                     list_of(sections, fitting.empty() ? all : fitting)),
                         "they hold different numbers", "name one with --section");
}

// A published model's own number; of others what the table of labels has, the dropped one aside.
std::int64_t class_count(const ImportRequest& request, const trainer::RunConfig& config,
                         const WeightShapes& shapes) {
  if (!request.published.empty()) {
    return published(request.published).num_classes;
  }
  const auto table = shapes.find(distill::class_table(config.model.family));
  const std::int64_t rows = table == shapes.end() || table->second.empty() ? 2 : table->second.front();
  return std::max<std::int64_t>(distill::class_count(config.model, rows), 1);
}

// Whether the section holds all weights of the model, in their shapes.
bool fits(const WeightShapes& section, const distill::ModelConfig& model, std::int64_t num_classes) {
  const auto weights = distill::weights_of(model, num_classes);
  return std::all_of(weights.begin(), weights.end(), [&](const distill::WeightShape& weight) {
    const auto found = section.find(weight.name);
    return weight.is_buffer || (found != section.end() && found->second == weight.shape);
  });
}

// The published model that a section is of, for one that is not the model asked for; "": none.
std::string published_of(const WeightShapes& section, const ModelOrigin& asked) {
  if (fits(section, asked.config.model, asked.num_classes)) {
    return "";
  }
  for (const std::string& name : distill::published_models()) {
    const distill::PublishedModel model = distill::published_model(name);
    if (fits(section, model.config, model.num_classes)) {
      return name;
    }
  }
  return "";
}

distill::LoadedWeights load(torch::nn::Module& model, const fs::path& file, const ImportReport& report,
                            const WeightShapes& section) {
  try {
    return distill::load_weights(model, file, report.section);
  } catch (const data::InputError& error) {
    const std::string name = published_of(section, report.origin);
    if (name.empty()) {
      throw;
    }
    throw data::InputError(fmt::format("{}: the file has the shapes of --model {}", error.what(), name));
  }
}

std::string described(const ImportRequest& request, const std::string& section) {
  const std::string name = request.file.filename().string();
  return section.empty() ? name : name + ", section " + section;
}

// The group of keys that only this family has. A VAR has the geometry of its tokenizer.
std::string group_of(Family family) {
  return std::string("model.")
      .append(data::enum_name(family == Family::var ? Family::vq : family))
      .append(".");
}

// All keys of the section model but the groups of other families.
std::vector<std::string> model_keys(Family family) {
  const auto is_of_other = [&](const std::string& key) {
    for (const Family other : {Family::vq, Family::dit, Family::raster, Family::sd_vae}) {
      if (group_of(other) != group_of(family) && key.starts_with(group_of(other))) {
        return true;
      }
    }
    return false;
  };
  std::vector<std::string> keys;
  for (const std::string& key : trainer::all_keys()) {
    if (key.starts_with("model.") && !is_of_other(key)) {
      keys.push_back(key);
    }
  }
  return keys;
}

std::string include_text(const trainer::RunConfig& config, const fs::path& folder) {
  trainer::RunConfig student = config;
  student.model.init = (folder / kModelFile).string();  // a path, whatever the folder is called
  std::vector<std::string> keys = model_keys(config.model.family);
  keys.insert(keys.end(), config.tokenizer.from.empty() ? 0 : 1, "tokenizer.from");
  return "# Starts from the weights of " + folder.string() + ": to be included.\n" +
         trainer::write_config(student, keys);
}

// Files under their names once the network rebuilt from them is the one that was read.
void write_files(const fs::path& folder, std::shared_ptr<torch::nn::Module> model,
                 const ModelOrigin& origin) {
  quant::UnprovedFiles files(folder);
  const fs::path file = files.add(kModelFile);
  {
    quant::PackedModel packed = quant::pack_model(*model, quant::RestType::float32);
    model.reset();  // one copy less while the file is compared
    put_origin(packed, origin);
    quant::write_native(file, packed);
  }
  if (quant::parameter_hash(*load_model(file).model) != origin.parameter_hash) {
    throw VerifyError(
        fmt::format("{}: the network rebuilt from it is another one [the import would not be what "
                    "was published]; do not use it, report this",
                    file.string()));
  }
  data::write_text_file(files.add(kIncludeFile), include_text(origin.config, folder));
  files.publish();
}

// The network with the weights of the report's section; the report then says what was read.
std::shared_ptr<torch::nn::Module> read_network(const ImportRequest& request, const Sections& sections,
                                                ImportReport& report) {
  ModelOrigin& origin = report.origin;
  const auto found = sections.find(report.section);
  const WeightShapes shapes = found == sections.end() ? WeightShapes() : found->second;
  origin.num_classes = class_count(request, origin.config, shapes);
  origin.weights = fs::path(report.section).filename() == "ema" ? Weights::ema : Weights::model;
  origin.imported_from = described(request, report.section);
  auto model = distill::make_model(origin.config.model, origin.config.model.vq, origin.num_classes);
  report.loaded = load(*model, request.file, report, shapes);
  for (const auto& [name, tensor] : quant::state_of(*model, quant::StateScope::deployed)) {
    ++report.tensors;
    report.parameters += tensor.numel();
  }
  origin.parameter_hash = quant::parameter_hash(*model);
  return model;
}

}  // namespace

ImportReport import_weights(const ImportRequest& request) {
  const at::NoGradGuard no_grad;
  refuse_what_is_there(request.out);
  ImportReport report;
  report.origin.config = complete_config(request);
  require_importable(request.file);
  const Sections sections = distill::weight_sections(request.file);
  require_full_precision(request.file, sections);
  if (report.origin.config.model.family == Family::var) {
    take_tokenizer(request, report.origin);
  }
  report.section = choose_section(request, report.origin.config, sections);
  for (const auto& [name, shapes] : sections) {
    if (name != report.section) {
      report.other_sections.push_back(name);
    }
  }
  std::shared_ptr<torch::nn::Module> model = read_network(request, sections, report);
  const OutputFolder folder(request.out);
  write_files(request.out, std::move(model), report.origin);
  report.origin.path = request.out / kModelFile;
  report.origin.is_export = true;
  report.file_bytes = fs::file_size(report.origin.path);
  return report;
}

}  // namespace bitlaw::launch
