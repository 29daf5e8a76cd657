#include "trainer/config/yaml_tree.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

namespace bitlaw::trainer {

namespace {

constexpr std::size_t kMostValues = 100000;  // aliases of aliases grow exponentially
constexpr int kDeepest = 50;

class Converter {
 public:
  Converter(std::string file, Lines lines, Problems& problems)
      : file_(std::move(file)), lines_(lines), problems_(problems) {}

  YamlTree convert(const YAML::Node& node, const std::string& where_key, int depth) {
    YamlTree tree;
    tree.where = where_key.empty() ? where(node) : where_key;
    if (++values_ > kMostValues || depth > kDeepest) {
      report_size(tree.where);
      return tree;
    }
    if (node.IsScalar()) {
      tree.kind = YamlTree::Kind::scalar;
      tree.text = node.Scalar();
      tree.quoted = node.Tag() == "!";
    } else if (node.IsSequence()) {
      tree.kind = YamlTree::Kind::list;
      for (const YAML::Node& item : node) {
        tree.items.push_back(convert(item, "", depth + 1));
      }
    } else if (node.IsMap()) {
      tree.kind = YamlTree::Kind::map;
      for (const auto& pair : node) {
        add_member(tree, pair.first, pair.second, depth);
      }
    }
    return tree;
  }

  std::string where(const YAML::Node& node) const { return where(node.Mark()); }
  std::string where(const YAML::Mark& mark) const {
    return lines_ == Lines::hidden || mark.is_null() ? file_ : file_ + ":" + std::to_string(mark.line + 1);
  }

 private:
  void add_member(YamlTree& tree, const YAML::Node& key, const YAML::Node& value, int depth) {
    if (!key.IsScalar()) {
      problems_.add(where(key) + ": a key that is not a plain name", "keys are names", "write 'name: value'");
      return;
    }
    if (const YamlTree* first = tree.find(key.Scalar())) {
      problems_.add(where(key) + ": duplicate key " + key.Scalar() + ", already given at " + first->where,
                    "only one of the two values could be used", "delete one");
      return;
    }
    tree.members.push_back({key.Scalar(), convert(value, where(key), depth + 1)});
  }

  void report_size(const std::string& at) {
    if (!too_large_) {
      problems_.add(at + ": the configuration is too large or nested too deeply",
                    "at most " + std::to_string(kMostValues) + " values and " + std::to_string(kDeepest) +
                        " levels are read",
                    "look for aliases that refer to themselves");
    }
    too_large_ = true;
  }

  std::string file_;
  Lines lines_;
  Problems& problems_;
  std::size_t values_ = 0;
  bool too_large_ = false;
};

}  // namespace

const YamlTree* YamlTree::find(std::string_view key) const {
  const auto found =
      std::find_if(members.begin(), members.end(), [&](const YamlMember& m) { return m.key == key; });
  return found == members.end() ? nullptr : &found->value;
}

YamlTree* YamlTree::find(std::string_view key) {
  return const_cast<YamlTree*>(static_cast<const YamlTree*>(this)->find(key));
}

YamlTree parse_yaml(const std::string& text, const std::string& file, Problems& problems, Lines lines) {
  Converter converter(file, lines, problems);
  YamlTree empty;
  empty.where = file;
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      problems.add(file + ": holds " + std::to_string(documents.size()) + " YAML documents",
                   "only one could be used", "split the file at '---'");
    }
    return documents.empty() ? empty : converter.convert(documents[0], "", 0);
  } catch (const YAML::Exception& error) {
    problems.add(converter.where(error.mark) + ": not YAML: " + error.msg, "nothing could be read",
                 "correct the syntax there");
    return empty;
  }
}

YamlTree parse_yaml_map(const std::string& text, const std::string& file, Problems& problems) {
  YamlTree tree = parse_yaml(text, file, problems);
  if (tree.kind == YamlTree::Kind::scalar || tree.kind == YamlTree::Kind::list) {
    problems.add(tree.where + ": " + describe(tree) + " where sections are expected",
                 "a configuration is a map of sections", "write 'section: {key: value}'");
    tree = YamlTree{};
  }
  tree.kind = YamlTree::Kind::map;
  return tree;
}

void merge(YamlTree& base, const YamlTree& over) {
  if (base.kind != YamlTree::Kind::map || over.kind != YamlTree::Kind::map) {
    base = over;
    return;
  }
  for (const YamlMember& member : over.members) {
    if (YamlTree* present = base.find(member.key)) {
      merge(*present, member.value);
    } else {
      base.members.push_back(member);
    }
  }
}

std::string describe(const YamlTree& tree) {
  switch (tree.kind) {
    case YamlTree::Kind::null:
      return "nothing";
    case YamlTree::Kind::list:
      return "a list";
    case YamlTree::Kind::map:
      return "a map";
    case YamlTree::Kind::scalar:
      break;
  }
  return "'" + tree.text + "'";
}

}  // namespace bitlaw::trainer
