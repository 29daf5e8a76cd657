#include "trainer/config/reader.h"

#include "trainer/config/field_reader.h"
#include "trainer/config/sources.h"

namespace bitlaw::trainer {

namespace {

RunConfig read_tree(const YamlTree& tree, Problems& problems) {
  RunConfig config;
  FieldReader reader(tree, "", problems);
  visit_fields(reader, config);
  reader.report_unknown();
  problems.throw_if_any();
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
