#include "launch/importable_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"
#include "launch/foreign_model.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void refuse_quantised(const fs::path& file, const std::string& what, const std::string& remedy) {
  throw data::InputError(fmt::format("{}: {}", file.string(), what), "an import is of full-precision weights",
                         remedy);
}

}  // namespace

void require_importable(const fs::path& file) {
  const std::optional<ForeignModel> foreign = foreign_model(file);
  if (foreign && !foreign->container.empty() && (foreign->container == "gguf" || fs::is_directory(file))) {
    refuse_quantised(file, fmt::format("is {}", foreign->noun()), foreign->remedy());
  }
  if (fs::is_directory(file)) {
    throw data::InputError(fmt::format("{}: is a folder", file.string()), "weights are read from one file",
                           "name a .pth or .pt file of torch.save, or a .safetensors file");
  }
  if (file.extension() == ".h5") {
    refuse_quantised(file, "is a file of bitlaw itself, not one that others published",
                     "every command that takes a model reads an export as it is");
  }
}

void require_full_precision(const fs::path& file, const Sections& sections) {
  for (const auto& [section, shapes] : sections) {
    const auto found = std::find_if(shapes.begin(), shapes.end(),
                                    [](const auto& entry) { return is_name_of_codes(entry.first); });
    if (found != shapes.end()) {
      const std::optional<ForeignModel> foreign = foreign_model(file);
      const bool is_stated = foreign && !foreign->container.empty();
      refuse_quantised(file, fmt::format("is quantised already (it holds {})", data::printable(found->first)),
                       is_stated ? foreign->remedy()
                                 : "put its config.json beside it and name their folder to 'bitlaw convert'");
    }
  }
}

}  // namespace bitlaw::launch
