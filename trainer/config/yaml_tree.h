// YAML text as a tree that knows where each value was written, and how trees are merged. Torch-free.
//
// The only file that sees yaml-cpp. Aliases are expanded, within a limit on the number of values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "trainer/config/problems.h"

namespace bitlaw::trainer {

struct YamlMember;

struct YamlTree {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  std::string text;     // scalar
  bool quoted = false;  // scalar in quotes: text, never a number
  std::vector<YamlTree> items;
  std::vector<YamlMember> members;  // in the order of the file, names unique
  std::string where;                // "file:line" of its key, or "command line"

  const YamlTree* find(std::string_view key) const;  // null when the map has no such key
  YamlTree* find(std::string_view key);
};

struct YamlMember {
  std::string key;
  YamlTree value;
};

// One document; an empty one is an empty map. `file` names it in messages; without lines for the command
// line. Duplicate keys, syntax errors and roots that are no map are added to `problems`.
enum class Lines { shown, hidden };
YamlTree parse_yaml(const std::string& text, const std::string& file, Problems& problems,
                    Lines lines = Lines::shown);
YamlTree parse_yaml_map(const std::string& text, const std::string& file, Problems& problems);

// Maps are merged key by key, anything else in `over` replaces what was there.
void merge(YamlTree& base, const YamlTree& over);

// "a map", "a list", "'text'": for messages.
std::string describe(const YamlTree& tree);

}  // namespace bitlaw::trainer
