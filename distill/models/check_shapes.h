// Geometries that a network cannot have. Torch-free.
#pragma once

#include "distill/models/weights.h"

namespace bitlaw::distill {

// InputError with everything that is wrong.
void check_geometry(const DitShape& shape);
void check_geometry(const RasterShape& shape);
void check_geometry(const SdVaeConfig& shape);

}  // namespace bitlaw::distill
