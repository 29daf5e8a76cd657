// The folder that a command writes into.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "quant/containers/container.h"

namespace bitlaw::launch {

// InputError, naming --out, when a model lies in the folder: it would be replaced, or lie beside another.
void refuse_any_model(const std::filesystem::path& folder);
// InputError when the files of `container` would replace a model that is not of run `run`, or lie beside
// files of another container. A later state of the same run may replace the earlier one.
void refuse_another_model(const std::filesystem::path& folder, quant::Container container,
                          const std::string& run);

// InputError when the folder's tokenizer.h5 is not of run `run`, as above.
void refuse_another_tokenizer(const std::filesystem::path& folder, const std::string& run);
inline constexpr const char* kTokenizerFile = "tokenizer.h5";

// Made with its parents, unless it is there. Destroyed, it removes what it made as long as that is empty: a
// command that was refused leaves nothing behind.
class OutputFolder {
 public:
  explicit OutputFolder(const std::filesystem::path& folder);  // InputError naming --out
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

 private:
  std::vector<std::filesystem::path> made_;  // outermost first
};

}  // namespace bitlaw::launch
