// A JSON value of a small text that somebody else may have written: configurations beside model files.
// Torch-free.
//
// Numbers are integers of 64 bits where they are written as such, else float64. Objects keep the order of
// their members. parse() refuses a key that occurs twice, nesting deeper than 64, more than kMostJsonValues
// values, texts longer than kLargestJson, bytes that are no UTF-8 and integers beyond 64 bits. A value is a
// plain value: copies are deep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitlaw::data {

inline constexpr std::size_t kLargestJson = std::size_t{1} << 26;     // bytes of the text
inline constexpr std::size_t kMostJsonValues = std::size_t{1} << 20;  // members and elements of all levels

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;

  // Defined in the .cpp file: inlined, GCC 12 takes them for uses of what is not initialised.
  Json();  // null
  Json(const Json&);
  Json(Json&&) noexcept;
  Json& operator=(const Json&);
  Json& operator=(Json&&) noexcept;
  ~Json();
  // NOLINTBEGIN(google-explicit-constructor): literals of every kind stand in lists of members
  Json(bool value);
  Json(int value);
  Json(std::int64_t value);
  Json(double value);
  Json(const char* value);
  Json(std::string value);
  Json(Array value);
  Json(Object value);
  // NOLINTEND(google-explicit-constructor)

  // `origin` names the text in errors. InputError when it is no JSON, or what is refused above.
  static Json parse(std::string_view text, const std::string& origin);
  std::string to_text() const;  // two spaces of indent

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  // Pointers into this value, null when it is of another kind.
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&value_); }
  const double* number() const { return std::get_if<double>(&value_); }
  const std::string* text() const { return std::get_if<std::string>(&value_); }
  const Array* array() const { return std::get_if<Array>(&value_); }
  const Object* object() const { return std::get_if<Object>(&value_); }
  // The member of an object; null when it is absent or null, or when this is no object.
  const Json* find(std::string_view key) const;

  bool operator==(const Json&) const = default;

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> value_;
};

}  // namespace bitlaw::data
