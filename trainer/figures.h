// Named figures of a step or an evaluation, as text for people. Torch-free.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace bitlaw::trainer {

using Figures = std::vector<std::pair<std::string, double>>;  // in the order in which they are shown

std::string short_number(double value);            // four digits: "3.142", "1.2e-05"
std::string figures_text(const Figures& figures);  // "loss 3.142  lr 0.0005"

// distill::NotFiniteError with the figures that are NaN or infinite; `whose`: what they are the figures of.
void require_finite(const Figures& figures, const std::string& whose);

}  // namespace bitlaw::trainer
