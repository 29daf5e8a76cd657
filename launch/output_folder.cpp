#include "launch/output_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <system_error>
#include <vector>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"
#include "launch/export_origin.h"
#include "quant/containers/container_files.h"
#include "trainer/config/identity.h"
#include "trainer/config/writer.h"

namespace bitlaw::launch {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void refuse(const fs::path& file, const std::string& what, const std::string& why) {
  throw data::InputError(fmt::format("--out: {} {}", data::printable(file.string()), what), why,
                         "name another folder, or remove the file");
}

// The run that the model in a file was made of.
trainer::RunConfig run_of(const fs::path& file, const std::function<quant::PackedModel()>& read) {
  try {
    return read_origin(read(), file).config;
  } catch (const data::InputError& error) {
    refuse(file, fmt::format("is of no run that can be read ({})", error.what()), "it would be replaced");
  }
}

void refuse_other_run(const fs::path& file, const trainer::RunConfig& run,
                      const std::function<quant::PackedModel()>& read) {
  const std::string lost = "it would be replaced by another model";
  const trainer::RunConfig other = run_of(file, read);
  if (other.run.name != run.run.name) {
    refuse(file, fmt::format("is of run {}, not of {}", data::printable(other.run.name), run.run.name), lost);
  }
  const std::vector<std::string> differences =
      trainer::identity_differences(trainer::identity_yaml(other), trainer::identity_yaml(run));
  if (!differences.empty()) {
    refuse(file,
           fmt::format("is of another run named {} ({})", run.run.name,
                       data::printable(fmt::format("{}", fmt::join(differences, "; ")))),
           lost);
  }
}

// Innermost first.
std::vector<fs::path> missing_folders(const fs::path& folder) {
  std::vector<fs::path> missing;
  std::error_code ignored;
  fs::path at = fs::absolute(folder, ignored).lexically_normal();
  at = at.has_filename() ? at : at.parent_path();
  while (!fs::exists(at, ignored) && at.has_filename()) {
    missing.push_back(at);
    at = at.parent_path();
  }
  return missing;
}

void remove_empty(const std::vector<fs::path>& folders) {
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    std::error_code ignored;  // it is not empty
    fs::remove(*folder, ignored);
  }
}

}  // namespace

void refuse_any_model(const fs::path& folder) {
  const std::vector<std::string> there = quant::model_files(folder);
  if (!there.empty()) {
    refuse(folder / there.front(), "is there already", "another model may lie there");
  }
}

void refuse_another_model(const fs::path& folder, quant::Container container, const trainer::RunConfig& run) {
  const std::vector<std::string> there = quant::model_files(folder);
  const std::vector<std::string> ours = quant::file_names(container);
  for (const std::string& name : there) {
    if (std::find(ours.begin(), ours.end(), name) == ours.end()) {
      refuse(folder / name, fmt::format("is no file of {}", data::enum_name(container)),
             "two models in one folder are taken for each other");
    }
  }
  if (!there.empty()) {
    refuse_other_run(folder / there.front(), run, [&] { return quant::read_model(folder, container); });
  }
}

void refuse_another_tokenizer(const fs::path& folder, const trainer::RunConfig& run) {
  const fs::path file = folder / kTokenizerFile;
  if (fs::exists(file)) {
    refuse_other_run(file, run, [&] { return quant::read_native(file); });
  }
}

OutputFolder::OutputFolder(const fs::path& folder) {
  const std::vector<fs::path> missing = missing_folders(folder);
  std::error_code error;
  for (auto each = missing.rbegin(); each != missing.rend() && !error; ++each) {
    if (fs::create_directory(*each, error)) {
      made_.push_back(*each);
    }
  }
  if (!error && !fs::is_directory(folder, error)) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  if (error) {
    remove_empty(made_);
    throw data::InputError(fmt::format("--out: {} cannot be made ({})", folder.string(), error.message()),
                           "the packed file goes there", "name a folder that can be written");
  }
}

OutputFolder::~OutputFolder() {
  remove_empty(made_);
}

}  // namespace bitlaw::launch
