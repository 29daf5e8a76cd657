#include "launch/output_folder.h"

#include <fmt/format.h>

#include <system_error>

#include "data/formats/input_error.h"

namespace bitlaw::launch {

void make_output_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    throw data::InputError(fmt::format("--out: {} cannot be made ({})", folder.string(), error.message()),
                           "the packed file goes there", "name a folder that can be written");
  }
}

}  // namespace bitlaw::launch
