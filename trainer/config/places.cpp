#include "trainer/config/places.h"

namespace bitlaw::trainer {

std::string place_of(const Places& places, const std::string& key) {
  std::string at = key;
  while (!at.empty()) {
    if (const auto found = places.find(at); found != places.end()) {
      return found->second;
    }
    const std::size_t dot = at.rfind('.');
    at.resize(dot == std::string::npos ? 0 : dot);
  }
  return "";
}

}  // namespace bitlaw::trainer
