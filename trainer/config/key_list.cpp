#include "trainer/config/key_list.h"

#include "trainer/config/field_kinds.h"
#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

namespace {

class KeyCollector {
 public:
  KeyCollector(std::string prefix, std::vector<std::string>& keys)
      : prefix_(std::move(prefix)), keys_(keys) {}

  template <class T>
  void operator()(const data::Field& field, T& member) {
    collect(join_key(prefix_, field.name), member);
  }

 private:
  template <class T>
  void collect(const std::string& key, T& member) {
    if constexpr (SectionField<T>) {
      KeyCollector inner(key, keys_);
      visit_fields(inner, member);
    } else if constexpr (OptionalField<T>) {
      typename T::value_type inner{};
      collect(key, inner);
    } else if constexpr (ListField<T>) {
      collect_list(key, member);
    } else {
      keys_.push_back(key);
    }
  }

  template <class T>
  void collect_list(const std::string& key, std::vector<T>&) {
    if constexpr (SectionField<T>) {
      T item{};
      collect(key + ".*", item);
    } else {
      keys_.push_back(key);
    }
  }

  std::string prefix_;
  std::vector<std::string>& keys_;
};

}  // namespace

const std::vector<std::string>& all_keys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> result;
    RunConfig config;
    KeyCollector collector("", result);
    visit_fields(collector, config);
    return result;
  }();
  return keys;
}

}  // namespace bitlaw::trainer
