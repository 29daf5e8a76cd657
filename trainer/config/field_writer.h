// The visitor that writes a configuration struct as YAML, every key with its value. Torch-free.
#pragma once

#include <functional>
#include <string>

#include "trainer/config/field_kinds.h"
#include "trainer/config/scalars.h"

namespace bitlaw::trainer {

template <ScalarField T>
std::string scalar_text(const T& value) {
  if constexpr (EnumField<T>) {
    return std::string(data::enum_name(value));
  } else if constexpr (TextField<T>) {
    return format_text(value);
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_same_v<T, double>) {
    return format_number(value);
  } else {
    return std::to_string(value);
  }
}

template <class T>
std::string flow_list(const std::vector<T>& list) {
  std::string text = "[";
  for (const auto& item : list) {
    text += (text.size() == 1 ? "" : ", ") + scalar_text<T>(item);
  }
  return text + "]";
}

class FieldWriter {
 public:
  using KeyFilter = std::function<bool(const std::string& key)>;  // whether this dotted key is written

  FieldWriter(std::string prefix, int indent, const KeyFilter& wanted)
      : prefix_(std::move(prefix)), indent_(static_cast<std::size_t>(indent), ' '), wanted_(wanted) {}

  template <class T>
  void operator()(const data::Field& field, T& member) {
    const std::string key = join_key(prefix_, field.name);
    if (wanted_(key)) {
      write(key, indent_ + std::string(field.name) + ":", member);
    }
  }
  const std::string& text() const { return text_; }

 private:
  template <ScalarField T>
  void write(const std::string&, const std::string& head, T& value) {
    text_ += head + " " + scalar_text<T>(value) + "\n";
  }

  template <SectionField T>
  void write(const std::string& key, const std::string& head, T& section) {
    const std::string inner = inner_text(key, 2, section);
    text_ += inner.empty() ? head + " {}\n" : head + "\n" + inner;
  }

  // Absent scalars are left out; an absent group is written, because "none" is one of its values.
  template <OptionalField T>
  void write(const std::string& key, const std::string& head, T& value) {
    if (value) {
      write(key, head, *value);
    } else if (SectionField<typename T::value_type>) {
      text_ += head + " none\n";
    }
  }

  template <ListField T>
  void write(const std::string& key, const std::string& head, T& list) {
    if constexpr (SectionField<typename T::value_type>) {
      text_ += list.empty() ? head + " []\n" : head + "\n";
      for (std::size_t i = 0; i < list.size(); ++i) {
        std::string item = inner_text(key + "." + std::to_string(i), 4, list[i]);
        item[indent_.size() + 2] = '-';  // "    match: x" -> "  - match: x"
        text_ += item;
      }
    } else {
      text_ += head + " " + flow_list(list) + "\n";
    }
  }

  template <SectionField T>
  std::string inner_text(const std::string& key, int deeper, T& section) const {
    FieldWriter inner(key, static_cast<int>(indent_.size()) + deeper, wanted_);
    visit_fields(inner, section);
    return inner.text();
  }

  std::string prefix_;
  std::string indent_;
  const KeyFilter& wanted_;
  std::string text_;
};

}  // namespace bitlaw::trainer
