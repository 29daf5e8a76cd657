#include "data/formats/json.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"

namespace bitlaw::data {

namespace {

constexpr std::size_t kDeepest = 64;
constexpr std::size_t kLongestReason = 240;  // bytes of the parser's own words

[[noreturn]] void refuse(const std::string& origin, const std::string& what) {
  throw InputError(origin + ": " + what, "a configuration must be read as its writer meant it",
                   "write the file again");
}

// Builds a Json from the parser's events, so that a hostile text meets the limits before any tree is there.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(const std::string& origin) : origin_(origin) {}

  bool null() override { return put(Json()); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(std::int64_t{value}); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      refuse(origin_, "the integer " + std::to_string(value) + " has more than 63 bits");
    }
    return put(static_cast<std::int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::Object()); }
  bool start_array(std::size_t) override { return open(Json::Array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override;
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    refuse(origin_, "no JSON (" + printable(error.what(), kLongestReason) + ")");
  }
  Json take() { return std::move(root_); }

 private:
  struct Level {
    bool is_object = false;
    Json::Object members;
    Json::Array elements;
    std::string key;
    std::set<std::string> keys;
  };

  bool put(Json value);
  bool open(const Json& empty);
  bool close();

  const std::string& origin_;
  std::vector<Level> levels_;
  std::size_t values_ = 0;
  Json root_;
};

bool Builder::key(string_t& value) {
  if (!levels_.back().keys.insert(value).second) {
    refuse(origin_, "the key '" + printable(value) + "' occurs twice in one object");
  }
  levels_.back().key = std::move(value);
  return true;
}

bool Builder::put(Json value) {
  if (++values_ > kMostJsonValues) {
    refuse(origin_, "more than " + std::to_string(kMostJsonValues) + " values");
  }
  if (levels_.empty()) {
    root_ = std::move(value);
  } else if (levels_.back().is_object) {
    levels_.back().members.emplace_back(std::move(levels_.back().key), std::move(value));
  } else {
    levels_.back().elements.push_back(std::move(value));
  }
  return true;
}

bool Builder::open(const Json& empty) {
  if (levels_.size() == kDeepest) {
    refuse(origin_, "values nest deeper than " + std::to_string(kDeepest));
  }
  levels_.emplace_back();
  levels_.back().is_object = empty.object() != nullptr;
  return true;
}

bool Builder::close() {
  Level level = std::move(levels_.back());
  levels_.pop_back();
  return level.is_object ? put(std::move(level.members)) : put(std::move(level.elements));
}

nlohmann::ordered_json tree_of(const Json& json) {
  if (json.boolean() != nullptr) {
    return *json.boolean();
  }
  if (json.integer() != nullptr) {
    return *json.integer();
  }
  if (json.number() != nullptr) {
    return *json.number();
  }
  if (json.text() != nullptr) {
    return *json.text();
  }
  if (json.array() != nullptr) {
    nlohmann::ordered_json tree = nlohmann::ordered_json::array();
    for (const Json& element : *json.array()) {
      tree.push_back(tree_of(element));
    }
    return tree;
  }
  if (json.object() != nullptr) {
    nlohmann::ordered_json tree = nlohmann::ordered_json::object();
    for (const auto& [key, member] : *json.object()) {
      tree[key] = tree_of(member);
    }
    return tree;
  }
  return nullptr;
}

}  // namespace

Json::Json() = default;
Json::Json(const Json&) = default;
Json::Json(Json&&) noexcept = default;
Json& Json::operator=(const Json&) = default;
Json& Json::operator=(Json&&) noexcept = default;
Json::~Json() = default;
Json::Json(bool value) : value_(value) {}
Json::Json(int value) : value_(std::int64_t{value}) {}
Json::Json(std::int64_t value) : value_(value) {}
Json::Json(double value) : value_(value) {}
Json::Json(const char* value) : value_(std::string(value)) {}
Json::Json(std::string value) : value_(std::move(value)) {}
Json::Json(Array value) : value_(std::move(value)) {}
Json::Json(Object value) : value_(std::move(value)) {}

Json Json::parse(std::string_view text, const std::string& origin) {
  if (text.size() > kLargestJson) {
    refuse(origin,
           std::to_string(text.size()) + " bytes of JSON, " + std::to_string(kLargestJson) + " are the most");
  }
  Builder builder(origin);
  if (!nlohmann::json::sax_parse(text, &builder)) {
    refuse(origin, "no JSON");
  }
  return builder.take();
}

std::string Json::to_text() const {
  return tree_of(*this).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

const Json* Json::find(std::string_view key) const {
  if (object() == nullptr) {
    return nullptr;
  }
  for (const auto& [name, member] : *object()) {
    if (name == key) {
      return member.is_null() ? nullptr : &member;
    }
  }
  return nullptr;
}

}  // namespace bitlaw::data
