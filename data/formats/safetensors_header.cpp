#include "data/formats/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"

namespace bitlaw::data {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kMetadata = "__metadata__";
constexpr std::size_t kMostDimensions = 64;

[[noreturn]] void fail(const std::string& origin, const std::string& what) {
  throw InputError(origin + ": " + what, "the header says where each tensor lies",
                   "get the file again from where it came, or write it with another program");
}

std::string shown(std::uint64_t number) {
  return std::to_string(number);
}

// Takes the JSON as it is parsed: no tree is built, nothing is deeper than the format is.
class HeaderParser : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderParser(const std::string& origin) : origin_(origin) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool start_object(std::size_t) override {
    if (state_ == State::outside) {
      state_ = State::root;
    } else if (state_ == State::root && key_ == kMetadata) {
      state_ = State::metadata;
    } else if (state_ == State::root) {
      state_ = State::tensor;
      entry_ = {};
      fields_.clear();
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (state_ == State::tensor) {
      if (fields_.size() != 3) {
        fail(origin_, tensor() + " lacks one of dtype, shape, data_offsets");
      }
      header_.tensors.emplace(name_, std::move(entry_));
    }
    state_ = state_ == State::root ? State::outside : State::root;
    return true;
  }

  bool key(string_t& key) override {
    key_ = key;
    if (state_ == State::root) {
      start_member();
    } else if (state_ == State::metadata) {
      if (header_.metadata.count(key) != 0) {
        fail(origin_, "metadata key '" + printable(key) + "' is there twice");
      }
    } else if ((key != "dtype" && key != "shape" && key != "data_offsets") || !fields_.insert(key).second) {
      fail(origin_, tensor() + " has a member '" + printable(key) + "', unknown or twice");
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (state_ != State::tensor || key_ == "dtype") {
      unexpected("a list");
    }
    state_ = key_ == "shape" ? State::shape : State::offsets;
    offsets_.clear();
    return true;
  }

  bool end_array() override {
    if (state_ == State::offsets) {
      if (offsets_.size() != 2 || offsets_[0] > offsets_[1]) {
        fail(origin_, tensor() + " has data_offsets that are not [begin, end]");
      }
      entry_.begin = offsets_[0];
      entry_.end = offsets_[1];
    }
    state_ = State::tensor;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::shape && entry_.shape.size() < kMostDimensions &&
        value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      entry_.shape.push_back(static_cast<std::int64_t>(value));
    } else if (state_ == State::offsets && offsets_.size() < 2) {
      offsets_.push_back(value);
    } else {
      unexpected("the number " + shown(value));
    }
    return true;
  }

