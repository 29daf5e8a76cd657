#include "trainer/config/reader.h"

#include "trainer/config/field_reader.h"
#include "trainer/config/sources.h"

namespace bitlaw::trainer {

namespace {

void add_places(const YamlTree& tree, const std::string& key, Places& places) {
  if (!key.empty() && !tree.where.empty()) {
    places[key] = tree.where.starts_with("command line") ? "command line" : tree.where;
  }
  for (const YamlMember& member : tree.members) {
    add_places(member.value, join_key(key, member.key), places);
  }
  for (std::size_t i = 0; i < tree.items.size(); ++i) {
    add_places(tree.items[i], join_key(key, std::to_string(i)), places);
  }
}

RunConfig read_tree(const YamlTree& tree, Problems& problems) {
  RunConfig config;
  FieldReader reader(tree, "", problems);
  visit_fields(reader, config);
  reader.report_unknown();
  problems.throw_if_any();
  add_places(tree, "", config.places);
  return config;
}

}  // namespace

RunConfig read_config(const std::vector<std::filesystem::path>& files,
                      const std::vector<std::string>& overrides) {
  Problems problems;
  YamlTree tree = load_files(files, problems);
  for (const std::string& assignment : overrides) {
    apply_override(tree, assignment, problems);
  }
  return read_tree(tree, problems);
}

RunConfig parse_config(const std::string& yaml, const std::string& origin) {
  Problems problems;
  const YamlTree tree = parse_yaml_map(yaml, origin, problems);
  return read_tree(tree, problems);
}

}  // namespace bitlaw::trainer
