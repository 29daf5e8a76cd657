#include "trainer/figures.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "distill/not_finite_error.h"

namespace bitlaw::trainer {

std::string short_number(double value) {
  if (std::isnan(value)) {
    return "nan";  // whatever its sign
  }
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

void require_finite(const Figures& figures, const std::string& whose) {
  Figures bad;
  for (const auto& figure : figures) {
    if (!std::isfinite(figure.second)) {
      bad.push_back(figure);
    }
  }
  if (!bad.empty()) {
    throw distill::NotFiniteError(
        whose + ": " + figures_text(bad) +
        " [the network computes NaN or infinity, so no figure of it means anything]; evaluate in fp32, and "
        "look at the weights that it was made from");
  }
}

}  // namespace bitlaw::trainer
