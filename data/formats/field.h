// How a configuration key describes itself, so that one description serves the YAML reader and writer,
// --help, the documentation and the checks.
//
// Each configuration struct has, beside it, a function template
//   template <class Visitor> void visit_fields(Visitor& visitor, MyConfig& config);
// that calls `visitor(Field{...}, config.member)` once per member, in the order in which they are shown. A
// member is bool, std::int64_t, double, std::string, an enum (see enum_names), a std::vector or std::optional
// of those, or another struct with a visit_fields of its own.
#pragma once

#include <limits>
#include <span>
#include <string_view>

namespace bitlaw::data {

struct Field {
  std::string_view name;
  std::string_view help;
  double minimum = -std::numeric_limits<double>::infinity();  // inclusive, for numbers
  double maximum = std::numeric_limits<double>::infinity();   // inclusive, for numbers
};

// An enum that appears in a configuration specialises this with the names of its values, in the order of the
// values, which are 0, 1, 2, ...
template <class Enum>
struct EnumNames;  // static constexpr std::string_view names[] = {...};

template <class Enum>
std::string_view enum_name(Enum value) {
  return EnumNames<Enum>::names[static_cast<std::size_t>(value)];
}

}  // namespace bitlaw::data