  bool string(string_t& value) override {
    if (state_ == State::metadata) {
      header_.metadata.emplace(key_, value);
    } else if (state_ == State::tensor && key_ == "dtype") {
      entry_.dtype = dtype_named(value);
    } else {
      unexpected("the text '" + printable(value) + "'");
    }
    return true;
  }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a truth value"); }
  bool number_integer(number_integer_t value) override { unexpected("the number " + std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { unexpected("the number " + text); }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const Json::exception& error) override {
    fail(origin_, "the header is not JSON at byte " + shown(position) + " (" + error.what() + ")");
  }

 private:
  enum class State { outside, root, metadata, tensor, shape, offsets };

  std::string tensor() const { return "tensor '" + printable(name_) + "'"; }

  [[noreturn]] void unexpected(const std::string& what) const {
    const bool is_inside = state_ != State::outside && state_ != State::root && state_ != State::metadata;
    fail(origin_, (is_inside ? tensor() : std::string("the header")) + " has " + what + " where '" +
                      printable(key_) + "' cannot have it");
  }

  void start_member() {
    name_ = key_;
    if (name_ == kMetadata) {
      if (has_metadata_) {
        fail(origin_, "__metadata__ is there twice");
      }
      has_metadata_ = true;
      return;
    }
    if (const std::string problem = name_problem(name_); !problem.empty()) {
      fail(origin_, "the tensor name '" + printable(name_) + "' " + problem);
    }
    if (header_.tensors.count(name_) != 0) {
      fail(origin_, tensor() + " is there twice");
    }
  }

  DType dtype_named(const std::string& name) const {
    for (const auto& [known, dtype] : kSafetensorsTypes) {
      if (known == name) {
        return dtype;
      }
    }
    fail(origin_, tensor() + " has the unknown dtype '" + printable(name) + "'");
  }

  const std::string& origin_;
  SafetensorsHeader header_;
  State state_ = State::outside;
  bool has_metadata_ = false;
  std::string key_;
  std::string name_;  // of the tensor that is being parsed
  SafetensorsEntry entry_;
  std::set<std::string> fields_;
  std::vector<std::uint64_t> offsets_;
};

void check_sizes(const SafetensorsHeader& header, std::uint64_t data_bytes, const std::string& origin) {
  for (const auto& [name, entry] : header.tensors) {
    const std::string tensor = "tensor '" + printable(name) + "'";
    if (entry.end > data_bytes) {
      throw InputError(origin + ": " + tensor + " ends at byte " + shown(entry.end) + " of " +
                           shown(data_bytes) + " bytes of data",
                       "the file is truncated or its header is wrong",
                       "get the file again from where it came");
    }
    const auto bytes = byte_count(entry.dtype, entry.shape);
    if (!bytes) {
      fail(origin, tensor + " has a shape that no file can hold, or that ends inside a byte");
    }
    if (*bytes != entry.end - entry.begin) {
      fail(origin,
           tensor + " has " + shown(entry.end - entry.begin) + " bytes, its shape needs " + shown(*bytes));
    }
  }
}

void check_tiling(const SafetensorsHeader& header, std::uint64_t data_bytes, const std::string& origin) {
  std::vector<std::pair<std::pair<std::uint64_t, std::uint64_t>, const std::string*>> places;
  for (const auto& [name, entry] : header.tensors) {
    places.emplace_back(std::pair(entry.begin, entry.end), &name);
  }
  std::sort(places.begin(), places.end());
  std::uint64_t expected = 0;
  for (const auto& [place, name] : places) {
    if (place.first != expected) {
      fail(origin, "tensor '" + printable(*name) + "' begins at byte " + shown(place.first) +
                       " of the data, the one before it ends at " + shown(expected) +
                       (place.first < expected ? ": they overlap" : ": there is a hole"));
    }
    expected = place.second;
  }
  if (expected != data_bytes) {
    fail(origin, shown(data_bytes - expected) + " bytes at the end belong to no tensor");
  }
}

}  // namespace

std::string_view safetensors_name(DType dtype) {
  for (const auto& [name, known] : kSafetensorsTypes) {
    if (known == dtype) {
      return name;
    }
  }
  throw std::invalid_argument("no such element type");
}

SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_bytes,
                                           const std::string& origin) {
  if (json.find('\0') != std::string_view::npos) {
    fail(origin, "the header holds a byte 0");
  }
  HeaderParser parser(origin);
  Json::sax_parse(json.begin(), json.end(), &parser);
  SafetensorsHeader header = parser.take();
  check_sizes(header, data_bytes, origin);
  check_tiling(header, data_bytes, origin);
  return header;
}

std::string safetensors_header_text(const SafetensorsHeader& header, std::span<const std::string> order) {
  Json json = Json::object();
  if (!header.metadata.empty()) {
    json[std::string(kMetadata)] = header.metadata;
  }
  for (const std::string& name : order) {
    const SafetensorsEntry& entry = header.tensors.at(name);
    json[name] = {{"dtype", safetensors_name(entry.dtype)},
                  {"shape", entry.shape},
                  {"data_offsets", {entry.begin, entry.end}}};
  }
  std::string text = json.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace bitlaw::data
