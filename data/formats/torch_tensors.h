// From the pickle of torch.save to its tensors: which names it may use, and what they stand for. Torch-free.
#pragma once

#include <map>
#include <span>
#include <string>

#include "data/formats/pickle.h"
#include "data/formats/torch_archive.h"

namespace bitlaw::data {

// Classes and functions that the pickle may name.
std::span<const PickleGlobal> torch_globals();

// The tensors below the root, by name; `folder` is the archive's, with '/'. Checked against the archive's
// entries.
std::map<std::string, TorchTensorEntry> torch_tensors(const PickleGraph& graph, const ZipArchive& archive,
                                                      const std::string& folder);

}  // namespace bitlaw::data
