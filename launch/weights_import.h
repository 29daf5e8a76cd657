// Published weights -> an export in full precision, which every command takes for a model.
//
// Files in the folder: model.h5 (docs/formats.md), and model.yaml, the keys of a configuration that starts
// from it, to be included.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "distill/models/load_weights.h"
#include "launch/model_source.h"
#include "trainer/config/run_config.h"

namespace bitlaw::launch {

struct ImportRequest {
  std::filesystem::path file;          // of torch.save, or safetensors
  std::optional<std::string> section;  // of the file; absent: the only one that holds such a model
  std::string published;               // name of a published model; empty: config.model
  trainer::RunConfig config;           // tokenizer.from: of the tokenizer whose tokens a VAR speaks
  std::filesystem::path out;
};

struct ImportReport {
  ModelOrigin origin;  // path: the file that was written
  std::string section;
  std::vector<std::string> other_sections;
  distill::LoadedWeights loaded;
  std::int64_t tensors = 0;
  std::int64_t parameters = 0;
  std::uintmax_t file_bytes = 0;
};

// Element for element what the file holds, in float32; read back and compared before it gets its name, and
// the network rebuilt from it. InputError: a geometry that is none, the output is there already, a section
// that is not clear, everything that load_weights refuses, a tokenizer that does not fit, the disk.
ImportReport import_weights(const ImportRequest& request);

}  // namespace bitlaw::launch
