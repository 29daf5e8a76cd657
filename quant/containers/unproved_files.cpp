#include "quant/containers/unproved_files.h"

#include <unistd.h>

#include <string>
#include <system_error>
#include <utility>

#include "data/formats/file_io.h"

namespace bitlaw::quant {

namespace fs = std::filesystem;

UnprovedFiles::UnprovedFiles(fs::path folder) : folder_(std::move(folder)) {}

UnprovedFiles::~UnprovedFiles() {
  for (const std::string& name : names_) {
    std::error_code ignored;
    fs::remove(temporary(name), ignored);
  }
}

fs::path UnprovedFiles::temporary(const std::string& name) const {
  return folder_ / (name + "." + std::to_string(::getpid()) + ".unproved");
}

fs::path UnprovedFiles::add(const std::string& name) {
  names_.push_back(name);
  return temporary(name);
}

void UnprovedFiles::publish() {
  for (const std::string& name : names_) {
    std::error_code error;
    fs::rename(temporary(name), folder_ / name, error);
    if (error) {
      throw data::file_error(folder_ / name, "give a proved file its name", error.value());
    }
  }
  names_.clear();
  data::sync_folder(folder_);
}

}  // namespace bitlaw::quant
