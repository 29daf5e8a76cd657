#include "trainer/figures.h"

#include <array>
#include <cstdio>

namespace bitlaw::trainer {

std::string short_number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

std::string figures_text(const Figures& figures) {
  std::string text;
  for (const auto& [name, value] : figures) {
    text += (text.empty() ? "" : "  ") + name + ' ' + short_number(value);
  }
  return text;
}

}  // namespace bitlaw::trainer
