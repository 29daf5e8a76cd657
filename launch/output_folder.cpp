#include "launch/output_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"
#include "launch/export_origin.h"
#include "quant/containers/container_files.h"

namespace bitlaw::launch {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void refuse(const fs::path& file, const std::string& what, const std::string& why) {
  throw data::InputError(fmt::format("--out: {} {}", data::printable(file.string()), what), why,
                         "name another folder, or remove the file");
}

// The run that a model in the folder was made of.
std::string run_of(const fs::path& folder, const std::string& name, quant::Container container) {
  try {
    return read_origin(quant::read_model(folder, container), folder).config.run.name;
  } catch (const data::InputError& error) {
    refuse(folder / name, fmt::format("is of no run that can be read ({})", error.what()),
           "it would be replaced");
  }
}

}  // namespace

void refuse_any_model(const fs::path& folder) {
  const std::vector<std::string> there = quant::model_files(folder);
  if (!there.empty()) {
    refuse(folder / there.front(), "is there already", "another model may lie there");
  }
}

void refuse_another_model(const fs::path& folder, quant::Container container, const std::string& run) {
  const std::vector<std::string> there = quant::model_files(folder);
  const std::vector<std::string> ours = quant::file_names(container);
  for (const std::string& name : there) {
    if (std::find(ours.begin(), ours.end(), name) == ours.end()) {
      refuse(folder / name, fmt::format("is no file of {}", data::enum_name(container)),
             "two models in one folder are taken for each other");
    }
  }
  if (there.empty()) {
    return;
  }
  if (const std::string other = run_of(folder, there.front(), container); other != run) {
    refuse(folder / there.front(), fmt::format("is of run {}, not of {}", data::printable(other), run),
           "it would be replaced by another model");
  }
}

void make_output_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw data::InputError(fmt::format("--out: {} cannot be made ({})", folder.string(), error.message()),
                           "the packed file goes there", "name a folder that can be written");
  }
}

}  // namespace bitlaw::launch
