// Reads bitlaw's own file of a quantised model. A file is input: nothing in it is believed unchecked, and
// what its version does not define is refused.
#include <algorithm>
#include <cstring>

#include "quant/containers/native_reader.h"
#include "quant/containers/travelling_texts.h"

namespace bitlaw::quant {

namespace native {

using data::InputError;

void Reader::check_version() {
  if (!file_.has_text("", "format") || file_.text("", "format") != kFormat) {
    throw InputError(file_.path().string() + " is not a packed model",
                     std::string("its attribute format is not '") + kFormat + "'",
                     "name a file that 'bitlaw export' wrote");
  }
  version_ = file_.integer("", "version");
  if (version_ < kFirstVersion || version_ > kVersion) {
    throw InputError(file_.path().string() + " has format version " + std::to_string(version_),
                     "this program reads versions 1 to " + std::to_string(kVersion),
                     "use a newer version of bitlaw");
  }
}

void Reader::check_group(const std::string& group, const std::set<std::string>& known) const {
  for (const std::string& key : file_.attribute_keys(group)) {
    if (known.count(key) == 0) {
      refuse((group.empty() ? "the file" : "group " + group) + " has attribute " + key);
    }
  }
}

void Reader::read_attributes() {
  check_group("", {"format", "version", kModelBits, kConfig, kSource});
  for (const char* key : {kConfig, kSource}) {
    if (file_.has_text("", key)) {
      model_.attributes[key] = file_.text("", key);
    }
  }
  const auto keys = file_.attribute_keys("");
  if (std::find(keys.begin(), keys.end(), kModelBits) != keys.end()) {
    model_.attributes[kModelBits] = std::to_string(file_.integer("", kModelBits));
  }
}

void Reader::check_weight_member(const std::string& name) const {
  const std::string member = name.substr(name.rfind('/') + 1);
  for (const LaterMember& later : kLaterMembers) {
    if (member == later.name && version_ > kFirstVersion) {
      return;
    }
    if (member == later.name) {
      refuse("member " + name + " (" + std::string(later.feature) + ")");
    }
  }
  if (member != kCodes && member != kScale && member != kZeroPoint) {
    refuse("member " + name);
  }
}

void Reader::check_input_member(const std::string& name) const {
  const std::string member = name.substr(name.rfind('/') + 1);
  if (version_ < kInputsVersion || (member != kScale && member != kZeroPoint)) {
    refuse("tensor " + name);
  }
}

// Everything in the file is in its place.
void Reader::check_members() const {
  for (const std::string& group : file_.groups("")) {
    if (group != kWeights && group != kActivations && group != kTensors) {
      refuse("group " + group);
    }
    check_group(group, {});
  }
  for (const std::string& name : file_.names()) {
    const auto depth = std::count(name.begin(), name.end(), '/');
    if (depth == 2 && name.starts_with("weights/")) {
      check_weight_member(name);
    } else if (depth == 2 && name.starts_with("activations/")) {
      check_input_member(name);
    } else if (depth != 1 || !name.starts_with("tensors/")) {
      refuse("tensor " + name);
    }
  }
  for (const char* parent : {kWeights, kActivations}) {
    for (const std::string& module : file_.groups(parent)) {
      const auto inner = file_.groups(std::string(parent) + "/" + module);
      if (!inner.empty()) {
        refuse("group " + std::string(parent) + "/" + module + "/" + inner.front());
      }
    }
  }
  if (const auto inner = file_.groups(kTensors); !inner.empty()) {
    refuse("group tensors/" + inner.front());
  }
}

PackedModel Reader::read() {
  check_version();
  read_attributes();
  check_members();
  try {
    for (const std::string& module : file_.groups(kWeights)) {
      model_.weights.emplace(module, read_weight(module));
    }
    for (const std::string& module : file_.groups(kActivations)) {
      model_.activations.emplace(module, read_activation(module));
    }
    check_inputs(model_, file_.path().string());
  } catch (const InputError& error) {  // of a spec or a shape, which do not know the file
    const std::string message = error.what();
    const bool named = message.find(file_.path().string()) != std::string::npos;
    throw InputError(named ? message : file_.path().string() + ": " + message);
  }
  for (const std::string& name : file_.names()) {
    if (name.starts_with("tensors/")) {
      const data::TensorInfo& info = file_.info(name);
      model_.tensors.emplace(name.substr(std::strlen("tensors/")),
                             data::RawTensor{info.dtype, info.shape, read_bytes(name, info.shape)});
    }
  }
  return std::move(model_);
}

}  // namespace native

PackedModel read_native(const std::filesystem::path& path) {
  return native::Reader(path).read();
}

}  // namespace bitlaw::quant
