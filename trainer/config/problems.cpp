#include "trainer/config/problems.h"

namespace bitlaw::trainer {

void Problems::add(const std::string& what, const std::string& why, const std::string& remedy) {
  messages_.emplace_back(data::InputError(what, why, remedy).what());
}

void Problems::add(const std::string& key, const data::InputError& error) {
  messages_.push_back(key + ": " + error.what());
}

void Problems::throw_if_any() const {
  if (messages_.size() == 1) {
    throw data::InputError(messages_[0]);
  }
  if (!messages_.empty()) {
    std::string what = std::to_string(messages_.size()) + " problems in the configuration:";
    for (const std::string& message : messages_) {
      what += "\n  " + message;
    }
    throw data::InputError(what + "\n", "nothing was started",
                           "correct them; 'bitlaw config --reference' explains every key");
  }
}

}  // namespace bitlaw::trainer
