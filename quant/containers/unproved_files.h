// Files that get their names when they are proved, and vanish otherwise. Until then their names hold the
// number of the process: two that write one model prove and publish each its own bytes. Torch-free.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace bitlaw::quant {

class UnprovedFiles {
 public:
  explicit UnprovedFiles(std::filesystem::path folder);
  UnprovedFiles(const UnprovedFiles&) = delete;
  UnprovedFiles& operator=(const UnprovedFiles&) = delete;
  ~UnprovedFiles();  // removes what was not published

  // Where the file `name` of the folder is to be written until then.
  std::filesystem::path add(const std::string& name);
  // Gives all their names, in the order of add(). InputError of the disk.
  void publish();

 private:
  std::filesystem::path temporary(const std::string& name) const;

  std::filesystem::path folder_;
  std::vector<std::string> names_;
};

}  // namespace bitlaw::quant
