#include "data/formats/input_error.h"

namespace bitlaw::data {

InputError::InputError(const std::string& what, const std::string& why, const std::string& remedy)
    : std::runtime_error(what + " [" + why + "]; " + remedy) {}

}  // namespace bitlaw::data
