// Which kind of configuration value a member is; see data/formats/field.h. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "data/formats/field.h"

namespace bitlaw::trainer {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
concept OptionalField = IsOptional<T>::value;
template <class T>
concept ListField = IsVector<T>::value;
template <class T>
concept EnumField = std::is_enum_v<T>;
template <class T>
concept TextField = std::is_same_v<T, std::string>;
// A struct with a visit_fields of its own.
template <class T>
concept SectionField = std::is_class_v<T> && !OptionalField<T> && !ListField<T> && !TextField<T>;
template <class T>
concept ScalarField = !SectionField<T> && !OptionalField<T> && !ListField<T>;

inline std::string join_key(const std::string& prefix, std::string_view name) {
  return prefix.empty() ? std::string(name) : prefix + "." + std::string(name);
}

}  // namespace bitlaw::trainer
