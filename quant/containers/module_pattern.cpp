#include "quant/containers/module_pattern.h"

#include <set>
#include <vector>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"

namespace bitlaw::quant {

namespace {

constexpr std::size_t kLongest = 4096;
constexpr int kDeepest = 16;
constexpr std::string_view kSpecial = ".^$*+?()[]{}|\\";

using Positions = std::set<std::size_t>;  // where in the name a match may stand

// Matches while it parses, with the set of all positions that are possible: linear in pattern times name.
class Matcher {
 public:
  Matcher(std::string_view pattern, std::string_view name) : pattern_(pattern), name_(name) {}

  bool run() {
    const Positions ends = alternatives({0});
    if (at_ < pattern_.size()) {
      refuse("an unopened ')'");
    }
    return !ends.empty();
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw data::InputError("pattern '" + data::printable(pattern_) + "': " + what,
                           "patterns of module names know . * + ? | ( ) ^ $ and \\",
                           "name the modules in the configuration instead");
  }
  bool done() const { return at_ == pattern_.size() || pattern_[at_] == '|' || pattern_[at_] == ')'; }
  Positions alternatives(const Positions& starts);
  Positions branch(Positions here);
  Positions group(const Positions& here);
  Positions one(const Positions& here, char sign, bool any) const;
  Positions repeated(const Positions& here, char sign, bool any);

  std::string_view pattern_;
  std::string_view name_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

Positions Matcher::one(const Positions& here, char sign, bool any) const {
  Positions next;
  for (const std::size_t position : here) {
    if (position < name_.size() && (any || name_[position] == sign)) {
      next.insert(position + 1);
    }
  }
  return next;
}

Positions Matcher::repeated(const Positions& here, char sign, bool any) {
  const char quantifier = at_ < pattern_.size() ? pattern_[at_] : '\0';
  if (quantifier != '*' && quantifier != '+' && quantifier != '?') {
    return one(here, sign, any);
  }
  ++at_;
  if (at_ < pattern_.size() && (pattern_[at_] == '?' || pattern_[at_] == '+' || pattern_[at_] == '*')) {
    refuse("two quantifiers in a row");
  }
  Positions reached = quantifier == '+' ? one(here, sign, any) : here;
  Positions frontier = quantifier == '?' ? one(here, sign, any) : reached;
  while (quantifier != '?' && !frontier.empty()) {
    Positions fresh;
    for (const std::size_t position : one(frontier, sign, any)) {
      if (reached.insert(position).second) {
        fresh.insert(position);
      }
    }
    frontier = std::move(fresh);
  }
  reached.insert(frontier.begin(), frontier.end());
  return reached;
}

Positions Matcher::group(const Positions& here) {
  if (pattern_.substr(at_).starts_with("?:")) {
    at_ += 2;
  } else if (pattern_.substr(at_).starts_with("?")) {
    refuse("a group that begins with '?'");
  }
  if (++depth_ > kDeepest) {
    refuse("more than 16 brackets inside each other");
  }
  Positions ends = alternatives(here);
  --depth_;
  if (at_ == pattern_.size() || pattern_[at_] != ')') {
    refuse("an unclosed '('");
  }
  ++at_;
  if (at_ < pattern_.size() && std::string_view("*+?{").find(pattern_[at_]) != std::string_view::npos) {
    refuse("a quantifier after a group");
  }
  return ends;
}

Positions Matcher::branch(Positions here) {
  while (!done()) {
    const char sign = pattern_[at_++];
    if (sign == '(') {
      here = group(here);
    } else if (sign == '^') {
      here = here.count(0) > 0 ? Positions{0} : Positions{};
    } else if (sign == '$') {
      here = here.count(name_.size()) > 0 ? Positions{name_.size()} : Positions{};
    } else if (sign == '.') {
      here = repeated(here, '\0', true);
    } else if (sign == '\\') {
      if (at_ == pattern_.size() || kSpecial.find(pattern_[at_]) == std::string_view::npos) {
        refuse("a '\\' before no special sign");
      }
      const char literal = pattern_[at_++];
      here = repeated(here, literal, false);
    } else if (kSpecial.find(sign) != std::string_view::npos) {
      refuse(std::string("the sign '") + sign + "'");
    } else {
      here = repeated(here, sign, false);
    }
  }
  return here;
}

Positions Matcher::alternatives(const Positions& starts) {
  Positions ends = branch(starts);
  while (at_ < pattern_.size() && pattern_[at_] == '|') {
    ++at_;
    ends.merge(branch(starts));
  }
  return ends;
}

}  // namespace

bool matches_beginning(std::string_view pattern, std::string_view name) {
  if (pattern.size() > kLongest || name.size() > kLongest) {
    throw data::InputError("a pattern of " + std::to_string(pattern.size()) + " characters",
                           "patterns and names of modules have at most 4096", "name the modules instead");
  }
  return Matcher(pattern, name).run();
}

std::string exact_pattern(std::string_view name) {
  std::string pattern = "^";
  for (const char sign : name) {
    if (kSpecial.find(sign) != std::string_view::npos) {
      pattern += '\\';
    }
    pattern += sign;
  }
  return pattern + "$";
}

}  // namespace bitlaw::quant
