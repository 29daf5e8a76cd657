// The one way in which a picture is refused.
#pragma once

#include <string>

#include "data/formats/input_error.h"

namespace bitlaw::data {

inline InputError bad_image(const std::string& origin, const std::string& what) {
  return InputError("image " + origin + ": " + what, "it would become a wrong training sample",
                    "replace or remove the file");
}

}  // namespace bitlaw::data
