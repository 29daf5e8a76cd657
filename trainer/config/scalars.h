// Numbers, truth values and text as they stand in YAML, both ways and without loss. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitlaw::trainer {

// Empty when the text is not wholly such a value. Numbers are finite; truth values are true and false alone.
std::optional<std::int64_t> parse_integer(std::string_view text);
std::optional<double> parse_number(std::string_view text);
std::optional<bool> parse_bool(std::string_view text);

std::string format_number(double value);            // shortest text that parses to the same bits
std::string format_text(const std::string& value);  // quoted where YAML would read something else
bool is_null_text(std::string_view text);           // "", "~", "null": no value
bool is_none_text(std::string_view text);           // those, and "none"

}  // namespace bitlaw::trainer
