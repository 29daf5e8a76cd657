// What an exported file says about itself: its attributes config (YAML) and source (JSON, docs/formats.md).
#pragma once

#include <filesystem>

#include "launch/model_source.h"
#include "quant/containers/native.h"

namespace bitlaw::launch {

void put_origin(quant::PackedModel& packed, const ModelOrigin& origin);
// InputError when the attributes are missing or unreadable, or when the table of classes has other rows.
ModelOrigin read_origin(const quant::PackedModel& packed, const std::filesystem::path& path);
// InputError when the network of the origin has more parameters than the file has elements: before it is
// made.
void check_size(const quant::PackedModel& packed, const ModelOrigin& origin);
// The errors of read_origin, of a file that has one of the two attributes: others' models have none.
void check_origin(const quant::PackedModel& packed, const std::filesystem::path& path);

}  // namespace bitlaw::launch
