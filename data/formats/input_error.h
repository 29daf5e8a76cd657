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
};

}  // namespace bitlaw::data
