#include "trainer/config/problems.h"

#include "data/formats/input_errors.h"

namespace bitlaw::trainer {

namespace {

// "quant.weights" of "quant.weights: ...", "num_bits" of "num_bits 5 with format: e2m1".
std::string first_key(const std::string& message) {
  return message.substr(0, message.find_first_of(": "));
}

}  // namespace

void Problems::add(const std::string& what, const std::string& why, const std::string& remedy) {
  add_at(first_key(what), data::InputError(what, why, remedy).what());
}

void Problems::add(const std::string& key, const data::InputError& error) {
  for (const std::string& message : data::messages_of(error)) {
    add_at(key + "." + first_key(message), key + ": " + message);
  }
}

void Problems::add_at(const std::string& key, const std::string& message) {
  const std::string place = place_of(places_, key);
  messages_.push_back(place.empty() ? message : place + ": " + message);
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
