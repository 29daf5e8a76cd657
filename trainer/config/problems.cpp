#include "trainer/config/problems.h"

namespace bitlaw::trainer {

void Problems::add(const std::string& what, const std::string& why, const std::string& remedy) {
  entries_.push_back({what, why, remedy});
}

void Problems::add(const std::string& key, const data::InputError& error) {
  const std::string message = error.what();
  const std::size_t why = message.find(" [");
  const std::size_t remedy = message.find("]; ", why == std::string::npos ? 0 : why);
  if (why == std::string::npos || remedy == std::string::npos) {
    add(key + ": " + message, "it contradicts itself", "correct it");
  } else {
    add(key + ": " + message.substr(0, why), message.substr(why + 2, remedy - why - 2),
        message.substr(remedy + 3));
  }
}

std::vector<std::string> Problems::messages() const {
  std::vector<std::string> result;
  for (const Entry& entry : entries_) {
    result.push_back(entry.what + " [" + entry.why + "]; " + entry.remedy);
  }
  return result;
}

void Problems::throw_if_any() const {
  if (entries_.size() == 1) {
    throw data::InputError(entries_[0].what, entries_[0].why, entries_[0].remedy);
  }
  if (!entries_.empty()) {
    std::string what = std::to_string(entries_.size()) + " problems in the configuration:";
    for (const std::string& message : messages()) {
      what += "\n  " + message;
    }
    throw data::InputError(what + "\n", "nothing was started",
                           "correct them; 'bitlaw config --reference' explains every key");
  }
}

}  // namespace bitlaw::trainer
