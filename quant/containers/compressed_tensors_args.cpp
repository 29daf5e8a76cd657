#include "quant/containers/compressed_tensors_args.h"

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"
#include "quant/input_check.h"
#include "quant/input_plan.h"

namespace bitlaw::quant {

namespace {

using data::Json;
using data::printable;

[[noreturn]] void fail(const std::string& origin, const std::string& what, const std::string& why) {
  throw data::InputError(origin + ": " + what, why, "write the file again, or choose another scheme");
}

// Members, which may be absent or null; another kind than expected is an error.
class Args {
 public:
  Args(const Json& args, const std::string& origin) : args_(args), origin_(origin) {
    if (args.object() == nullptr) {
      fail(origin, "no object", "it describes numbers");
    }
  }
  std::string text(const char* key, const char* usual) const {
    const Json* member = args_.find(key);
    if (member != nullptr && member->text() == nullptr) {
      fail(origin_, std::string(key) + " is no text", "it names a kind of number");
    }
    return member == nullptr ? usual : *member->text();
  }
  std::int64_t integer(const char* key, std::int64_t usual) const {
    const Json* member = args_.find(key);
    if (member != nullptr && member->integer() == nullptr) {
      fail(origin_, std::string(key) + " is no integer", "it is a number of bits or inputs");
    }
    return member == nullptr ? usual : *member->integer();
  }
  // Missing: `usual`; false, true.
  bool boolean(const char* key, bool usual) const {
    const Json* member = args_.find(key);
    if (member != nullptr && member->boolean() == nullptr) {
      fail(origin_, std::string(key) + " is neither true nor false", "no other value is read");
    }
    return member == nullptr ? usual : *member->boolean();
  }
  std::vector<std::int64_t> integers(const char* key) const {
    std::vector<std::int64_t> values;
    const Json* member = args_.find(key);
    if (member == nullptr) {
      return values;
    }
    for (const Json& value : member->array() == nullptr ? Json::Array{Json()} : *member->array()) {
      if (value.integer() == nullptr) {
        fail(origin_, std::string(key) + " is no list of integers", "it is a size");
      }
      values.push_back(*value.integer());
    }
    return values;
  }

