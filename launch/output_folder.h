// The folder that a command writes into.
#pragma once

#include <filesystem>
#include <vector>

#include "quant/containers/container.h"
#include "trainer/config/run_config.h"

namespace bitlaw::launch {

// InputError, naming --out, when a model lies in the folder: it would be replaced, or lie beside another.
void refuse_any_model(const std::filesystem::path& folder);
// InputError when the files of `container` would replace a model of another run than `run`, or lie beside
// files of another container. A later state of the same run may replace the earlier one: the one of the same
// name and identity (seeds of a study may share a name).
void refuse_another_model(const std::filesystem::path& folder, quant::Container container,
                          const trainer::RunConfig& run);

// InputError when the folder's tokenizer.h5 is not of run `run`, as above.
void refuse_another_tokenizer(const std::filesystem::path& folder, const trainer::RunConfig& run);
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
