// The error of a user or of a site: bad configuration, bad file, disk full. The program ends with code 2.
//
// Grammar of a message: what is wrong, with its value [why it matters]; what to do.
#pragma once

#include <stdexcept>
#include <string>

namespace bitlaw::data {

class InputError : public std::runtime_error {
 public:
  InputError(const std::string& what, const std::string& why, const std::string& remedy);
  // A whole message, for one who adds to another's.
  explicit InputError(const std::string& message) : std::runtime_error(message) {}
};

}  // namespace bitlaw::data
