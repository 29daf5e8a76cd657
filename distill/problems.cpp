#include "distill/problems.h"

namespace bitlaw::distill {

void Problems::add(const std::string& what, const std::string& why, const std::string& remedy) {
  add(data::InputError(what, why, remedy));
}

void Problems::add(const data::InputError& error) {
  messages_.emplace_back(error.what());
}

void Problems::throw_if_any() const {
  if (messages_.empty()) {
    return;
  }
  std::string all = std::to_string(messages_.size()) + (messages_.size() == 1 ? " problem:" : " problems:");
  for (const std::string& message : messages_) {
    all += "\n  " + message;
  }
  throw data::InputError(all + "\n", "nothing was started", "correct the configuration and start again");
}

}  // namespace bitlaw::distill
