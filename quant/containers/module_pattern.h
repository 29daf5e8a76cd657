// Patterns for module names in configurations of others: the few signs of regular expressions that such files
// use, matched in bounded time. A library's regular expressions are no match for hostile patterns.
//
//   pattern := branch ('|' branch)*        branch := (atom '*'? '+'? '?'?)*
//   atom := '.' | '\' sign | '^' at the start | '$' at the end | '(' pattern ')' | '(?:' pattern ')' | sign
// The quantifiers follow '.' or a sign, not a group. Torch-free.
#pragma once

#include <string>
#include <string_view>

namespace bitlaw::quant {

// Whether `pattern` matches a beginning of `name` (Python's re.match). InputError for a pattern that uses
// other signs ('[', '{', look-ahead ...) or that is longer than 4096 characters or opens more than 16
// brackets.
bool matches_beginning(std::string_view pattern, std::string_view name);

// A pattern that matches `name` and nothing else (with Python's re.match and re.search alike).
std::string exact_pattern(std::string_view name);

}  // namespace bitlaw::quant
