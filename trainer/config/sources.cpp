#include "trainer/config/sources.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "trainer/config/scalars.h"

namespace bitlaw::trainer {

namespace {

using Chain = std::vector<std::filesystem::path>;

class FileLoader {
 public:
  explicit FileLoader(Problems& problems) : problems_(problems) {}

  // `asked_at`: "file:line: " of the include, empty for a file of the command line.
  YamlTree load(const std::filesystem::path& file, const std::string& asked_at) {
    YamlTree merged;
    merged.kind = YamlTree::Kind::map;
    std::string text;
    if (!enter(file, asked_at, text)) {
      return merged;
    }
    YamlTree own = parse_yaml_map(text, file.string(), problems_);
    for (const YamlTree& include : take_includes(own)) {
      merge(merged, load(file.parent_path() / include.text, include.where + ": "));
    }
    chain_.pop_back();
    merge(merged, own);
    return merged;
  }

 private:
  bool enter(const std::filesystem::path& file, const std::string& asked_at, std::string& text) {
    std::error_code ignored;
    const std::filesystem::path canonical = std::filesystem::weakly_canonical(file, ignored);
    if (std::find(chain_.begin(), chain_.end(), canonical) != chain_.end()) {
      problems_.add(asked_at + "include: " + file.string() + " includes itself", "it would never end",
                    "remove one of the includes");
      return false;
    }
    std::ifstream stream(file);
    std::ostringstream content;
    content << stream.rdbuf();  // fails on an empty file as well, which is an empty configuration
    if (!std::filesystem::is_regular_file(file, ignored) || !stream.is_open() || stream.bad()) {
      problems_.add(asked_at + "configuration file " + file.string() + " cannot be read",
                    "the run is described there", "check the path and its permissions");
      return false;
    }
    text = content.str();
    chain_.push_back(canonical);
    return true;
  }

  std::vector<YamlTree> take_includes(YamlTree& own) {
    const auto found = std::find_if(own.members.begin(), own.members.end(),
                                    [](const YamlMember& member) { return member.key == "include"; });
    if (found == own.members.end()) {
      return {};
    }
    const YamlTree include = found->value;
    own.members.erase(found);
    std::vector<YamlTree> paths = include.kind == YamlTree::Kind::list ? include.items : std::vector{include};
    std::erase_if(paths, [&](const YamlTree& path) {
      if (path.kind == YamlTree::Kind::scalar) {
        return false;
      }
      problems_.add(path.where + ": include: " + describe(path) + " where a path is expected",
                    "files are included by their relative path", "write 'include: base.yaml'");
      return true;
    });
    return paths;
  }

  Problems& problems_;
  Chain chain_;
};

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts;
  std::istringstream stream(path);
  for (std::string part; std::getline(stream, part, '.');) {
    parts.push_back(part);
  }
  return parts;
}

bool is_index(const std::string& part) {
  return !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string::npos;
}

// The value that `part` names inside `parent`, made when it is not there yet; null when it cannot be.
YamlTree* descend(YamlTree& parent, const std::string& part) {
  if (is_index(part) && parent.kind != YamlTree::Kind::map) {
    const auto index = static_cast<std::size_t>(*parse_integer(part));
    parent.kind = YamlTree::Kind::list;
    if (index > parent.items.size()) {
      return nullptr;
    }
    parent.items.resize(std::max(parent.items.size(), index + 1));
    return &parent.items[index];
  }
  if (parent.kind == YamlTree::Kind::list) {
    return nullptr;
  }
  parent.kind = YamlTree::Kind::map;  // over "activations: none", a key inside makes a map of it
  if (YamlTree* present = parent.find(part)) {
    return present;
  }
  parent.members.push_back({part, {}});
  return &parent.members.back().value;
}

void report_no_element(const std::string& path, const std::string& part, const YamlTree& list,
                       Problems& problems) {
  problems.add("command line: " + path + ": no element " + part,
               "the list has " + std::to_string(list.items.size()) + " elements",
               "count from 0; the number after the last one appends");
}

}  // namespace

YamlTree load_files(const std::vector<std::filesystem::path>& files, Problems& problems) {
  YamlTree merged;
  merged.kind = YamlTree::Kind::map;
  FileLoader loader(problems);
  for (const std::filesystem::path& file : files) {
    merge(merged, loader.load(file, ""));
  }
  return merged;
}

void apply_override(YamlTree& tree, const std::string& assignment, Problems& problems) {
  const std::size_t equals = assignment.find('=');
  const std::string path = assignment.substr(0, equals);
  const std::vector<std::string> parts = split_path(path);
  const bool gap = std::find(parts.begin(), parts.end(), "") != parts.end() || path.ends_with('.');
  if (equals == std::string::npos || parts.empty() || gap) {
    problems.add("command line: '" + assignment + "' is no override", "an override names a key and its value",
                 "write section.key=value");
    return;
  }
  std::string text = assignment.substr(equals + 1);
  if (text.starts_with('*')) {  // a pattern of names, not YAML's reference to an anchor
    text = '"' + text + '"';
  }
  const YamlTree value = parse_yaml(text, "command line, " + path, problems, Lines::hidden);
  YamlTree* at = &tree;
  for (const std::string& part : parts) {
    YamlTree* next = descend(*at, part);
    if (next == nullptr) {
      report_no_element(path, part, *at, problems);
      return;
    }
    if (next->where.empty()) {
      next->where = "command line";
    }
    at = next;
  }
  merge(*at, value);
  at->where = "command line";
}

}  // namespace bitlaw::trainer
