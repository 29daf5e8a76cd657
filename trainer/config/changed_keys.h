// Which keys of a section have other values than the default ones. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "trainer/config/field_writer.h"

namespace bitlaw::trainer {

// The visitor: texts of all values, and the names of those that are not the ones given.
class ChangedKeys {
 public:
  explicit ChangedKeys(const std::vector<std::string>& defaults) : defaults_(defaults) {}
  template <class T>
  void operator()(const data::Field& field, T& member) {
    std::string text;
    if constexpr (ListField<T>) {
      text = flow_list(member);
    } else if constexpr (OptionalField<T>) {
      text = member ? scalar_text(*member) : "";
    } else {
      text = scalar_text<T>(member);
    }
    if (values.size() < defaults_.size() && defaults_[values.size()] != text) {
      changed.emplace_back(field.name);
    }
    values.push_back(text);
  }
  std::vector<std::string> values;
  std::vector<std::string> changed;

 private:
  const std::vector<std::string>& defaults_;
};

// Of a section without groups.
template <class Section>
std::vector<std::string> changed_keys(Section section) {
  const std::vector<std::string> nothing;
  Section preset;
  ChangedKeys defaults(nothing);
  visit_fields(defaults, preset);
  ChangedKeys result(defaults.values);
  visit_fields(result, section);
  return result.changed;
}

}  // namespace bitlaw::trainer
