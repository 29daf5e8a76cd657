// Several errors of one input, thrown as one, so that a user mends all of them in one go. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "data/formats/input_error.h"

namespace bitlaw::data {

// Its text is all messages, one a line.
class InputErrors : public InputError {
 public:
  explicit InputErrors(std::vector<std::string> messages);  // each in the grammar of errors
  const std::vector<std::string>& messages() const { return messages_; }

 private:
  std::vector<std::string> messages_;
};

// The messages of an error: those of an InputErrors, or its one.
std::vector<std::string> messages_of(const InputError& error);

class ErrorCollector {
 public:
  // Runs a check that throws InputError and keeps what it says. Returns whether it said nothing.
  template <class Check>
  bool collect(const Check& check) {
    try {
      check();
      return true;
    } catch (const InputError& error) {
      add(error);
      return false;
    }
  }
  // InputError when there is one message, InputErrors when there are several.
  void throw_if_any() const;

 private:
  void add(const InputError& error);

  std::vector<std::string> messages_;
};

}  // namespace bitlaw::data
