#include "data/formats/input_errors.h"

#include <utility>

namespace bitlaw::data {

namespace {

std::string joined(const std::vector<std::string>& messages) {
  std::string text;
  for (const std::string& message : messages) {
    text.append(text.empty() ? "" : "\n  ").append(message);
  }
  return text;
}

}  // namespace

InputErrors::InputErrors(std::vector<std::string> messages)
    : InputError(joined(messages)), messages_(std::move(messages)) {}

std::vector<std::string> messages_of(const InputError& error) {
  const auto* several = dynamic_cast<const InputErrors*>(&error);
  return several == nullptr ? std::vector<std::string>{error.what()} : several->messages();
}

void ErrorCollector::throw_if_any() const {
  if (messages_.size() == 1) {
    throw InputError(messages_.front());
  }
  if (!messages_.empty()) {
    throw InputErrors(messages_);
  }
}

void ErrorCollector::add(const InputError& error) {
  for (const std::string& message : messages_of(error)) {
    messages_.push_back(message);
  }
}

}  // namespace bitlaw::data
