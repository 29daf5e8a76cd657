#include "trainer/config/identity.h"

#include <map>

#include "data/formats/input_error.h"
#include "trainer/config/field_kinds.h"
#include "trainer/config/yaml_tree.h"

namespace bitlaw::trainer {

namespace {

using Flat = std::map<std::string, std::string>;

void flatten(const YamlTree& tree, const std::string& key, Flat& into) {
  switch (tree.kind) {
    case YamlTree::Kind::map:
      for (const YamlMember& member : tree.members) {
        flatten(member.value, join_key(key, member.key), into);
      }
      break;
    case YamlTree::Kind::list:
      into[key] = std::to_string(tree.items.size()) + " elements";
      for (std::size_t i = 0; i < tree.items.size(); ++i) {
        flatten(tree.items[i], join_key(key, std::to_string(i)), into);
      }
      break;
    case YamlTree::Kind::scalar:
    case YamlTree::Kind::null:
      into[key] = tree.text.empty() ? "''" : tree.text;
  }
}

Flat flat_yaml(const std::string& yaml, const std::string& origin) {
  Problems problems;
  const YamlTree tree = parse_yaml_map(yaml, origin, problems);
  problems.throw_if_any();
  Flat result;
  flatten(tree, "", result);
  return result;
}

std::string value_of(const Flat& flat, const std::string& key) {
  const auto found = flat.find(key);
  return found == flat.end() ? "not given" : found->second;
}

}  // namespace

std::vector<std::string> identity_differences(const std::string& started_with, const std::string& now) {
  const Flat before = flat_yaml(started_with, "identity of the checkpoint");
  const Flat after = flat_yaml(now, "identity of this start");
  Flat keys = before;
  keys.insert(after.begin(), after.end());
  std::vector<std::string> result;
  for (const auto& [key, unused] : keys) {
    const std::string was = value_of(before, key);
    const std::string is = value_of(after, key);
    if (was != is) {
      result.push_back(key + " was " + was + " and is now " + is);
    }
  }
  return result;
}

void require_same_identity(const std::string& started_with, const std::string& now,
                           const std::string& checkpoint) {
  if (started_with == now) {
    return;
  }
  std::string differences;
  for (const std::string& difference : identity_differences(started_with, now)) {
    differences.append(differences.empty() ? "" : "; ").append(difference);
  }
  if (!differences.empty()) {
    throw data::InputError(
        checkpoint + ": checkpoint of another run (" + differences + ")",
        "continuing it would give weights that no configuration describes",
        "restore the configuration, choose another run.name, or start from it with model.init");
  }
}

}  // namespace bitlaw::trainer
