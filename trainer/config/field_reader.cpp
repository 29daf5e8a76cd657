#include "trainer/config/field_reader.h"

#include <cmath>
#include <optional>

#include "trainer/config/key_list.h"
#include "trainer/config/reader.h"
#include "trainer/config/scalars.h"

namespace bitlaw::trainer {

namespace {

void report_type(const ScalarSource& source, const std::string& wanted, const std::string& remedy) {
  const std::string quotes = source.tree.quoted ? " (in quotes, so text)" : "";
  source.problems.add(
      source.tree.where + ": " + source.key + ": " + describe(source.tree) + quotes + " is not " + wanted,
      std::string(source.field.help), remedy);
}

bool is_plain_scalar(const YamlTree& tree) {
  return tree.kind == YamlTree::Kind::scalar && !tree.quoted;
}

std::string range_text(const data::Field& field) {
  const bool below = std::isinf(field.maximum);
  const bool above = std::isinf(field.minimum);
  if (above && below) {
    return "any number";
  }
  if (below) {
    return format_number(field.minimum) + " or more";
  }
  return above ? format_number(field.maximum) + " or less"
               : format_number(field.minimum) + " to " + format_number(field.maximum);
}

std::string whole_range_text(const data::Field& field) {
  const auto digits = [](double value) { return std::to_string(static_cast<std::int64_t>(value)); };
  const bool bounded = std::isfinite(field.minimum) && std::isfinite(field.maximum);
  return bounded ? digits(field.minimum) + " to " + digits(field.maximum) : range_text(field);
}

// Digits, or a power of ten where that is a whole number that a double holds: 1e8, 2.5e3.
std::optional<std::int64_t> parse_whole_number(const std::string& text) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (const auto digits = parse_integer(text)) {
    return digits;
  }
  const auto number = text.find_first_of("eE") == std::string::npos ? std::nullopt : parse_number(text);
  const bool whole = number && std::abs(*number) <= kExact && std::trunc(*number) == *number;
  return whole ? std::optional(static_cast<std::int64_t>(*number)) : std::nullopt;
}

bool in_range(const ScalarSource& source, double value) {
  if (value >= source.field.minimum && value <= source.field.maximum) {
    return true;
  }
  source.problems.add(source.tree.where + ": " + source.key + ": " + source.tree.text + " is out of range",
                      std::string(source.field.help), "give " + range_text(source.field));
  return false;
}

std::string joined(std::span<const std::string_view> names) {
  std::string result;
  for (const std::string_view name : names) {
    result += (result.empty() ? "" : ", ") + std::string(name);
  }
  return result;
}

// A key of another section with this last name: "lr" belongs to "optim.lr".
std::string same_name_elsewhere(const std::string& name) {
  for (const std::string& key : all_keys()) {
    if (key.ends_with("." + name) && key.find('*') == std::string::npos) {
      return key;
    }
  }
  return "";
}

}  // namespace

void read_scalar(const ScalarSource& source, bool& value) {
  const auto parsed = is_plain_scalar(source.tree) ? parse_bool(source.tree.text) : std::nullopt;
  if (parsed) {
    value = *parsed;
  } else {
    report_type(source, "a truth value", "write true or false");
  }
}

void read_scalar(const ScalarSource& source, std::int64_t& value) {
  const auto parsed = is_plain_scalar(source.tree) ? parse_whole_number(source.tree.text) : std::nullopt;
  if (!parsed) {
    report_type(source, "an integer",
                "write a whole number like 1000 or 1e3, " + whole_range_text(source.field));
  } else if (in_range(source, static_cast<double>(*parsed))) {
    value = *parsed;
  }
}

void read_scalar(const ScalarSource& source, double& value) {
  const auto parsed = is_plain_scalar(source.tree) ? parse_number(source.tree.text) : std::nullopt;
  if (!parsed) {
    report_type(source, "a number", "write it like 0.05 or 5e-4, " + range_text(source.field));
  } else if (in_range(source, *parsed)) {
    value = *parsed;
  }
}

void read_scalar(const ScalarSource& source, std::string& value) {
  if (source.tree.kind == YamlTree::Kind::scalar) {
    value = source.tree.text;
  } else {
    report_type(source, "text", "write one word, or text in quotes");
  }
}

int read_enum(const ScalarSource& source, std::span<const std::string_view> names) {
  if (source.tree.kind == YamlTree::Kind::scalar) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == source.tree.text) {
        return static_cast<int>(i);
      }
    }
  }
  const std::string near =
      nearest_name(source.tree.text, std::vector<std::string>(names.begin(), names.end()));
  report_type(source, "one of " + joined(names),
              near.empty() ? "choose one of them" : "did you mean " + near + "?");
  return -1;
}

void report_not_a_map(const YamlTree& tree, const std::string& key, Problems& problems) {
  problems.add(tree.where + ": " + key + ": " + describe(tree) + " where keys are expected",
               "it is a group of keys", "write '" + key + ": {key: value}'");
}

void report_not_a_list(const YamlTree& tree, const std::string& key, Problems& problems) {
  const std::string example = tree.kind == YamlTree::Kind::scalar ? tree.text : "...";
  problems.add(tree.where + ": " + key + ": " + describe(tree) + " where a list is expected",
               "it holds any number of values", "write [" + example + "]");
}

void report_unknown_key(const YamlMember& member, const std::string& prefix,
                        const std::vector<std::string>& known, Problems& problems) {
  const std::string near = nearest_name(member.key, known);
  std::string remedy = "'bitlaw config --reference' lists the keys";
  if (!near.empty()) {
    remedy = "did you mean " + join_key(prefix, near) + "?";
  } else if (const std::string elsewhere = same_name_elsewhere(member.key); !elsewhere.empty()) {
    remedy = "did you mean " + elsewhere + "?";
  }
  problems.add(member.value.where + ": unknown key " + join_key(prefix, member.key),
               "what it was meant to set would keep its default", remedy);
}

}  // namespace bitlaw::trainer
