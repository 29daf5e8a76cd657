// What an exported file says about itself: its attributes config (YAML) and source (JSON, docs/formats.md).
#pragma once

#include <filesystem>

#include "launch/model_source.h"
#include "quant/containers/native.h"

namespace bitlaw::launch {

void put_origin(quant::PackedModel& packed, const ModelOrigin& origin);
// InputError when the attributes are missing or unreadable.
ModelOrigin read_origin(const quant::PackedModel& packed, const std::filesystem::path& path);

}  // namespace bitlaw::launch
