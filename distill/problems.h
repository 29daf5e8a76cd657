// Collects everything that is wrong, so that a user mends it in one go.
#pragma once

#include <string>
#include <vector>

#include "data/formats/input_error.h"

namespace bitlaw::distill {

class Problems {
 public:
  void add(const std::string& what, const std::string& why, const std::string& remedy);
  void add(const data::InputError& error);
  // Runs a check that throws InputError and keeps the error.
  template <class Check>
  void collect(Check&& check) {
    try {
      check();
    } catch (const data::InputError& error) {
      add(error);
    }
  }
  bool empty() const { return messages_.empty(); }
  void throw_if_any() const;  // one InputError with all of them

 private:
  std::vector<std::string> messages_;
};

}  // namespace bitlaw::distill
