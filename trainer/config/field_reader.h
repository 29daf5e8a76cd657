// The visitor that fills a configuration struct from a YAML tree and reports what does not fit. Torch-free.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "trainer/config/field_kinds.h"
#include "trainer/config/problems.h"
#include "trainer/config/yaml_tree.h"

namespace bitlaw::trainer {

// One scalar with its place, its dotted key and its description; on a mismatch `value` stays as it was.
struct ScalarSource {
  const YamlTree& tree;
  const std::string& key;
  const data::Field& field;
  Problems& problems;
};
void read_scalar(const ScalarSource& source, bool& value);
void read_scalar(const ScalarSource& source, std::int64_t& value);
void read_scalar(const ScalarSource& source, double& value);
void read_scalar(const ScalarSource& source, std::string& value);
// The index of the value's name among `names`; -1 when it is none of them.
int read_enum(const ScalarSource& source, std::span<const std::string_view> names);

void report_not_a_map(const YamlTree& tree, const std::string& key, Problems& problems);
void report_not_a_list(const YamlTree& tree, const std::string& key, Problems& problems);
void report_unknown_key(const YamlMember& member, const std::string& prefix,
                        const std::vector<std::string>& known, Problems& problems);

class FieldReader {
 public:
  FieldReader(const YamlTree& map, std::string prefix, Problems& problems)
      : map_(map), prefix_(std::move(prefix)), problems_(problems) {}

  template <class T>
  void operator()(const data::Field& field, T& member) {
    known_.emplace_back(field.name);
    if (const YamlTree* tree = map_.find(field.name)) {
      read(*tree, join_key(prefix_, field.name), field, member);
    }
  }

  void report_unknown() const {
    for (const YamlMember& member : map_.members) {
      if (std::find(known_.begin(), known_.end(), member.key) == known_.end()) {
        report_unknown_key(member, prefix_, known_, problems_);
      }
    }
  }

  template <SectionField T>
  void read(const YamlTree& tree, const std::string& key, const data::Field&, T& section) {
    if (tree.kind == YamlTree::Kind::map || tree.kind == YamlTree::Kind::null) {
      FieldReader inner(tree, key, problems_);
      visit_fields(inner, section);
      inner.report_unknown();
    } else {
      report_not_a_map(tree, key, problems_);
    }
  }

 private:
  template <ScalarField T>
  void read(const YamlTree& tree, const std::string& key, const data::Field& field, T& value) {
    const ScalarSource source{tree, key, field, problems_};
    if constexpr (EnumField<T>) {
      const int index = read_enum(source, data::EnumNames<T>::names);
      value = index < 0 ? value : static_cast<T>(index);
    } else {
      read_scalar(source, value);
    }
  }

  template <OptionalField T>
  void read(const YamlTree& tree, const std::string& key, const data::Field& field, T& value) {
    const bool scalar = tree.kind == YamlTree::Kind::scalar && !tree.quoted;
    if (tree.kind == YamlTree::Kind::null || (scalar && tree.text == "none")) {
      value.reset();
      return;
    }
    value.emplace();
    read(tree, key, field, *value);
  }

  template <ListField T>
  void read(const YamlTree& tree, const std::string& key, const data::Field& field, T& list) {
    if (tree.kind != YamlTree::Kind::list) {
      report_not_a_list(tree, key, problems_);
      return;
    }
    list.clear();
    for (std::size_t i = 0; i < tree.items.size(); ++i) {
      typename T::value_type item{};
      read(tree.items[i], key + "." + std::to_string(i), field, item);
      list.push_back(std::move(item));
    }
  }

  const YamlTree& map_;
  std::string prefix_;
  Problems& problems_;
  std::vector<std::string> known_;
};

}  // namespace bitlaw::trainer
