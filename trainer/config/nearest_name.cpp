// Which known name a misspelt one was meant to be.
#include <algorithm>
#include <vector>

#include "trainer/config/reader.h"

namespace bitlaw::trainer {

namespace {

// Edits that make b of a: insert, delete, replace, or swap two neighbours (optimal string alignment).
std::size_t edit_distance(const std::string& a, const std::string& b) {
  const std::size_t columns = b.size() + 1;
  std::vector<std::size_t> table((a.size() + 1) * columns);
  const auto at = [&](std::size_t i, std::size_t j) -> std::size_t& { return table[i * columns + j]; };
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        at(i, j) = i + j;
        continue;
      }
      const std::size_t replace = at(i - 1, j - 1) + (a[i - 1] == b[j - 1] ? 0 : 1);
      at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
      }
    }
  }
  return at(a.size(), b.size());
}

// Case and separators are what people mix up most; they cost nothing.
std::string folded(const std::string& name) {
  std::string result;
  for (const char c : name) {
    if (c != '_' && c != '-') {
      result += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
  }
  return result;
}

// One name is the other with something in front or behind: "batch_size" and "global_batch_size".
bool contains_other(const std::string& a, const std::string& b) {
  return std::min(a.size(), b.size()) >= 4 &&
         (a.find(b) != std::string::npos || b.find(a) != std::string::npos);
}

}  // namespace

std::string nearest_name(const std::string& name, const std::vector<std::string>& known) {
  const std::string wanted = folded(name);
  std::string best;
  std::size_t best_distance = wanted.size() / 3 + 2;  // first distance that is no longer near
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(wanted, folded(candidate));
    if (distance < best_distance && distance < std::max<std::size_t>(wanted.size(), 2)) {
      best = candidate;
      best_distance = distance;
    }
  }
  for (const std::string& candidate : known) {
    if (best.empty() && contains_other(wanted, folded(candidate))) {
      best = candidate;
    }
  }
  return best;
}

}  // namespace bitlaw::trainer
