#include "quant/containers/gguf.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "data/formats/input_error.h"
#include "quant/containers/gguf_tensor.h"
#include "quant/containers/gguf_weight.h"
#include "quant/containers/restate.h"
#include "quant/containers/travelling_texts.h"
#include "quant/containers/unproved_files.h"

namespace bitlaw::quant {

namespace {

using data::InputError;
using data::Json;

constexpr const char* kWeight = ".weight";
constexpr const char* kGlobalScale = ".scale";
constexpr const char* kRemarks = "bitlaw.tensors";
constexpr const char* kZeroPoints = "bitlaw.zero_points.";
constexpr std::uint32_t kQuantizationVersion = 2;

std::vector<std::byte> bytes_of(float value) {
  std::vector<std::byte> bytes(sizeof(value));
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

class Writer {
 public:
  explicit Writer(const PackedModel& model) : model_(model) {
    put_value("general.architecture", std::string("bitlaw"));
    put_value("general.quantization_version", kQuantizationVersion);
    for (const auto& [key, text] : travelling_texts(model)) {
      put_value(key, text);
    }
  }

  void put_weight(const std::string& module, const PackedTensor& packed, bool widen);
  GgufContents finish();

 private:
  void put_value(const std::string& key, data::GgufValue value) {
    contents_.header.values.emplace_back(key, std::move(value));
  }
  void put_tensor(data::GgufTensorInfo info, std::vector<std::byte> bytes);

  const PackedModel& model_;
  GgufContents contents_;
};

void Writer::put_tensor(data::GgufTensorInfo info, std::vector<std::byte> bytes) {
  if (!contents_.bytes.emplace(info.name, std::move(bytes)).second) {
    throw InputError("tensor " + info.name + " is there twice", "the container needs the name",
                     "use another format");
  }
  contents_.header.tensors.push_back(std::move(info));
}

void Writer::put_weight(const std::string& module, const PackedTensor& packed, bool widen) {
  GgufWeight weight = to_gguf(packed, widen);
  data::GgufTensorInfo info;
  info.name = module + kWeight;
  check_gguf_name(info.name);
  info.type = static_cast<data::GgmlType>(facts_of(weight.type).id);
  info.dims = {static_cast<std::uint64_t>(packed.in_features),
               static_cast<std::uint64_t>(packed.out_features)};
  put_tensor(std::move(info), std::move(weight.bytes));
  if (weight.global_scale) {
    put_tensor({module + kGlobalScale, data::GgmlType::f32, {1}}, bytes_of(*weight.global_scale));
  }
  if (!weight.zero_points.empty()) {
    put_value(kZeroPoints + module, data::GgufArray{std::move(weight.zero_points)});
  }
}

GgufContents Writer::finish() {
  Json::Object remarks;
  for (const auto& [name, tensor] : model_.tensors) {
    put_tensor(gguf_info(name, tensor), tensor.bytes);
    if (std::optional<Json> remark = gguf_remark(tensor)) {
      remarks.emplace_back(name, std::move(*remark));
    }
  }
  put_value(kRemarks, Json(std::move(remarks)).to_text());
  return std::move(contents_);
}

class Reader {
 public:
  Reader(const GgufContents& contents, std::string origin) : contents_(contents), origin_(std::move(origin)) {
    Texts texts;
    for (const data::GgufTensorInfo& info : contents.header.tensors) {
      infos_.emplace(info.name, &info);
    }
    for (const auto& [key, value] : contents.header.values) {
      values_.emplace(key, &value);
      if (const auto* text = std::get_if<std::string>(&value)) {
        texts.emplace(key, *text);
      }
    }
    specs_ = read_travelling_texts(texts, origin_);
    if (const auto found = texts.find(kRemarks); specs_.present && found != texts.end()) {
      const Json remarks = Json::parse(found->second, origin_ + ": " + kRemarks);
      if (remarks.object() != nullptr) {
        remarks_.insert(remarks.object()->begin(), remarks.object()->end());
      }
    }
  }

  PackedModel read();

 private:
  const Json* find_remark(const std::string& name) const {
    const auto found = remarks_.find(name);
    return found == remarks_.end() || found->second.is_null() ? nullptr : &found->second;
  }
  PackedTensor read_weight(const std::string& module, const data::GgufTensorInfo& info, BlockType type) const;
  std::optional<float> global_scale(const std::string& module) const;
  bool is_global_scale(const std::string& name) const;

  const GgufContents& contents_;
  std::string origin_;
  TravellingSpecs specs_;
  // By name: a hostile header has a million of each.
  std::map<std::string_view, const data::GgufValue*> values_;
  std::map<std::string_view, const data::GgufTensorInfo*> infos_;
  std::map<std::string, Json> remarks_;
};

// Null: there is none.
template <class T>
const T* find_in(const std::map<std::string_view, const T*>& map, const std::string& name) {
  const auto found = map.find(name);
  return found == map.end() ? nullptr : found->second;
}

std::optional<float> Reader::global_scale(const std::string& module) const {
  const data::GgufTensorInfo* info = find_in(infos_, module + kGlobalScale);
  if (info == nullptr) {
    return std::nullopt;
  }
  const std::vector<std::byte>& bytes = contents_.bytes.at(info->name);
  if (info->type != data::GgmlType::f32 || bytes.size() != sizeof(float)) {
    throw InputError(origin_ + ": tensor " + info->name + " is no float32 of one element",
                     "it is the global scale of an NVFP4 weight",
                     "write the file again with the tool that made it");
  }
  float value = 0.0F;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

PackedTensor Reader::read_weight(const std::string& module, const data::GgufTensorInfo& info,
                                 BlockType type) const {
  if (info.dims.size() != 2) {
    throw InputError(
        origin_ + ": tensor " + info.name + " has " + std::to_string(info.dims.size()) + " dimensions",
        "a quantised weight has two", "store it unquantised");
  }
  const QuantSpec* spec = specs_.weight(module);
  const bool with_minimum = type == BlockType::q4_1 || type == BlockType::q5_1;
  std::vector<std::int8_t> zero_points;
  if (const data::GgufValue* value = find_in(values_, kZeroPoints + module)) {
    const auto* array = std::get_if<data::GgufArray>(value);
    const auto* elements =
        array == nullptr ? nullptr : std::get_if<std::vector<std::int8_t>>(&array->elements);
    zero_points = elements == nullptr ? zero_points : *elements;
  }
  GgufSource source;
  source.type = type;
  source.out_features = static_cast<std::int64_t>(info.dims[1]);
  source.in_features = static_cast<std::int64_t>(info.dims[0]);
  source.bytes = contents_.bytes.at(info.name);
  source.global_scale = type == BlockType::nvfp4 ? global_scale(module) : std::nullopt;
  source.bits = with_minimum && spec != nullptr ? std::min(spec->bits(), type == BlockType::q4_1 ? 4 : 5) : 0;
  try {
    return at_home(from_gguf(source), specs_, module, zero_points);
  } catch (const InputError& error) {
    throw InputError(origin_ + ": tensor " + info.name + ": " + error.what());
  }
}

// "<module>.scale" of an NVFP4 weight.
bool Reader::is_global_scale(const std::string& name) const {
  const std::string ending = kGlobalScale;
  if (!name.ends_with(ending)) {
    return false;
  }
  const auto* weight = find_in(infos_, name.substr(0, name.size() - ending.size()) + kWeight);
  return weight != nullptr && weight->type == data::GgmlType::nvfp4;
}

PackedModel Reader::read() {
  PackedModel model;
  model.attributes = specs_.attributes;
  model.activations = dynamic_inputs(specs_, origin_);
  const std::string ending = kWeight;
  for (const data::GgufTensorInfo& info : contents_.header.tensors) {
    const std::optional<BlockType> type = block_type_of(static_cast<std::uint32_t>(info.type));
    if (type && info.name.size() > ending.size() && info.name.ends_with(ending)) {
      const std::string module = info.name.substr(0, info.name.size() - ending.size());
      model.weights.emplace(module, read_weight(module, info, *type));
    } else if (type) {
      throw InputError(origin_ + ": tensor " + info.name + " has a block type, but is not called *.weight",
                       "only weights of layers are quantised", "store it unquantised");
    } else if (!is_global_scale(info.name)) {
      model.tensors.emplace(
          info.name, tensor_of_gguf(info, contents_.bytes.at(info.name), find_remark(info.name), origin_));
    }
  }
  check_complete(model, specs_, origin_);
  return model;
}

}  // namespace

GgufContents make_gguf(const PackedModel& model, bool widen, Refusals& refusals) {
  Writer writer(model);
  for (const auto& [module, packed] : model.weights) {
    try {
      refuse_static_input(model, module);
      writer.put_weight(module, packed, widen);
    } catch (const NoExactForm& error) {
      refusals.push_back({module, packed.spec.to_string(), error.what()});
    }
  }
  return writer.finish();
}

PackedModel read_gguf(const GgufContents& contents, const std::string& origin) {
  return Reader(contents, origin).read();
}

GgufContents load_gguf(const std::filesystem::path& path) {
  const data::GgufReader reader(path);
  GgufContents contents{reader.header(), {}};
  for (const data::GgufTensorInfo& info : reader.header().tensors) {
    contents.bytes.emplace(info.name, reader.read(info.name));
  }
  return contents;
}

void write_gguf_model(const std::filesystem::path& folder, const GgufContents& contents,
                      const PackedModel& model) {
  UnprovedFiles files(folder);
  const std::filesystem::path path = files.add(kGgufFile);
  data::write_gguf(path, contents.header, [&](const std::string& name) { return contents.bytes.at(name); });
  if (read_gguf(load_gguf(path), path.string()) != model) {
    throw std::runtime_error(folder.string() + ": what was read back differs from what was written");
  }
  files.publish();
}

}  // namespace bitlaw::quant
