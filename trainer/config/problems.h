// Everything that is wrong with a configuration, collected and thrown as one InputError. Torch-free.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/formats/input_error.h"
#include "trainer/config/places.h"

namespace bitlaw::trainer {

class Problems {
 public:
  Problems() = default;
  // Messages that begin with a key get its place in front.
  explicit Problems(Places places) : places_(std::move(places)) {}

  // In the grammar of errors: what is wrong with its value [why it matters]; what to do.
  void add(const std::string& what, const std::string& why, const std::string& remedy);
  // What another part of the program has found (data::InputErrors: several things), under the key that led
  // to it.
  void add(const std::string& key, const data::InputError& error);
  bool empty() const { return messages_.empty(); }
  const std::vector<std::string>& messages() const { return messages_; }
  void throw_if_any() const;  // data::InputError that holds all of them

 private:
  void add_at(const std::string& key, const std::string& message);

  Places places_;
  std::vector<std::string> messages_;
};

}  // namespace bitlaw::trainer
