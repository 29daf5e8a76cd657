// Visitors for tests over every configuration key: one that changes a single key, one that shows all values.
#pragma once

#include <array>
#include <cstdio>
#include <string>

#include "trainer/config/field_kinds.h"

namespace bitlaw::trainer {

// Changes the leaf with number `target` (a list or an optional value counts as one); `changed` is its key,
// empty when there are fewer leaves.
class Perturb {
 public:
  explicit Perturb(int target, std::string prefix = "") : target_(target), prefix_(std::move(prefix)) {}

  template <class T>
  void operator()(const data::Field& field, T& member) {
    change(field, join_key(prefix_, field.name), member);
  }
  int seen = 0;
  std::string changed;

 private:
  template <class T>
  void change(const data::Field& field, const std::string& key, T& value) {
    if constexpr (SectionField<T>) {
      Perturb inner(target_ - seen, key);
      visit_fields(inner, value);
      seen += inner.seen;
      changed += inner.changed;
    } else if (seen++ == target_) {
      changed = key;
      set(field, value);
    }
  }

  struct FillAll {
    template <class T>
    void operator()(const data::Field& field, T& member) {
      set(field, member);
    }
  };

  template <class T>
  static void set(const data::Field& field, T& value) {
    if constexpr (SectionField<T>) {
      FillAll fill;
      visit_fields(fill, value);
    } else if constexpr (OptionalField<T>) {
      value.emplace();
      set(field, *value);
    } else if constexpr (ListField<T>) {
      typename T::value_type item{};
      set(field, item);
      value.insert(value.begin(), item);
      value.push_back(item);
    } else {
      set_scalar(field, value);
    }
  }
  static void set_scalar(const data::Field&, bool& value) { value = !value; }
  static void set_scalar(const data::Field& field, std::int64_t& value) {
    value = static_cast<double>(value) + 1 <= field.maximum ? value + 1 : value - 1;
    value = static_cast<double>(value) < field.minimum ? static_cast<std::int64_t>(field.minimum) : value;
  }
  static void set_scalar(const data::Field& field, double& value) {
    const double shifted = value + 0.1 + 1e-13;
    value = shifted <= field.maximum ? shifted : value / 3;
    value = value < field.minimum ? field.minimum : value;
  }
  static void set_scalar(const data::Field&, std::string& value) {
    value = "a: \"b\"\t# 'c' \\ \n none, \xc3\xbc";
  }
  template <EnumField T>
  static void set_scalar(const data::Field&, T& value) {
    const int count = static_cast<int>(std::size(data::EnumNames<T>::names));
    value = static_cast<T>((static_cast<int>(value) + 1) % count);
  }

  int target_;
  std::string prefix_;
};

// The values themselves, bit for bit, without the writer: a second opinion on equality.
class Dump {
 public:
  template <class T>
  void operator()(const data::Field& field, T& member) {
    text += std::string(field.name) + "=";
    dump(member);
    text += ";";
  }
  std::string text;

 private:
  template <class T>
  void dump(T& value) {
    if constexpr (SectionField<T>) {
      visit_fields(*this, value);
    } else if constexpr (OptionalField<T>) {
      text += value ? "some " : "none";
      if (value) {
        dump(*value);
      }
    } else if constexpr (ListField<T>) {
      for (auto& item : value) {
        dump(item);
        text += ",";
      }
    } else if constexpr (TextField<T>) {
      text += std::to_string(value.size()) + value;
    } else {
      std::array<char, 64> buffer{};
      std::snprintf(buffer.data(), buffer.size(), "%a", static_cast<double>(value));
      text += buffer.data();
    }
  }
};

template <class Config>
std::string dump_of(Config config) {
  Dump dump;
  visit_fields(dump, config);
  return dump.text;
}

}  // namespace bitlaw::trainer
