// The geometries that a configuration describes. Torch-free.
#pragma once

#include <cstdint>

#include "distill/config.h"
#include "distill/models/var_shape.h"

namespace bitlaw::distill {

struct DitShape;  // weights.h
struct RasterShape;

// `tokenizer` is the one whose tokens the model speaks. InputError of all three: heads that do not divide the
// width.
VarShape var_shape(const ModelConfig& config, const VqConfig& tokenizer, std::int64_t num_classes);
DitShape dit_shape(const ModelConfig& config, std::int64_t num_classes);
RasterShape raster_shape(const ModelConfig& config, std::int64_t num_classes);

}  // namespace bitlaw::distill
