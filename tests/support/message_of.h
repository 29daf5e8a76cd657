// The message of the error that a call must end with. Torch-free.
#pragma once

#include <string>

#include "data/formats/input_error.h"

namespace bitlaw::test {

// "" when the call returns; other exceptions pass.
template <class Error = data::InputError, class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace bitlaw::test