 private:
  const Json& args_;
  const std::string& origin_;
};

FloatFormat float_format(std::int64_t bits, const std::string& origin) {
  switch (bits) {
    case 4:
      return FloatFormat::e2m1;
    case 6:
      return FloatFormat::e2m3;
    case 8:
      return FloatFormat::e4m3;
    default:
      fail(origin, "type float with num_bits " + std::to_string(bits),
           "floating-point numbers there have 4 (e2m1), 6 (e2m3) or 8 bits (e4m3)");
  }
}

void read_type(const Args& args, const std::string& origin, QuantSpecFields& fields) {
  fields.num_bits = args.integer("num_bits", 8);
  fields.symmetric = args.boolean("symmetric", true);
  fields.scale_dtype = ScaleType::float32;
  const std::string type = args.text("type", "int");
  if (type == "float") {
    fields.type = NumberType::floating;
    fields.format = float_format(fields.num_bits, origin);
  } else if (type != "int") {
    fail(origin, "type '" + printable(type) + "'", "numbers are int or float");
  }
}

void read_strategy(const Args& args, const std::string& origin, QuantSpecFields& fields) {
  const std::int64_t group_size = args.integer("group_size", -1);
  const char* usual = group_size > 0 ? "group" : (args.integer("group_size", 0) == -1 ? "channel" : "tensor");
  const std::string strategy = args.text("strategy", usual);
  if (strategy == "group" || strategy == "tensor_group") {
    fields.strategy = Strategy::group;
    fields.group_size = group_size;
  } else if (strategy == "channel") {
    fields.strategy = Strategy::channel;
  } else if (strategy == "tensor") {
    fields.strategy = Strategy::tensor;
  } else if (strategy == "token") {
    fields.strategy = Strategy::token;
  } else if (strategy == "block") {
    fields.strategy = Strategy::block;
    fields.block_structure = args.integers("block_structure");
  } else {
    fail(origin, "strategy '" + printable(strategy) + "'",
         "it is tensor, channel, group, tensor_group, token or block");
  }
}

QuantSpec spec_of(const QuantSpecFields& fields, const std::string& origin) {
  try {
    return QuantSpec(fields);
  } catch (const data::InputError& error) {
    throw data::InputError(origin + ": " + error.what());
  }
}

Json::Object number_args(const QuantSpec& spec) {
  const QuantSpecFields& fields = spec.fields();
  return {{"num_bits", fields.num_bits},
          {"type", fields.type == NumberType::floating ? "float" : "int"},
          {"symmetric", fields.symmetric}};
}

}  // namespace

Json compressed_weight_args(const CompressedScheme& scheme) {
  const QuantSpecFields& fields = scheme.weights.fields();
  Json::Object args = number_args(scheme.weights);
  const bool two_levels = scheme.format == CompressedFormat::nvfp4_pack_quantized;
  args.emplace_back("strategy", two_levels ? "tensor_group" : std::string(data::enum_name(fields.strategy)));
  args.emplace_back("group_size", fields.strategy == Strategy::group ? Json(fields.group_size) : Json());
  if (fields.strategy == Strategy::block) {
    args.emplace_back("block_structure",
                      Json::Array{fields.block_structure.at(0), fields.block_structure.at(1)});
  }
  args.emplace_back("dynamic", false);
  if (scheme.scattered_groups) {
    args.emplace_back("actorder", "group");
  }
  if (two_levels) {
    args.emplace_back("scale_dtype", "torch.float8_e4m3fn");
  } else if (fields.scale_dtype == ScaleType::e8m0) {
    args.emplace_back("scale_dtype", "torch.uint8");
  }
  return args;
}

Json compressed_input_args(const QuantSpec& inputs) {
  const QuantSpecFields& fields = inputs.fields();
  Json::Object args = number_args(inputs);
  args.emplace_back("strategy", std::string(data::enum_name(fields.strategy)));
  args.emplace_back("group_size", fields.strategy == Strategy::group ? Json(fields.group_size) : Json());
  args.emplace_back("dynamic", !is_static(inputs));
  if (fields.scale_dtype == ScaleType::e8m0) {
    args.emplace_back("scale_dtype", "torch.uint8");
  }
  return args;
}

QuantSpec compressed_weight_spec(const Json& args, CompressedFormat format, const std::string& origin) {
  const Args members(args, origin);
  QuantSpecFields fields;
  read_type(members, origin, fields);
  read_strategy(members, origin, fields);
  if (members.boolean("dynamic", false)) {
    fail(origin, "dynamic weights", "weights are quantised once");
  }
  switch (format) {
    case CompressedFormat::nvfp4_pack_quantized:
      fields.scale_dtype = ScaleType::e4m3;
      break;
    case CompressedFormat::mxfp4_pack_quantized:
    case CompressedFormat::mxfp6_pack_quantized:
    case CompressedFormat::mxfp8_quantized:
      fields.scale_dtype = ScaleType::e8m0;
      break;
    default:
      break;
  }
  return spec_of(fields, origin);
}

QuantSpec compressed_input_spec(const Json& args, const std::string& origin) {
  const Args members(args, origin);
  const Json* dynamic = args.find("dynamic");
  const bool local = dynamic != nullptr && dynamic->text() != nullptr;
  if (local || members.text("strategy", "") == "tensor_group") {
    fail(origin,
         local ? "inputs with dynamic '" + printable(*dynamic->text()) + "'"
               : "inputs with strategy 'tensor_group'",
         "bitlaw has no scale of scales for inputs, one of which is made at run time");
  }
  QuantSpecFields fields;
  read_type(members, origin, fields);
  read_strategy(members, origin, fields);
  const bool is_dynamic = members.boolean("dynamic", false);
  const bool fits = is_dynamic ? fields.strategy == Strategy::token || fields.strategy == Strategy::group
                               : fields.strategy == Strategy::tensor;
  if (!fits) {
    fail(origin,
         std::string(is_dynamic ? "dynamic" : "static") + " inputs with strategy '" +
             std::string(data::enum_name(fields.strategy)) + "'",
         "scales of inputs are static for the whole tensor, or made for each token or group of it");
  }
  if (members.text("scale_dtype", "") == "torch.uint8") {
    fields.scale_dtype = ScaleType::e8m0;
  }
  QuantSpec spec = spec_of(fields, origin);
  try {
    check_input_fields(spec.fields());
  } catch (const data::InputError& error) {
    throw data::InputError(origin + ": " + error.what());
  }
  return spec;
}

bool compressed_scattered(const Json& args, const std::string& origin) {
  const Json* order = args.find("actorder");
  if (order != nullptr && order->boolean() != nullptr) {
    return *order->boolean();
  }
  const std::string value = Args(args, origin).text("actorder", "weight");
  if (value != "group" && value != "dynamic" && value != "weight" && value != "static") {
    fail(origin, "actorder '" + printable(value) + "'", "it is group, weight or null");
  }
  return value == "group" || value == "dynamic";
}

}  // namespace bitlaw::quant
